package eventual

import (
	"context"
	"time"

	"github.com/strata-coord/strata/tiers"
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
	h := hosts{byName: make(map[string]Member), self: t.origin, started: t.started}
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
	v.mu.Lock()
	defer v.mu.Unlock()
	var wrote []*crdt.Record
	for host, sessions := range v.hosted {
		away := h.away(host, now)
		if away == 0 && len(v.hidden[host]) == 0 {
			continue
		}
		for session := range sessions {
			wrote = append(wrote, t.lookAfterSession(host, session, away, h.majority, now)...)
		}
	}
	wrote = append(wrote, t.writer.expire(now)...)
	for _, r := range wrote {
		t.writer.commit(r)
	}
	t.out(wrote)
}

// lookAfterSession hides or shows a host's ephemerals of one session. It returns the tombstones of those that nobody can come back
// for: of this member's earlier starts, and of a host that is lost for longer than anything is remembered. Callers hold the view's mu.
func (t *Tier) lookAfterSession(host crdt.Origin, session int64, away time.Duration, majority bool, now time.Time) (wrote []*crdt.Record) {
	v := t.view
	for _, r := range v.ephemerals(session) {
		if r.Host != host {
			continue
		}
		was := v.hidden[host][session]
		hide := was
		switch {
		case away == 0:
			hide = false
		case away > time.Duration(r.Timeout)*time.Millisecond && majority:
			hide = true
		}
		if hide != was {
			v.hide(host, session, hide)
			t.log.Info("a member's ephemerals are given up or back", "member", host.Name, "session", tiers.SessionID(session), "shown", !hide, "away", away)
		}
		v.show(r.Path)
		v.fire()
		if hide && (host.Name == t.cfg.Name || away > t.cfg.TombstoneAge) {
			wrote = append(wrote, t.writer.tombstone(r, now))
		}
	}
	return wrote
}
