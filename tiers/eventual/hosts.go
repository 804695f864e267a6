package eventual

import (
	"context"
	"time"

	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

// hostsInterval is how often the hosts of ephemerals are looked after.
const hostsInterval = 250 * time.Millisecond

// watchHosts hides the ephemerals of hosts that have been away for longer than their sessions allow, and shows them again when
// the host is back.
func (t *Tier) watchHosts(ctx context.Context) {
	tick := time.NewTicker(hostsInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			t.lookAfter(now)
		}
	}
}

// hosts is what gossip knows, for one look.
type hosts struct {
	byName   map[string]Member
	self     crdt.Origin
	started  time.Time
	majority bool // of the members that have not left is reachable
}

func (t *Tier) hosts() hosts {
	h := hosts{byName: make(map[string]Member), self: t.origin, started: t.gossip.started}
	all, alive := 0, 0
	for _, m := range t.gossip.members() {
		h.byName[m.Name] = m
		if m.State != Left {
			all++
			if m.State == Alive {
				alive++
			}
		}
	}
	h.majority = 2*alive > all
	return h
}

// away is for how long a host has been gone; 0: it is there.
func (h *hosts) away(host crdt.Origin, now time.Time) time.Duration {
	if host == h.self {
		return 0
	}
	m, known := h.byName[host.Name]
	since := h.started // nothing is known of it: count from this member's own start
	switch {
	case host.Name == h.self.Name:
	case !known, m.LastAlive.IsZero():
	case m.State == Alive && m.Incarnation == host.Incarnation:
		return 0
	case m.State == Alive:
		since = m.Since // it has started again
	default:
		since = m.LastAlive
	}
	return max(now.Sub(since), 1)
}

func (t *Tier) lookAfter(now time.Time) {
	h := t.hosts()
	v := t.view
	var wrote []*crdt.Record
	v.mu.Lock()
	for session := range v.owned {
		for _, r := range v.ephemerals(session) {
			away := h.away(r.Host, now)
			timeout := time.Duration(r.Timeout) * time.Millisecond
			hide := v.hidden[r.Host][session]
			switch {
			case away == 0:
				hide = false
			case away > timeout && h.majority:
				hide = true
			}
			if hide != v.hidden[r.Host][session] {
				v.hide(r.Host, session, hide)
				t.log.Info("ephemerals of a member that is away", "member", r.Host.Name, "session", session, "shown", !hide)
			}
			v.show(r.Path)
			v.fire()
			// What this member's earlier starts own nobody can come back for; what a lost member owned goes after a day.
			if hide && (r.Host.Name == t.cfg.Name || away > t.cfg.TombstoneAge) {
				x := t.writer.next(r.Path, now.UnixMilli())
				x.Deleted = true
				wrote = append(wrote, x)
			}
		}
	}
	wrote = append(wrote, t.writer.expire(now)...)
	t.writer.commit(wrote)
	v.mu.Unlock()
	t.out(wrote)
}

func (v *view) hide(host crdt.Origin, session int64, hide bool) {
	of := v.hidden[host]
	if !hide {
		if delete(of, session); len(of) == 0 {
			delete(v.hidden, host)
		}
		return
	}
	if of == nil {
		of = make(map[int64]bool)
		v.hidden[host] = of
	}
	of[session] = true
}
