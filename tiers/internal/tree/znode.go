package tree

import (
	"strings"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// kind is what ends a znode besides a delete. The values are written to snapshots.
type kind uint8

const (
	plain kind = iota
	ephemeral
	container
	expiring
	kinds // how many there are
)

// state is a znode at one moment. It is never changed once it is in the tree, so a reader, a snapshot and the undo of a txn
// may keep it; what it points to is immutable too, but for kids.
type state struct {
	data  []byte // nil is ZooKeeper's null
	acl   *acl
	kids  *children // nil: never had one. Guarded by Tree.mu; not of this moment, but of now
	owner tiers.SessionID
	ttl   time.Duration // of an expiring one

	czxid, mzxid, pzxid tiers.Zxid
	ctime, mtime        int64
	version, aversion   int32
	creates             int32 // children ever created: the next sequence number
	kind                kind
}

// stat is what clients see. Callers hold Tree.mu at least shared.
func (z *state) stat() tiers.Stat {
	n := int32(z.kids.len())
	return tiers.Stat{
		Czxid: z.czxid, Mzxid: z.mzxid, Pzxid: z.pzxid, Ctime: z.ctime, Mtime: z.mtime,
		Version: z.version, Aversion: z.aversion, Cversion: 2*z.creates - n,
		EphemeralOwner: z.owner, DataLength: int32(len(z.data)), NumChildren: n,
	}
}

// change is one step of the txn being applied, to be taken back when a later one fails.
type change struct {
	path string
	old  *state
	// siblings is the child list that the znode came into or left; nil when it was only changed.
	siblings *children

	session bool // a change of a session, not of a znode
	id      tiers.SessionID
	was     *session
}

// set makes now the state of path (nil: none), with everything that follows from it: child list, owner's list, counts.
func (t *Tree) set(path string, now *state, siblings *children) (old *state) {
	old = t.znodes.put(path, now)
	if siblings != nil {
		name := path[lastSlash(path)+1:]
		if now != nil {
			siblings.add(name)
		} else {
			siblings.remove(name)
		}
		if strings.HasPrefix(path, quotaRoot) {
			t.limited(path, now != nil)
		}
	}
	if now != nil {
		t.grip(now.acl)
		t.dataBytes += int64(len(now.data))
	}
	if old != nil {
		t.dropACL(old.acl)
		t.dataBytes -= int64(len(old.data))
	}
	switch {
	case old == nil && now != nil && now.kind != plain:
		t.came(path, now)
	case now == nil && old != nil && old.kind != plain:
		t.left(path, old)
	}
	return old
}

// came notes a new znode that can end by itself.
func (t *Tree) came(path string, z *state) {
	if z.kind.mortal() {
		t.mortals.add(path)
		return
	}
	t.ephemerals++
	if s := t.sessions.get(z.owner); s != nil {
		s.owned[path] = struct{}{}
	}
}

// left undoes came.
func (t *Tree) left(path string, z *state) {
	if z.kind.mortal() {
		t.mortals.remove(path)
		return
	}
	t.ephemerals--
	if s := t.sessions.get(z.owner); s != nil {
		delete(s.owned, path)
	}
}

// listOf is the child list that a znode stands in; nil for the root.
func (t *Tree) listOf(path string) *children {
	if path == "/" {
		return nil
	}
	return t.znodes.get(parentOf(path)).kids
}

// edit is set for a txn: it remembers the step.
func (t *Tree) edit(path string, now *state, siblings *children) {
	old := t.set(path, now, siblings)
	t.undo = append(t.undo, change{path: path, old: old, siblings: siblings})
}

// rollback takes back what the txn being applied has changed.
func (t *Tree) rollback() {
	// Sessions first, and those newest first: an ephemeral that comes back needs its owner's list.
	for i := len(t.undo) - 1; i >= 0; i-- {
		if c := &t.undo[i]; c.session {
			if now := t.sessions.put(c.id, c.was); c.was != nil && now == nil {
				t.ended.remove(c.id)
			}
		}
	}
	for i := len(t.undo) - 1; i >= 0; i-- {
		if c := &t.undo[i]; !c.session {
			t.set(c.path, c.old, c.siblings)
		}
	}
	t.forget()
	t.toldEnd, t.toldMove, t.excess = t.toldEnd[:0], t.toldMove[:0], t.excess[:0]
}

// forget lets go of the steps and the events of the txn that was applied.
func (t *Tree) forget() {
	clear(t.undo)
	clear(t.events)
	t.undo, t.events = t.undo[:0], t.events[:0]
	const many = 4096 // a giant txn shall not hold its memory for ever
	if cap(t.undo) > many {
		t.undo = nil
	}
	if cap(t.events) > many {
		t.events = nil
	}
}
