package tree

import (
	"strings"

	"github.com/strata-coord/strata/tiers"
)

// Read answers q from the state as it is, and arms its watch in the same step. q.Fresh and q.AtLeast are the tiers' business.
// Errors: *tiers.OpError with ErrNoNode, ErrNoAuth, ErrBadArguments; the View still tells the zxid.
func (t *Tree) Read(q tiers.Query) (tiers.View, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	v := tiers.View{Zxid: t.zxid}
	if q.Want == tiers.WantNothing {
		return v, nil
	}
	path := q.Path
	if path == "" {
		path = "/" // zk-protocol 6.1: an alias for reads
	}
	z := t.znodes.get(path)
	if err := t.mayRead(z, path, &q); err != nil {
		if z == nil && q.Want == tiers.WantStat {
			v.Armed = t.arm(path, nil, &q)
		}
		return v, &tiers.OpError{Op: "read", Path: q.Path, Err: err}
	}
	v.Stat = z.stat()
	switch q.Want {
	case tiers.WantData:
		v.Data = z.data
	case tiers.WantChildren:
		v.Children = z.kids.list()
	case tiers.WantACL:
		v.ACL = redacted(z.acl, q.Caller)
	}
	v.Armed = t.arm(path, z, &q)
	return v, nil
}

func (t *Tree) mayRead(z *znode, path string, q *tiers.Query) error {
	switch {
	case q.Want == tiers.WantStat && strings.IndexByte(path, 0) >= 0:
		return tiers.ErrBadArguments
	case z == nil:
		return tiers.ErrNoNode
	case q.Want == tiers.WantACL && !allowed(z.acl, tiers.PermRead|tiers.PermAdmin, q.Caller),
		q.Want != tiers.WantACL && !allowed(z.acl, tiers.PermRead, q.Caller):
		return tiers.ErrNoAuth
	}
	return nil
}

// arm arms the watch of a read that found z (nil: nothing), unless the client that had it before has missed an event of it
// (zk-protocol 7.4).
func (t *Tree) arm(path string, z *znode, q *tiers.Query) bool {
	w := q.Watch
	if w == nil {
		return false
	}
	if w.Rearm {
		switch {
		case (z == nil) != w.ExpectMissing:
			return false
		case z == nil:
		case w.Scope == tiers.ScopeChildren && z.pzxid > w.Since,
			w.Scope == tiers.ScopeData && z.mzxid > w.Since:
			return false
		}
	}
	t.hub.Add(path, w.Scope, w.Watcher)
	return true
}
