package tree

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// children is a znode's child list: a set, and its sorted form made when it is asked for. Adding to a list of 100,000 costs
// no more than adding to a short one, and the next sorted form is merged from the last one.
//
// One children belongs to all states that a znode has in its life. It is not part of the moment that a snapshot keeps:
// a restore builds it from the paths.
type children struct {
	names map[string]struct{} // guarded by Tree.mu
	up    *children           // the list that its znode stands in; nil: the root's own. Never changes
	below int                 // znodes below its own, at any depth. Guarded by Tree.mu

	sorted atomic.Pointer[[]string] // of names as they are; nil after a change. Readers set it, holding Tree.mu shared

	// mu is for the readers among themselves; the applier excludes them by Tree.mu.
	mu    sync.Mutex
	last  []string // the newest sorted form that was made
	added []string // added after last; some of them may be in last too, or gone again
	gone  bool     // a name of last was removed after it was made
}

func newChildren(up *children) *children {
	return &children{names: make(map[string]struct{}), up: up}
}

// count counts znodes that came (or, negative, left) into all lists from this one up.
func (c *children) count(n int) {
	for ; c != nil; c = c.up {
		c.below += n
	}
}

// descendants is how many znodes are below the one whose list this is.
func (c *children) descendants() int {
	if c == nil {
		return 0
	}
	return c.below
}

func (c *children) add(name string) {
	c.names[name] = struct{}{}
	c.count(1)
	c.sorted.Store(nil)
	switch {
	case c.last == nil:
	case len(c.added) > len(c.last)/2+16:
		c.last, c.added, c.gone = nil, nil, false // nobody reads: sort from nothing next time
	default:
		c.added = append(c.added, name)
	}
}

func (c *children) remove(name string) {
	delete(c.names, name)
	c.count(-1)
	c.sorted.Store(nil)
	c.gone = c.last != nil
}

func (c *children) len() int {
	if c == nil {
		return 0
	}
	return len(c.names)
}

// list is sorted and never changed afterwards. Callers hold Tree.mu at least shared.
func (c *children) list() []string {
	if c == nil {
		return nil
	}
	if l := c.sorted.Load(); l != nil {
		return *l
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.sorted.Load(); l != nil {
		return *l
	}
	var l []string
	if c.last == nil {
		l = slices.Sorted(maps.Keys(c.names))
	} else {
		l = c.merge()
	}
	c.last, c.added, c.gone = l, nil, false
	c.sorted.Store(&l)
	return l
}

// merge makes the sorted form out of the last one and what was added and removed since.
func (c *children) merge() []string {
	slices.Sort(c.added)
	l := make([]string, 0, len(c.names))
	put := func(name string, check bool) {
		if check {
			if _, there := c.names[name]; !there {
				return
			}
		}
		if n := len(l); n == 0 || l[n-1] != name {
			l = append(l, name)
		}
	}
	old, added := c.last, c.added
	for len(old) > 0 || len(added) > 0 {
		if len(added) == 0 || (len(old) > 0 && old[0] <= added[0]) {
			put(old[0], c.gone)
			old = old[1:]
		} else {
			put(added[0], true)
			added = added[1:]
		}
	}
	return l
}
