package session

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// A guest is a session of the replicated tree that another member hosts there, and that was taken over here in read-only mode, when
// the log can't move it. It may do what needs no majority. When the majority is back, the log is asked to move it, ahead of the first
// txn that it submits. It ends here if it has ended there, or has gone to another member meanwhile.

var _ tiers.ReadOnlySessions = (*Manager)(nil)

// AttachReadOnly implements tiers.ReadOnlySessions.
func (m *Manager) AttachReadOnly(ctx context.Context, id tiers.SessionID, password []byte, timeout time.Duration, cut func(error)) (tiers.Lease, error) {
	l, err := m.attachGuest(ctx, id, password, timeout, cut)
	if err != nil {
		return tiers.Lease{}, &tiers.OpError{Op: "session", Err: err}
	}
	return l, nil
}

func (m *Manager) attachGuest(ctx context.Context, id tiers.SessionID, password []byte, timeout time.Duration, cut func(error)) (tiers.Lease, error) {
	want, err := m.password(id)
	if err != nil {
		return tiers.Lease{}, err
	}
	if subtle.ConstantTimeCompare(want[:], password) != 1 {
		return tiers.Lease{}, tiers.ErrBadPassword
	}
	m.mu.Lock()
	s := m.sessions[id]
	closed := s != nil && s.owed
	m.mu.Unlock()
	if closed {
		return tiers.Lease{}, tiers.ErrSessionExpired
	}
	over := m.begin(id)
	if over == nil {
		return tiers.Lease{}, fmt.Errorf("%w: the session is being attached here already", tiers.ErrUnavailable)
	}
	defer m.finish(id, over)
	switch state, _ := m.cfg.Strong.SessionState(id); {
	case state == Ended:
		return tiers.Lease{}, tiers.ErrSessionExpired
	case state == Unknown, !m.cfg.Strong.ReadOnly():
		return tiers.Lease{}, fmt.Errorf("%w: the session can't be a guest here", tiers.ErrUnavailable)
	}
	l, err := m.enter(ctx, id, want, m.clamp(timeout), cut, time.Time{})
	if err != nil {
		return l, err
	}
	m.mu.Lock()
	if s := m.sessions[id]; s != nil && s.grip == l.Grip {
		s.guest, s.opened["strong"] = true, true // its end there is the log's business
	}
	m.mu.Unlock()
	return l, nil
}

// settleGuests has the log move the guests; also those whose clients have left again, as their records in the eventual tier are here.
func (m *Manager) settleGuests() {
	m.mu.Lock()
	var due []*session
	for _, s := range m.sessions {
		if s.guest {
			due = append(due, s)
		}
	}
	m.mu.Unlock()
	for _, s := range due {
		m.settleGuest(s)
	}
}

// isGuest tells whether the log is still to be asked, and can be.
func (m *Manager) isGuest(s *session) bool {
	m.mu.Lock()
	guest := s.guest
	m.mu.Unlock()
	return guest && !m.cfg.Strong.ReadOnly()
}

// settleGuest submits the move of a guest, unless that is done or under way. What the session submits afterwards stays behind it.
func (m *Manager) settleGuest(s *session) {
	s.order.Lock()
	defer s.order.Unlock()
	m.mu.Lock()
	if !s.guest || s.telling || s.ending || m.sessions[s.id] != s {
		m.mu.Unlock()
		return
	}
	s.telling = true
	timeout, sent := s.timeout, time.Now()
	m.mu.Unlock()
	m.cfg.Strong.Submit(context.Background(), openTxn(s.id, timeout)).Then(func(_ tiers.Receipt, err error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		s.telling = false
		switch {
		case m.sessions[s.id] != s:
		case err == nil:
			s.guest, s.loggedAt = false, sent
		case errors.Is(err, tiers.ErrSessionExpired):
			m.end(s)
		default:
			m.log.Info("a session that came in read-only mode is not moved here yet; trying again", "session", s.id, "err", err)
		}
	})
}
