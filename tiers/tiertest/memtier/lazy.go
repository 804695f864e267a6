package memtier

import (
	"context"

	"github.com/strata-coord/strata/tiers"
)

// Tier is the tier below, which opens a session of this table where it is about to create its first ephemeral.
func (s *Sessions) Tier() tiers.Tier { return &lazy{s.tier, s} }

type lazy struct {
	tiers.Tier
	sessions *Sessions
}

// Submit refuses the txns of sessions that have ended, and opens those that need it.
func (l *lazy) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	x, ended := l.sessions.find(txn.Session)
	if ended {
		return tiers.Completed(tiers.Receipt{}, &tiers.OpError{Op: "session", Err: tiers.ErrSessionExpired})
	}
	if x == nil {
		return l.Tier.Submit(ctx, txn)
	}
	x.order.Lock()
	defer x.order.Unlock()
	for i := range txn.Ops {
		if op := &txn.Ops[i]; op.Kind == tiers.OpCreate && op.Mode.IsEphemeral() {
			l.sessions.open(ctx, x, op.Path)
		}
	}
	return l.Tier.Submit(ctx, txn)
}

// find is the live session; ended tells that this table had it. Sessions that others opened are neither.
func (s *Sessions) find(id tiers.SessionID) (x *session, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x = s.live[id]; x != nil {
		return x, false
	}
	member, incarnation := id.Home()
	past, _ := tiers.NewSessionID(origin.Member, origin.Incarnation, s.last)
	return nil, member == origin.Member && incarnation == origin.Incarnation && id <= past
}

// open opens x in the tree of path unless it is. Callers hold x.order.
func (s *Sessions) open(ctx context.Context, x *session, path string) {
	t := s.tierOf(path)
	s.mu.Lock()
	_, known := x.opened[t]
	x.opened[t] = path
	timeout := x.timeout
	s.mu.Unlock()
	if known {
		return
	}
	// Nobody waits for the answer: txns of a session apply in order, so what follows finds it open, or fails and says why.
	t.Submit(ctx, openSession(x.id, path, timeout)).Then(func(_ tiers.Receipt, err error) {
		if err != nil {
			s.mu.Lock()
			delete(x.opened, t)
			s.mu.Unlock()
		}
	})
}

// tierOf is the tier of path below a router, or the one tier.
func (s *Sessions) tierOf(path string) tiers.Tier {
	if r, ok := s.tier.(*tiers.Router); ok {
		_, t := r.Route(path)
		return t
	}
	return s.tier
}
