package zkcompat

import (
	"errors"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// arming says which events the reply in a slot must not be overtaken by. A recursive watch may reach into tiers of any kind.
func (c *conn) arming(path string, scope tiers.Scope) arming {
	return arming{
		path: path, scope: scope,
		firm: scope == tiers.ScopeRecursive || !c.srv.cfg.Tier.Contract(path).ReplicatedZxids,
	}
}

// addWatch arms a watch that stays.
func (c *conn) addWatch(s *slot, d *jute.Decoder) error {
	var q jute.PathInt
	if q.Decode(d) != nil || q.Value != jute.AddPersistent && q.Value != jute.AddRecursive {
		return c.garbled(s)
	}
	path, scope := rooted(q.Path), tiers.ScopePersistent
	if q.Value == jute.AddRecursive {
		scope = tiers.ScopeRecursive
	}
	s.arm = c.arming(path, scope)
	if !c.open(s) {
		return errGone
	}
	if !c.waits() {
		c.answered(s, tiers.Receipt{Zxid: s.floor}, c.srv.cfg.Tier.AddWatch(path, scope, c))
		return nil
	}
	// It sees nothing of what was asked before, so it is armed at its place. The AddWatch is for the trees mounted below, and for
	// what is to be watched although it can't be read now.
	at := tiers.Query{Path: path, Want: tiers.WantNothing, Watch: &tiers.WatchSpec{Watcher: c, Scope: scope}}
	c.follow(at, func(r tiers.Receipt, _ error) {
		r.Zxid = max(r.Zxid, r.View.Zxid, s.floor)
		c.answered(s, r, c.srv.cfg.Tier.AddWatch(path, scope, c))
	})
	return nil
}

// findWatches tells whether the connection has a watch, and removes it if that is the request.
func (c *conn) findWatches(s *slot, d *jute.Decoder) error {
	var q jute.PathInt
	scope, known := tiers.Scope(0), false
	if q.Decode(d) == nil {
		scope, known = scopeOfType(q.Value)
	}
	if !known {
		return c.garbled(s)
	}
	path := rooted(q.Path) // with an empty one, Unwatch would take everything
	find := func() error {
		has := false
		if s.op == jute.OpRemoveWatches {
			has = c.srv.cfg.Tier.Unwatch(c, path, scope)
		} else {
			has = c.srv.cfg.Tier.HasWatch(c, path, scope)
		}
		if !has {
			return tiers.ErrNoWatcher
		}
		return nil
	}
	if !c.open(s) {
		return errGone
	}
	if !c.waits() {
		c.answered(s, tiers.Receipt{Zxid: s.floor}, find())
		return nil
	}
	// What arms the watch, or takes it away, may still be under way.
	c.follow(tiers.Query{Path: path, Want: tiers.WantNothing}, func(r tiers.Receipt, _ error) {
		c.answered(s, tiers.Receipt{Zxid: max(r.Zxid, r.View.Zxid, s.floor)}, find())
	})
	return nil
}

func scopeOfType(t int32) (s tiers.Scope, known bool) {
	switch t {
	case jute.WatchChildren:
		return tiers.ScopeChildren, true
	case jute.WatchData:
		return tiers.ScopeData, true
	case jute.WatchAny:
		return tiers.ScopeAny, true
	case jute.WatchPersistent:
		return tiers.ScopePersistent, true
	case jute.WatchRecursive:
		return tiers.ScopeRecursive, true
	}
	return 0, false
}

// rearm is a one-shot watch that a client had before it reconnected.
type rearm struct {
	query tiers.Query
	// found is the event if the watch could not be armed again although the znode is there, lost the one if it is not there (0: none).
	found, lost tiers.EventType
}

// setWatches arms the watches of a client that has reconnected, or tells it what it has missed.
//
// What can't be found out now counts as missed: the client will then read for itself, and be told why that fails.
func (c *conn) setWatches(s *slot, d *jute.Decoder) error {
	var q jute.SetWatches
	if q.Decode(d, s.op == jute.OpSetWatches2) != nil {
		return c.garbled(s)
	}
	var all []rearm
	add := func(paths []string, want tiers.Want, missing bool, found, lost tiers.EventType) {
		for _, p := range paths {
			all = append(all, rearm{found: found, lost: lost, query: tiers.Query{Path: rooted(p), Want: want, Watch: &tiers.WatchSpec{
				Watcher: c, Scope: scopeOf(want), Rearm: true, Since: tiers.Zxid(q.Since), ExpectMissing: missing,
			}}})
		}
	}
	add(q.Data, tiers.WantStat, false, tiers.NodeDataChanged, tiers.NodeDeleted)
	add(q.Exist, tiers.WantStat, true, tiers.NodeCreated, 0)
	add(q.Children, tiers.WantChildren, false, tiers.NodeChildrenChanged, tiers.NodeDeleted)
	s.late, s.waiting = make([]lateEvent, len(all)), len(all)
	if !c.open(s) {
		return errGone
	}
	err := c.keepWatches(&q)
	if len(all) == 0 || err != nil {
		s.late = nil
		c.answered(s, tiers.Receipt{Zxid: s.floor}, err)
		return nil
	}
	for i := range all {
		c.follow(all[i].query, func(r tiers.Receipt, err error) {
			s.late[i] = lateEvent{c.missed(&all[i], &r.View, err), all[i].query.Path}
			if !c.out.fillPart(s, max(r.Zxid, r.View.Zxid)) {
				c.srv.cfg.Tier.Unwatch(c, "", tiers.ScopeAny) // see answered
			}
		})
	}
	return nil
}

// keepWatches arms the watches that stay. Their client is not told what it has missed.
func (c *conn) keepWatches(q *jute.SetWatches) error {
	for _, p := range q.Persistent {
		if err := c.srv.cfg.Tier.AddWatch(rooted(p), tiers.ScopePersistent, c); err != nil {
			return err
		}
	}
	for _, p := range q.Recursive {
		if err := c.srv.cfg.Tier.AddWatch(rooted(p), tiers.ScopeRecursive, c); err != nil {
			return err
		}
	}
	return nil
}

// missed is the event that a client gets instead of its watch; 0 if it has its watch again.
func (c *conn) missed(w *rearm, v *tiers.View, err error) tiers.EventType {
	switch {
	case err == nil && v.Armed:
		return 0
	case err == nil:
		return w.found
	case errors.Is(err, tiers.ErrNoNode):
		return w.lost
	case errors.Is(err, tiers.ErrNoAuth):
		// It may read the znode later, and does not know that it can't now: the watch is armed, its events are held against the ACL.
		if c.srv.cfg.Tier.AddWatch(w.query.Path, w.query.Watch.Scope, c) == nil {
			return 0
		}
	}
	return w.found
}
