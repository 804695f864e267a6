package tree

import (
	"errors"
	"strings"

	"github.com/strata-coord/strata/tiers"
)

// Read answers q from the state as it is, and arms its watch in the same step. q.Fresh and q.AtLeast are the tiers' business.
//
// A read that fails arms nothing, but for a WantStat that finds no znode: its View says so in Armed, beside the ErrNoNode.
// Errors: *tiers.OpError with ErrNoNode, ErrNoAuth, ErrBadArguments; the View still tells the zxid.
func (t *Tree) Read(q tiers.Query) (tiers.View, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	v := tiers.View{Zxid: t.zxid}
	switch q.Want {
	case tiers.WantNothing:
		v.Armed = t.arm(reading(q.Path), nil, q.Watch)
		return v, nil
	case tiers.WantEphemerals:
		v.Children = t.ephemeralsOf(q.Session, q.Path)
		return v, nil
	}
	path := reading(q.Path)
	z := t.znodes.get(path)
	if err := readable(z, path, &q); err != nil {
		if q.Want == tiers.WantStat && errors.Is(err, tiers.ErrNoNode) {
			v.Armed = t.arm(path, nil, q.Watch)
		}
		return v, &tiers.OpError{Op: "read", Path: q.Path, Err: err}
	}
	v.Stat = z.stat()
	switch q.Want {
	case tiers.WantData:
		v.Data = z.data
	case tiers.WantChildren:
		v.Children = z.kids.list()
	case tiers.WantDescendants:
		v.Count = int32(z.kids.descendants())
	case tiers.WantACL:
		v.ACL = z.acl.redacted(q.Caller)
	}
	v.Armed = t.arm(path, z, q.Watch)
	return v, nil
}

// reading is the path that is meant by a read: the empty one is an alias of the root (zk-protocol 6.1).
func reading(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// readable tells what is wrong with reading z (nil: nothing is there), in the order of zk-protocol 5.2.
func readable(z *state, path string, q *tiers.Query) error {
	perms := tiers.PermRead
	if q.Want == tiers.WantACL {
		perms |= tiers.PermAdmin // either will do
	}
	switch {
	case q.Want > tiers.WantEphemerals, q.Want == tiers.WantStat && strings.IndexByte(path, 0) >= 0:
		return tiers.ErrBadArguments
	case z == nil:
		return tiers.ErrNoNode
	case !z.acl.allows(perms, q.Caller):
		return tiers.ErrNoAuth
	}
	return nil
}

// arm arms the watch of a read that found z (nil: nothing), unless it is to be armed again and its client has missed an event of
// it (zk-protocol 7.4). It tells whether it did.
func (t *Tree) arm(path string, z *state, w *tiers.WatchSpec) bool {
	if w == nil || w.Watcher == nil {
		return false
	}
	if w.Rearm {
		if (z == nil) != w.ExpectMissing {
			return false // created or deleted meanwhile
		}
		if z != nil {
			last := z.mzxid
			if w.Scope == tiers.ScopeChildren {
				last = z.pzxid
			}
			if last > w.Since {
				return false
			}
		}
	}
	t.hub.Add(path, w.Scope, w.Watcher)
	return true
}
