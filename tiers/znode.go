package tiers

import (
	"fmt"
	"time"
)

// Zxid is a position in the commit order of the replicated tree. It grows by one with each successful txn and never goes
// back, also across restarts and restores. Zero is the empty tree.
type Zxid int64

func (z Zxid) String() string { return fmt.Sprintf("0x%x", uint64(z)) }

// SessionID names a session, unique for ever across members and restarts. Zero is no session.
// Its upper 15 bits after the sign bit are the number of the member that opened it (see [SessionID.Home]).
type SessionID int64

func (id SessionID) String() string { return fmt.Sprintf("0x%x", uint64(id)) }

// The layout of a SessionID, from the top: a zero sign bit, the member's number, its incarnation, a counter.
const (
	sessionIncarnationBits = 20
	sessionCounterBits     = 28
)

// NewSessionID builds the id of the counter'th session that incarnation of member opened. ok is false when a part does not fit.
func NewSessionID(member, incarnation, counter uint32) (id SessionID, ok bool) {
	if member == 0 || member >= 1<<15 || incarnation >= 1<<sessionIncarnationBits || counter >= 1<<sessionCounterBits {
		return 0, false
	}
	return SessionID(uint64(member)<<(sessionIncarnationBits+sessionCounterBits) |
		uint64(incarnation)<<sessionCounterBits | uint64(counter)), true
}

// Home is the member number and the incarnation that opened the session.
func (id SessionID) Home() (member, incarnation uint32) {
	u := uint64(id)
	return uint32(u >> (sessionIncarnationBits + sessionCounterBits) & (1<<15 - 1)),
		uint32(u >> sessionCounterBits & (1<<sessionIncarnationBits - 1))
}

// Stat is what ZooKeeper tells about a znode (zk-protocol 4.2). Times are milliseconds since the Unix epoch.
type Stat struct {
	Czxid          Zxid      // txn that created it
	Mzxid          Zxid      // txn that last set its data
	Ctime          int64     // when created
	Mtime          int64     // when its data was last set
	Version        int32     // changes of the data
	Cversion       int32     // changes of the child list
	Aversion       int32     // changes of the ACL
	EphemeralOwner SessionID // owner of an ephemeral, else 0
	DataLength     int32     // bytes
	NumChildren    int32
	Pzxid          Zxid // txn that last created or deleted a child
}

// Perm is a set of permissions in an ACL entry.
type Perm int32

const (
	PermRead Perm = 1 << iota
	PermWrite
	PermCreate
	PermDelete
	PermAdmin
	PermAll = PermRead | PermWrite | PermCreate | PermDelete | PermAdmin
)

// Identity is one credential of a caller, or whom an ACL entry admits: a scheme ("world", "ip", "digest", "auth", "super", ...) and an id in it.
type Identity struct{ Scheme, ID string }

// ACL is one entry of a znode's access control list: entries only ever allow.
type ACL struct {
	Perms Perm
	Who   Identity
}

// OpenACL admits everyone to everything: ZooKeeper's OPEN_ACL_UNSAFE.
var OpenACL = []ACL{{Perms: PermAll, Who: Identity{Scheme: "world", ID: "anyone"}}}

// CreateMode is what kind of znode a create makes; the values are ZooKeeper's flags.
type CreateMode int32

const (
	Persistent CreateMode = iota
	Ephemeral
	PersistentSequential
	EphemeralSequential
	Container
	PersistentTTL
	PersistentSequentialTTL
	// ContainerSequential has no flag: it is what ZooKeeper's createContainer makes with a sequential one.
	ContainerSequential
)

// IsEphemeral tells whether the znode belongs to its session and ends with it.
func (m CreateMode) IsEphemeral() bool { return m == Ephemeral || m == EphemeralSequential }

// IsSequential tells whether the parent's creation counter is appended to the name.
func (m CreateMode) IsSequential() bool {
	return m == PersistentSequential || m == EphemeralSequential || m == PersistentSequentialTTL || m == ContainerSequential
}

// IsContainer tells whether the znode ends by itself once it has lost its last child.
func (m CreateMode) IsContainer() bool { return m == Container || m == ContainerSequential }

// IsTTL tells whether the znode ends by itself when childless and unmodified for its TTL.
func (m CreateMode) IsTTL() bool { return m == PersistentTTL || m == PersistentSequentialTTL }

// MaxTTL is the longest TTL of a znode (40 bits of milliseconds).
const MaxTTL = (1<<40 - 1) * time.Millisecond
