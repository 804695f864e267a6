package history

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/strata-coord/strata/tiers"
)

// ear is a watcher that writes down what it is told.
type ear struct {
	client  *Client
	to      tiers.Watcher
	lasting bool // it has, or had, watches that are not one-shot or not of this history; guarded by the recorder's mu
}

// seen is an event as it was told.
type seen struct {
	ear   *ear
	when  stamp
	event tiers.Event
}

// arm is a watch that a read has left.
type arm struct {
	client *Client
	ear    *ear
	path   string
	scope  tiers.Scope
	called stamp
	from   stamp      // it was armed; seq is 0 while it is not known to be
	zxid   tiers.Zxid // of the state that the read showed
	until  stamp      // nothing is owed from here on
	exists bool       // the read found the znode
}

func (c *Client) ear(w tiers.Watcher) *ear {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.watchers[w]
	if e == nil {
		e = &ear{client: c, to: w}
		c.watchers[w] = e
	}
	return e
}

// lasts notes that the ear gets a watch of that scope.
func (e *ear) lasts(s tiers.Scope) {
	if s == tiers.ScopeData || s == tiers.ScopeChildren {
		return
	}
	e.client.rec.mu.Lock()
	e.lasting = true
	e.client.rec.mu.Unlock()
}

// Notify implements tiers.Watcher.
func (e *ear) Notify(ev tiers.Event) {
	r := e.client.rec
	r.mu.Lock()
	r.events = append(r.events, &seen{ear: e, when: r.now(), event: ev})
	r.mu.Unlock()
	e.to.Notify(ev)
}

// arm puts the ear in place of the query's watcher.
func (c *Client) arm(_ *Op, q *tiers.Query) *arm {
	if q.Watch == nil {
		return nil
	}
	spec := *q.Watch
	e := c.ear(spec.Watcher)
	spec.Watcher = e
	q.Watch = &spec
	e.lasts(spec.Scope)
	a := &arm{client: c, ear: e, path: q.Path, scope: spec.Scope, until: stamp{seq: never}}
	c.rec.mu.Lock()
	a.called = c.rec.now()
	c.rec.arms = append(c.rec.arms, a)
	c.rec.mu.Unlock()
	return a
}

func (a *arm) armed(o *Op) {
	if a == nil {
		return
	}
	r := a.client.rec
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.view.Armed {
		a.from, a.zxid, a.exists = o.done, o.zxid, o.outcome == OK
	} else if a.until.seq == never {
		a.until = o.done
	}
}

// owed tells whether a member that shows state z must have told of a change, unless it did before. A znode that was not there may have come and
// gone while the member was away; if it caught up by a snapshot, it has nothing to tell.
func (h *history) owed(a *arm, change, z tiers.Zxid) bool {
	if z < change || a.exists || a.scope != tiers.ScopeData {
		return z >= change
	}
	f := h.at(a.path, z)
	return f != nil && f.change != deleted && h.mayHave(tiers.OpDelete, a.path, never) == 0 && (!h.ephemeral[a.path] || h.livesAt(f.owner, z))
}

// shown tells whether the watch's member had shown state from change on, but before the event (nil: ever), when it told of the event. If not, it may have
// caught up by a snapshot, over both at once: then a watcher hears of the difference, at the zxid of the snapshot.
func (h *history) shown(a *arm, change tiers.Zxid, event *seen) bool {
	between := func(member string, z tiers.Zxid, when int64) bool {
		return member == a.client.member && when > a.from.seq && (event == nil || z < event.event.Zxid && when < event.when.seq) && h.owed(a, change, z)
	}
	for _, o := range h.ops {
		if o.done.seq != never && between(o.client.member, o.zxid, o.done.seq) {
			return true
		}
	}
	for _, s := range h.events {
		if between(s.ear.client.member, s.event.Zxid, s.when.seq) {
			return true
		}
	}
	return false
}

// oneShot tells whether the watch is one that an event ends.
func (a *arm) oneShot() bool { return a.scope == tiers.ScopeData || a.scope == tiers.ScopeChildren }

// wants tells whether such an event is what the watch is for.
func (a *arm) wants(ev *tiers.Event) bool {
	if ev.Path != a.path || ev.Zxid <= a.zxid {
		return false
	}
	return ev.Type == tiers.NodeDeleted || (ev.Type == tiers.NodeChildrenChanged) == (a.scope == tiers.ScopeChildren)
}

// due is the zxid of the first known change after what the watch's client saw that the watch is for; 0 for none.
func (h *history) due(a *arm, family map[string][]string) tiers.Zxid {
	if a.scope == tiers.ScopeData {
		return h.firstChange(a.path, a.zxid)
	}
	var first tiers.Zxid
	look := func(path string, deletions bool) {
		for i := range h.facts[path] {
			if f := &h.facts[path][i]; f.zxid > a.zxid && (f.change == deleted || f.change == created && !deletions) && (first == 0 || f.zxid < first) {
				first = f.zxid
			}
		}
	}
	look(a.path, true)
	for _, child := range family[a.path] {
		look(child, false)
	}
	return first
}

// untold tells whether the tree at the end shows that something has happened that the watch is for.
func (h *history) untold(a *arm) bool {
	if h.options.Final == nil || !a.exists {
		return false
	}
	z, there := h.options.Final[a.path]
	return !there || z.Stat.Czxid > a.zxid || a.scope == tiers.ScopeChildren && z.Stat.Pzxid > a.zxid
}

// checkWatches: a client with a one-shot watch is told of the first change after what it saw, and is told before it can
// read that or later state; a watcher's events come in commit order; one watch is told once.
func (h *history) checkWatches() error {
	told := make(map[*ear][]*seen)
	for _, s := range h.events {
		if before := told[s.ear]; len(before) > 0 && before[len(before)-1].event.Zxid > s.event.Zxid {
			return h.violation("watch order", fmt.Sprintf("%s was told of %v after %v", s.ear.client.name, s.event.Zxid, before[len(before)-1].event.Zxid), s.when)
		}
		told[s.ear] = append(told[s.ear], s)
	}
	reads := make(map[*Client][]*Op) // those that were answered, in the order of the answers
	for _, o := range h.ops {
		if o.query != nil && o.done.seq != never && o.zxid > 0 {
			reads[o.client] = append(reads[o.client], o)
		}
	}
	for _, os := range reads {
		slices.SortFunc(os, func(a, b *Op) int { return cmp.Compare(a.done.seq, b.done.seq) })
	}
	family := h.children()
	for _, a := range h.arms {
		if a.from.seq == 0 || !a.oneShot() {
			continue
		}
		change := h.due(a, family)
		var event *seen
		for _, s := range told[a.ear] {
			if a.wants(&s.event) {
				event = s
				break
			}
		}
		if change == 0 && event == nil && a.until.seq == never && h.untold(a) {
			return h.violation("lost watch", fmt.Sprintf("%s watches %s as of %v, which is not the same at the end, and it was never told", a.client.name, a.path, a.zxid), a.from)
		}
		if change == 0 {
			continue
		}
		if event != nil && event.event.Zxid > change && h.shown(a, change, event) {
			return h.violation("lost watch", fmt.Sprintf("%s watches %s as of %v, which was changed by %v, and it was told of %v first",
				a.client.name, a.path, a.zxid, change, event.event.Zxid), event.when)
		}
		if event == nil && a.until.seq == never && (h.owed(a, change, h.newest) || h.shown(a, change, nil)) {
			return h.violation("lost watch", fmt.Sprintf("%s watches %s as of %v, which was changed by %v, and it was never told", a.client.name, a.path, a.zxid, change), a.from)
		}
		for _, o := range reads[a.client] {
			if o.done.seq > a.until.seq || event != nil && o.done.seq > event.when.seq {
				break
			}
			if o.done.seq > a.from.seq && h.owed(a, change, o.zxid) {
				return h.violation("late watch", fmt.Sprintf("%s watches %s as of %v, which was changed by %v, and it read state of %v before it was told",
					a.client.name, a.path, a.zxid, change, o.zxid), o.done)
			}
		}
	}
	return h.checkOneShots()
}

// checkOneShots: who has one-shot watches only is told nothing that it does not watch, nor again what ended its watch.
func (h *history) checkOneShots() error {
	type spot struct {
		ear  *ear
		path string
	}
	open := make(map[spot][]*arm)
	for _, a := range h.arms {
		open[spot{a.ear, a.path}] = append(open[spot{a.ear, a.path}], a)
	}
	for _, s := range h.events {
		if s.ear.lasting {
			continue
		}
		var rest []*arm
		var doubtful *arm // its read failed, so it may be there or not, as of any zxid
		ended := 0
		for _, a := range open[spot{s.ear, s.event.Path}] {
			switch {
			case a.called.seq > s.when.seq || !a.wants(&s.event):
			case a.from.seq == 0 && doubtful == nil:
				doubtful = a
			case a.from.seq > 0:
				ended++
				continue
			}
			rest = append(rest, a)
		}
		switch {
		case ended > 0:
		case doubtful != nil:
			rest = slices.DeleteFunc(rest, func(a *arm) bool { return a == doubtful })
		default:
			return h.violation("told unasked", fmt.Sprintf("%s was told of %v of %s as of %v without a watch for it", s.ear.client.name, s.event.Type, s.event.Path, s.event.Zxid), s.when)
		}
		open[spot{s.ear, s.event.Path}] = rest
	}
	return nil
}
