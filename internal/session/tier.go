package session

import (
	"context"
	"errors"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// Tier is the router as sessions use it: it opens a session in a tier ahead of its first ephemeral create there.
type Tier struct {
	tiers.Tier
	m *Manager
}

// Tier wraps the router.
func (m *Manager) Tier() *Tier { return &Tier{Tier: m.cfg.Router, m: m} }

// Submit is the router's, with a session opened first where txn needs it. The open is not waited for: it is ahead of txn in the
// session's order, and if it fails, the create says so. A session that is not kept here does nothing.
func (t *Tier) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	if txn.Session == 0 {
		return t.Tier.Submit(ctx, txn)
	}
	s, err := t.m.kept(txn.Session)
	if err != nil {
		return t.m.refused(&txn, err)
	}
	if t.m.isGuest(s) {
		t.m.settleGuest(s)
	}
	for i := range txn.Ops {
		if op := &txn.Ops[i]; op.Kind == tiers.OpCreate && op.Mode.IsEphemeral() {
			if err := t.m.openIn(ctx, t.Tier, s, op.Path); err != nil {
				return t.m.refused(&txn, err)
			}
		}
	}
	return t.Tier.Submit(ctx, txn)
}

// kept is a session that may act here, or why it may not.
func (m *Manager) kept(id tiers.SessionID) (*session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions[id]
	_, moved := m.moved[id]
	switch {
	case m.closed:
		return nil, tiers.ErrClosed
	case s == nil && moved:
		return nil, tiers.ErrSessionMoved
	case s == nil || s.ending:
		return nil, tiers.ErrSessionExpired
	}
	return s, nil
}

// refused answers a txn of which nothing is done.
func (m *Manager) refused(txn *tiers.Txn, err error) *tiers.Pending {
	e := &tiers.OpError{Op: "txn", Err: err}
	r := tiers.Receipt{Zxid: m.cfg.Strong.Zxid(), Results: make([]tiers.Result, len(txn.Ops))}
	for i := range r.Results {
		r.Results[i].Err = tiers.ErrNotTried
	}
	if len(txn.Ops) > 0 {
		e.Op, e.Path = txn.Ops[0].Kind.String(), txn.Ops[0].Path
		r.Results[0].Err = e
	}
	return tiers.Completed(r, e)
}

// Touch goes through the table, which knows whose business the session's end is.
func (t *Tier) Touch(id tiers.SessionID) { t.m.Touch(id) }

// keeper is the name of the tier that keeps the ephemerals of a path: readonly paths are written in the strong tier.
func keeper(c tiers.Contract) string {
	if c.ReplicatedZxids {
		return "strong"
	}
	return c.Tier
}

// openIn submits the session's opening to the tier of path, once. Whoever comes meanwhile waits until it is submitted.
func (m *Manager) openIn(ctx context.Context, router tiers.Tier, s *session, path string) error {
	c := router.Contract(path)
	if !c.Ephemeral {
		return nil // the tier itself refuses
	}
	name := keeper(c)
	s.order.Lock()
	defer s.order.Unlock()
	if now, err := m.kept(s.id); err != nil {
		return err
	} else if now != s {
		return tiers.ErrSessionMoved // it went away and came back, to another holder
	}
	m.mu.Lock()
	if s.opened[name] {
		m.mu.Unlock()
		return nil
	}
	s.opened[name] = true
	if name == "strong" {
		s.loggedAt = time.Now()
	}
	timeout := s.timeout
	m.mu.Unlock()
	p := router.Submit(context.WithoutCancel(ctx), tiers.Txn{Session: s.id, Ops: []tiers.Op{{Kind: tiers.OpOpenSession, Path: path, Timeout: timeout}}})
	p.Then(func(_ tiers.Receipt, err error) {
		if err != nil && !errors.Is(err, tiers.ErrUnknownOutcome) {
			m.mu.Lock()
			delete(s.opened, name)
			m.mu.Unlock()
		}
	})
	if name == "strong" {
		m.cfg.Strong.Touch(s.id)
	}
	// What is refused at once is not worth a create that could only fail in its turn, for a reason that misleads.
	_, err, _ := p.Result()
	return err
}
