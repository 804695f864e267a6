package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/strata-coord/strata/tiers"
)

// digits is how many a sequential create appends.
const digits = 10

// sequence is what a sequential create has asked for that got that path.
func sequence(path string) string { return path[:max(0, len(path)-digits)] }

// parent is the path one level up.
func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

// children are the known paths below each path.
func (h *history) children() map[string][]string {
	of := make(map[string][]string)
	for path := range h.facts {
		if path != "/" {
			of[parent(path)] = append(of[parent(path)], path)
		}
	}
	return of
}

// mayHaveMade is mayHave of a create, which may have been sequential.
func (h *history) mayHaveMade(path string, before int64) bool {
	return h.mayHave(tiers.OpCreate, path, before) > 0 || h.mayHave(tiers.OpCreate, sequence(path), before) > 0
}

// checkChildren: a list of children has what exists as of its zxid, and nothing else. Ephemerals may have gone with their sessions.
func (h *history) checkChildren() error {
	family := h.children()
	for _, o := range h.ops {
		if o.query == nil || o.query.Want != tiers.WantChildren || o.outcome != OK {
			continue
		}
		names := slices.Sorted(slices.Values(o.view.Children))
		for _, path := range family[o.query.Path] {
			_, listed := slices.BinarySearch(names, path[strings.LastIndexByte(path, '/')+1:])
			f := h.at(path, o.zxid)
			if f == nil && h.facts[path][0].change != created {
				continue // it is older than this history
			}
			there := f != nil && f.change != deleted
			switch {
			case listed && !there && !h.mayHaveMade(path, o.done.seq):
				return h.violation("wrong list", fmt.Sprintf("the children of %s as of %v have %s, which was not there", o.query.Path, o.zxid, path), o.done, o)
			case !listed && there && h.mayHave(tiers.OpDelete, path, o.done.seq) == 0 && (!h.ephemeral[path] || h.livesAt(f.owner, o.zxid)):
				return h.violation("wrong list", fmt.Sprintf("the children of %s as of %v lack %s, which exists as of %v", o.query.Path, o.zxid, path, f.zxid), o.done, ops(f.op, o)...)
			}
		}
	}
	return nil
}

// livesAt tells whether the session has done something at that zxid or later: then it was alive.
func (h *history) livesAt(id tiers.SessionID, z tiers.Zxid) bool { return id != 0 && h.alive[id] >= z }

// checkEphemerals: an ephemeral is there as long as its session is seen alive, and gone when the session was closed.
func (h *history) checkEphemerals() error {
	closed := make(map[tiers.SessionID]tiers.Zxid)
	for _, o := range h.ops {
		if o.txn == nil || o.outcome != OK || o.txn.Session == 0 {
			continue
		}
		if slices.ContainsFunc(o.txn.Ops, func(op tiers.Op) bool { return op.Kind == tiers.OpCloseSession }) {
			closed[o.txn.Session] = o.zxid
		} else {
			h.alive[o.txn.Session] = max(h.alive[o.txn.Session], o.zxid)
		}
	}
	for _, o := range h.ops {
		if o.query == nil || o.query.Want > tiers.WantACL || o.zxid == 0 {
			continue
		}
		path := o.query.Path
		switch owner := o.view.Stat.EphemeralOwner; {
		case o.outcome == OK && owner != 0:
			if end := closed[owner]; end > 0 && o.zxid >= end {
				return h.violation("outlived its session", fmt.Sprintf("%s is there as of %v, and its session %v was closed as %v", path, o.zxid, owner, end), o.done, o)
			}
		case o.outcome == Failed:
			f := h.at(path, o.zxid)
			if f != nil && f.change != deleted && h.livesAt(f.owner, o.zxid) && h.mayHave(tiers.OpDelete, path, o.done.seq) == 0 {
				return h.violation("lost ephemeral", fmt.Sprintf("%s is gone as of %v, and its session %v lived then", path, o.zxid, f.owner), o.done, ops(f.op, o)...)
			}
		}
	}
	return nil
}

// checkSequences: the numbers of sequential creates below one znode grow in the order of their zxids.
func (h *history) checkSequences() error {
	type child struct {
		number string // of a fixed length
		step   int
		op     *Op
	}
	of := make(map[string][]child)
	for _, o := range h.ops {
		if o.txn == nil || o.outcome != OK {
			continue
		}
		for i := range o.txn.Ops {
			if op := &o.txn.Ops[i]; op.Kind == tiers.OpCreate && op.Mode.IsSequential() {
				path := o.results[i].Path
				if len(path) != len(op.Path)+digits || !strings.HasPrefix(path, op.Path) {
					return h.violation("sequence", fmt.Sprintf("a sequential create of %s is called %s", op.Path, path), o.done, o)
				}
				of[parent(path)] = append(of[parent(path)], child{path[len(path)-digits:], i, o})
			}
		}
	}
	for path, cs := range of {
		slices.SortFunc(cs, func(a, b child) int { return cmp.Or(cmp.Compare(a.op.zxid, b.op.zxid), a.step-b.step) })
		for i := 1; i < len(cs); i++ {
			if a, b := cs[i-1], cs[i]; b.number <= a.number && !h.remade(path, a.op.zxid, b.op.zxid) {
				return h.violation("sequence", fmt.Sprintf("below %s number %s was given as %v, and %s before as %v", path, b.number, b.op.zxid, a.number, a.op.zxid), b.op.done, a.op, b.op)
			}
		}
	}
	return nil
}

// remade tells whether path may have been deleted and created again between two zxids: then it counts anew.
func (h *history) remade(path string, from, to tiers.Zxid) bool {
	if h.mayHave(tiers.OpDelete, path, never) > 0 {
		return true
	}
	return slices.ContainsFunc(h.facts[path], func(f fact) bool { return f.change != written && f.zxid > from && f.zxid <= to })
}
