package tree

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// kind is what ends a znode besides a delete.
type kind uint8

const (
	plain kind = iota
	ephemeral
	container
	expiring
)

// state is what a snapshot holds of a znode: all but the child list, which follows from the paths.
type state struct {
	data  []byte // never changed in place; nil is null
	acl   []tiers.ACL
	kind  kind
	owner tiers.SessionID // of an ephemeral
	ttl   time.Duration   // of an expiring one

	czxid, mzxid, pzxid        tiers.Zxid
	ctime, mtime               int64
	version, aversion, creates int32 // creates: children ever created, the source of sequence numbers
	_                          struct{}
}

type znode struct {
	state
	kids *children
}

// children is a znode's child list. It is shared by all copies of the znode: snapshots don't use it.
type children struct {
	names  map[string]struct{} // guarded by Tree.mu
	sorted atomic.Pointer[[]string]
}

func (c *children) add(name string) {
	c.names[name] = struct{}{}
	c.sorted.Store(nil)
}

func (c *children) remove(name string) {
	delete(c.names, name)
	c.sorted.Store(nil)
}

// list is sorted, and made at the first read after a change. Callers hold Tree.mu at least shared.
func (c *children) list() []string {
	if c == nil {
		return nil
	}
	if l := c.sorted.Load(); l != nil {
		return *l
	}
	l := slices.Sorted(maps.Keys(c.names))
	c.sorted.Store(&l)
	return l
}

func (c *children) len() int {
	if c == nil {
		return 0
	}
	return len(c.names)
}

func (z *znode) stat() tiers.Stat {
	n := int32(z.kids.len())
	return tiers.Stat{
		Czxid: z.czxid, Mzxid: z.mzxid, Pzxid: z.pzxid, Ctime: z.ctime, Mtime: z.mtime,
		Version: z.version, Aversion: z.aversion, Cversion: 2*z.creates - n,
		EphemeralOwner: z.owner, DataLength: int32(len(z.data)), NumChildren: n,
	}
}

// change is one step back: the znode as it was, nil if it was not there.
type change struct {
	path string
	old  *znode
}

// insert adds a znode and everything that follows from it. Its parent must be there, but for the root.
func (t *Tree) insert(path string, z *znode) {
	t.znodes.put(path, z)
	t.count(z, 1)
	if z.kind == ephemeral {
		if s := t.live.get(z.owner); s != nil {
			s.ephemerals[path] = struct{}{}
		}
	}
	if path == "/" {
		return
	}
	parent, name := split(path)
	p := t.znodes.get(parent)
	if p.kids == nil {
		p.kids = &children{names: make(map[string]struct{})}
	}
	p.kids.add(name)
}

// remove takes a znode and everything that follows from it away.
func (t *Tree) remove(path string) {
	z := t.znodes.get(path)
	t.znodes.delete(path)
	t.count(z, -1)
	if z.kind == ephemeral {
		if s := t.live.get(z.owner); s != nil {
			delete(s.ephemerals, path)
		}
	}
	parent, name := split(path)
	if p := t.znodes.get(parent); p != nil && p.kids != nil {
		p.kids.remove(name)
	}
}

func (t *Tree) count(z *znode, by int) {
	t.dataBytes += int64(by) * int64(len(z.data))
	if z.kind == ephemeral {
		t.ephemerals += by
	}
}

// edit returns a znode for writing and remembers how it was.
func (t *Tree) edit(path string) *znode {
	z := t.znodes.change(path)
	old := *z
	t.undo = append(t.undo, change{path, &old})
	return z
}

// rollback takes back what the txn being applied has changed.
func (t *Tree) rollback() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		c := t.undo[i]
		switch now := t.znodes.get(c.path); {
		case c.old == nil:
			t.remove(c.path)
		case now == nil:
			t.insert(c.path, c.old)
		default:
			t.dataBytes += int64(len(c.old.data)) - int64(len(now.data))
			t.znodes.change(c.path).state = c.old.state
		}
	}
	t.undo = t.undo[:0]
	t.events = t.events[:0]
}
