package history

import (
	"fmt"
	"slices"

	"github.com/strata-coord/strata/tiers"
)

// ear is a watcher that writes down what it is told.
type ear struct {
	client *Client
	to     tiers.Watcher
}

// seen is an event as it was told.
type seen struct {
	ear   *ear
	when  stamp
	event tiers.Event
	used  bool // by checkWatches: it ended a one-shot watch
}

// arm is a watch that a read has left.
type arm struct {
	client *Client
	ear    *ear
	path   string
	scope  tiers.Scope
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
		e = &ear{c, w}
		c.watchers[w] = e
	}
	return e
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
	a := &arm{client: c, ear: e, path: q.Path, scope: spec.Scope, until: stamp{seq: never}}
	c.rec.mu.Lock()
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

// shown tells whether the watch's member had shown state from change on, but before the event, when it told of the event. If not, it may have
// caught up by a snapshot, over both at once: then a watcher hears of the difference, at the zxid of the snapshot.
func (h *history) shown(a *arm, change tiers.Zxid, event *seen) bool {
	between := func(member string, z tiers.Zxid, when int64) bool {
		return member == a.client.member && z >= change && z < event.event.Zxid && when > a.from.seq && when < event.when.seq
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

// checkWatches: a client that watches the data of a znode is told of its first change after what it saw, and is told before it can
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
		slices.SortFunc(os, func(a, b *Op) int { return int(a.done.seq - b.done.seq) })
	}
	owed := make(map[*ear]map[string]int) // one-shot watches on a path, by ear
	for _, a := range h.arms {
		if a.from.seq == 0 || a.scope != tiers.ScopeData {
			continue
		}
		if owed[a.ear] == nil {
			owed[a.ear] = make(map[string]int)
		}
		owed[a.ear][a.path]++
		change := h.firstChange(a.path, a.zxid)
		var event *seen
		for _, s := range told[a.ear] {
			if s.event.Path == a.path && s.event.Type != tiers.NodeChildrenChanged && s.event.Zxid > a.zxid {
				event = s
				break
			}
		}
		if z, there := h.options.Final[a.path]; change == 0 && event == nil && a.exists && h.options.Final != nil && (!there || z.Stat.Czxid > a.zxid) && a.until.seq == never {
			return h.violation("lost watch", fmt.Sprintf("%s watches %s as of %v, which is gone at the end, and it was never told", a.client.name, a.path, a.zxid), a.from)
		}
		if change == 0 {
			continue
		}
		if event != nil && event.event.Zxid > change && h.shown(a, change, event) {
			return h.violation("lost watch", fmt.Sprintf("%s watches %s as of %v, which was changed by %v, and it was told of %v first",
				a.client.name, a.path, a.zxid, change, event.event.Zxid), event.when)
		}
		if event == nil && a.until.seq == never {
			return h.violation("lost watch", fmt.Sprintf("%s watches %s as of %v, which was changed by %v, and it was never told", a.client.name, a.path, a.zxid, change), a.from)
		}
		for _, o := range reads[a.client] {
			if o.done.seq > a.until.seq || event != nil && o.done.seq > event.when.seq {
				break
			}
			if o.zxid >= change && o.done.seq > a.from.seq {
				return h.violation("late watch", fmt.Sprintf("%s watches %s as of %v, which was changed by %v, and it read state of %v before it was told",
					a.client.name, a.path, a.zxid, change, o.zxid), o.done)
			}
		}
	}
	return nil
}
