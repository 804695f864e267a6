// Package tree is the deterministic state machine of the replicated tiers: znodes, sessions, and who has sent what.
//
// It has no clock, no randomness and no I/O: the same calls in the same order give the same state on every member, and the same
// snapshot bytes. One goroutine, the applier, calls Apply, Expire, Reap, Register, SetStandings, Configure, SetKey, Stage, StartTerm and Restore; any number read, and
// take snapshots. A change and the events it fires are one step for readers, so a watch armed by a read sees every change after that read and
// none before it.
package tree

import (
	"errors"
	"iter"
	"maps"
	"slices"
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
	mu sync.RWMutex
	content

	// The txn being applied: its steps, its events, and the sessions to be reported once mu is free. Owned by the applier.
	undo     []change
	events   []tiers.Event
	toldEnd  []tiers.SessionID
	toldMove []SessionInfo
	excess   []Excess
	enforce  bool // hard limits of quotas count
	scratch  []byte

	onEnd    []func(tiers.SessionID) // set before the first Apply
	onMove   []func(SessionInfo)     // set before the first Apply
	onExcess []func(Excess)          // set before the first Apply

	staging *staging // the state that is to take the place of this one; nil: there is none. Owned by the applier
	staged  atomic.Bool

	snapshotting atomic.Bool // a Snapshot is not released yet

	flaw Flaw // planted by a test; none otherwise
}

// content is what a snapshot holds, and what follows from it. Guarded by Tree.mu.
type content struct {
	zxid     tiers.Zxid // of the last successful txn
	at       int64      // the latest time of an entry, milliseconds since the Unix epoch: it never goes back
	key      []byte     // the cluster's secret
	znodes   *table[string, state]
	sessions *table[tiers.SessionID, session] // those that live
	ended    *endedSet
	origins  map[uint32]position   // what each member sent last; small, copied when a snapshot begins
	members  map[uint32]Member     // likewise
	starts   map[uint32][]position // what earlier starts of each member sent last, oldest first; likewise
	seals    map[promise]struct{}  // likewise
	outcomes outcomes

	// What follows from the above.
	acls       map[string]*acl // by encoding; those that znodes have
	mortals    mortals
	quotas     map[string]struct{} // the paths that have limits
	dataBytes  int64
	ephemerals int
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
	Rank     Rank
}

func newContent() content {
	return content{
		znodes:   newTable[string, state](hashString),
		sessions: newTable[tiers.SessionID, session](hashNumber),
		ended:    newEndedSet(),
		origins:  make(map[uint32]position),
		members:  make(map[uint32]Member),
		starts:   make(map[uint32][]position),
		seals:    make(map[promise]struct{}),
		acls:     make(map[string]*acl),
		quotas:   make(map[string]struct{}),
	}
}

// New returns the tree that every cluster begins with: the root, and ZooKeeper's own znodes (zk-protocol 6.5).
func New() *Tree {
	t := &Tree{hub: watch.New(), content: newContent()}
	t.outcomes.whole = true
	readOnly := []tiers.ACL{{Perms: tiers.PermRead, Who: tiers.Identity{Scheme: "world", ID: "anyone"}}}
	root := newChildren(nil)
	zk := newChildren(root)
	t.set("/", &state{data: []byte{}, acl: t.intern(tiers.OpenACL), kids: root}, nil)
	t.set("/zookeeper", &state{data: []byte{}, acl: t.intern(tiers.OpenACL), kids: zk}, root)
	t.set(ConfigPath, &state{data: []byte{}, acl: t.intern(readOnly), aversion: -1}, zk)
	t.set("/zookeeper/quota", &state{data: []byte{}, acl: t.intern(tiers.OpenACL)}, zk)
	return t
}

// Hub is where the watches of this tree are.
func (t *Tree) Hub() *watch.Hub { return t.hub }

// Zxid is that of the last successful txn.
func (t *Tree) Zxid() tiers.Zxid {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.zxid
}

// At is the latest time of an entry, milliseconds since the Unix epoch; 0 for none.
func (t *Tree) At() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.at
}

// Key is the cluster's secret; nil before SetKey. The caller must not change it.
func (t *Tree) Key() []byte {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.key
}

// SetKey sets the cluster's secret, once: later calls change nothing, and neither does an empty key.
func (t *Tree) SetKey(key []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.key == nil && len(key) > 0 {
		t.key = slices.Clone(key)
	}
}

// Register gives a member its number, from 1 on: always the same for one name and identity, and never one that another had.
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

// Members are all members that ever registered, in the order of their numbers.
func (t *Tree) Members() iter.Seq2[uint32, Member] {
	t.mu.RLock()
	defer t.mu.RUnlock()
	ms := maps.Clone(t.members)
	return func(yield func(uint32, Member) bool) {
		for _, n := range slices.Sorted(maps.Keys(ms)) {
			if !yield(n, ms[n]) {
				return
			}
		}
	}
}

// Last is the last txn of a member that was applied; zeros when there was none.
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
	Sessions   int   // live ones
	DataBytes  int64 // of the znodes' data
}

// Stats may be called at any time; it costs nothing.
func (t *Tree) Stats() Stats {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return Stats{Znodes: t.znodes.size, Ephemerals: t.ephemerals, Sessions: t.sessions.size, DataBytes: t.dataBytes}
}

// clock makes the leaders' clocks one that never goes back.
func (t *Tree) clock(at int64) int64 {
	t.at = max(t.at, at)
	return t.at
}
