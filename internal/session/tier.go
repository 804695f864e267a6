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
// session's order, and if it fails, the create says so.
func (t *Tier) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	if txn.Session != 0 {
		for i := range txn.Ops {
			if op := &txn.Ops[i]; op.Kind == tiers.OpCreate && op.Mode.IsEphemeral() {
				if err := t.m.openIn(ctx, t.Tier, txn.Session, op.Path); err != nil {
					return tiers.Completed(tiers.Receipt{}, &tiers.OpError{Op: op.Kind.String(), Path: op.Path, Err: err})
				}
			}
		}
	}
	return t.Tier.Submit(ctx, txn)
}

// Touch goes through the table, which knows whose business the session's end is.
func (t *Tier) Touch(id tiers.SessionID) { t.m.Touch(id) }

// kept is the name of the tier that keeps the ephemerals of a path: readonly paths are written in the strong tier.
func kept(c tiers.Contract) string {
	if c.ReplicatedZxids {
		return "strong"
	}
	return c.Tier
}

// openIn submits the session's opening to the tier of path, once.
func (m *Manager) openIn(ctx context.Context, router tiers.Tier, id tiers.SessionID, path string) error {
	c := router.Contract(path)
	if !c.Ephemeral {
		return nil // the tier itself refuses
	}
	name := kept(c)
	m.mu.Lock()
	s := m.sessions[id]
	switch {
	case m.closed:
		m.mu.Unlock()
		return tiers.ErrClosed
	case s == nil || s.ending:
		m.mu.Unlock()
		return tiers.ErrSessionExpired
	case s.opened[name]:
		m.mu.Unlock()
		return nil
	}
	s.opened[name] = true
	if name == "strong" {
		s.loggedAt = time.Now()
	}
	timeout := s.timeout
	m.mu.Unlock()
	router.Submit(context.WithoutCancel(ctx), tiers.Txn{Session: id, Ops: []tiers.Op{{Kind: tiers.OpOpenSession, Path: path, Timeout: timeout}}}).Then(
		func(_ tiers.Receipt, err error) {
			if err != nil && !errors.Is(err, tiers.ErrUnknownOutcome) {
				m.mu.Lock()
				if m.sessions[id] == s {
					delete(s.opened, name)
				}
				m.mu.Unlock()
			}
		})
	if name == "strong" {
		m.cfg.Strong.Touch(id)
	}
	return nil
}
