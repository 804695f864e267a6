// Package tree is the deterministic state machine of the replicated tiers: znodes, sessions, and who has sent what.
//
// It has no clock, no randomness and no I/O: the same calls in the same order give the same state on every member, and the same
// snapshot bytes. One goroutine applies; any number read. A change and the events it fires are one step for readers, so a
// watch armed by a read sees every change after that read and none before it.
package tree

import (
	"errors"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/watch"
)

var (
	// ErrRepeat: the number was applied before; nothing was done.
	ErrRepeat = errors.New("txn number was applied before")
	// ErrGap: numbers before this one are missing; nothing was done, and the origin must send from there.
	ErrGap = errors.New("txn numbers are missing before this one")
	// ErrOldIncarnation: the member has started again since; nothing was done.
	ErrOldIncarnation = errors.New("txn of an earlier start of its member")
)

// Tree is the state of one member.
type Tree struct {
	hub *watch.Hub

	// mu is held by the applier for each txn, with the firing of its events, and shared by readers.
	mu     sync.RWMutex
	zxid   tiers.Zxid // guarded by mu; of the last successful txn
	at     int64      // guarded by mu; the latest time of an entry: it never goes back
	znodes *table[string, znode]
	live   *table[tiers.SessionID, session]
	ended  *endedSet
	// The tables of members are small: they are copied when a snapshot begins.
	origins map[uint32]position // guarded by mu; what each member sent last
	members map[uint32]Member   // guarded by mu
	key     []byte              // guarded by mu
	acls    map[string][]tiers.ACL

	dataBytes  int64 // guarded by mu
	ephemerals int   // guarded by mu

	// undo is what the txn being applied has changed, to take it back when a later op fails. Owned by the applier.
	undo   []change
	events []tiers.Event // of the txn being applied. Owned by the applier.

	onEnd  []func(tiers.SessionID)
	onMove []func(SessionInfo)
	// told are the sessions to be reported once mu is free. Owned by the applier.
	toldEnd  []tiers.SessionID
	toldMove []SessionInfo

	// snapshotting refuses a second snapshot while one is streamed.
	snapshotting atomic.Bool
}

// position is the last txn of a member.
type position struct {
	incarnation uint32
	number      uint64
}

// Member is one registered member.
type Member struct {
	Name     string
	Identity [16]byte
}

// New returns the tree that every cluster begins with: the root, and ZooKeeper's own znodes (zk-protocol 6.5).
func New() *Tree {
	t := &Tree{hub: watch.New()}
	t.reset()
	t.plant("/", tiers.OpenACL)
	t.plant("/zookeeper", tiers.OpenACL)
	t.plant("/zookeeper/config", []tiers.ACL{{Perms: tiers.PermRead, Who: tiers.Identity{Scheme: "world", ID: "anyone"}}}).aversion = -1
	t.plant("/zookeeper/quota", tiers.OpenACL)
	return t
}

func (t *Tree) reset() {
	t.znodes = newTable[string, znode](hashString)
	t.live = newTable[tiers.SessionID, session](hashNumber)
	t.ended = newEndedSet()
	t.origins = make(map[uint32]position)
	t.members = make(map[uint32]Member)
	t.acls = make(map[string][]tiers.ACL)
	t.zxid, t.at, t.key, t.dataBytes, t.ephemerals = 0, 0, nil, 0, 0
}

func (t *Tree) plant(path string, acl []tiers.ACL) *znode {
	z := &znode{state: state{acl: t.intern(acl), data: []byte{}}}
	t.insert(path, z)
	return z
}

// Hub is where the watches of this tree are.
func (t *Tree) Hub() *watch.Hub { return t.hub }

// Zxid is that of the last successful txn.
func (t *Tree) Zxid() tiers.Zxid {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.zxid
}

// Key is the cluster's secret; nil before SetKey.
func (t *Tree) Key() []byte {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.key
}

// SetKey sets the cluster's secret, once: later calls change nothing.
func (t *Tree) SetKey(key []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.key == nil {
		t.key = append([]byte{}, key...)
	}
}

// Register gives a member its number: always the same for one name and identity, and never one that another had.
func (t *Tree) Register(name string, identity [16]byte) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var last uint32
	for n, m := range t.members {
		if m.Name == name && m.Identity == identity {
			return n
		}
		last = max(last, n)
	}
	t.members[last+1] = Member{Name: name, Identity: identity}
	return last + 1
}

// Members are all members that ever registered, by number.
func (t *Tree) Members() iter.Seq2[uint32, Member] {
	t.mu.RLock()
	defer t.mu.RUnlock()
	ms := make(map[uint32]Member, len(t.members))
	for n, m := range t.members {
		ms[n] = m
	}
	return func(yield func(uint32, Member) bool) {
		for n, m := range ms {
			if !yield(n, m) {
				return
			}
		}
	}
}

// Last is the last txn of a member that was applied.
func (t *Tree) Last(member uint32) (incarnation uint32, number uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p := t.origins[member]
	return p.incarnation, p.number
}

// Stats counts what the tree holds.
type Stats struct {
	Znodes     int
	Ephemerals int
	Sessions   int
	DataBytes  int64
}

// Stats may be called at any time.
func (t *Tree) Stats() Stats {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return Stats{Znodes: t.znodes.size, Ephemerals: t.ephemerals, Sessions: t.live.size, DataBytes: t.dataBytes}
}

// clock makes the leaders' clocks one that never goes back.
func (t *Tree) clock(at int64) int64 {
	t.at = max(t.at, at)
	return t.at
}

// intern keeps one copy of each ACL.
func (t *Tree) intern(acl []tiers.ACL) []tiers.ACL {
	k := string(appendACL(nil, acl))
	if old, ok := t.acls[k]; ok {
		return old
	}
	t.acls[k] = acl
	return acl
}
