package session

import (
	"context"
	"errors"

	"github.com/strata-coord/strata/tiers"
)

// Close ends the session, in every tier where it was opened. What ended before, or is ending, needs no Close. In read-only mode it
// is not waited for the replicated tree, which learns of it when the majority is back; if this member stops before, the session ends there by
// its timeout.
func (m *Manager) Close(ctx context.Context, l tiers.Lease) *tiers.Pending {
	m.mu.Lock()
	s := m.sessions[l.ID]
	var err error
	_, moved := m.moved[l.ID]
	switch {
	case m.closed:
		err = tiers.ErrClosed
	case s == nil && moved, s != nil && s.grip != l.Grip:
		err = tiers.ErrSessionMoved
	case s == nil || s.ending:
		m.mu.Unlock()
		return tiers.Completed(tiers.Receipt{Zxid: m.cfg.Strong.Zxid()}, nil)
	}
	if err != nil {
		m.mu.Unlock()
		return tiers.Completed(tiers.Receipt{Zxid: m.cfg.Strong.Zxid()}, &tiers.OpError{Op: "closeSession", Err: err})
	}
	s.cut, s.ending = nil, true
	m.mu.Unlock()
	// Behind an opening that is just being submitted.
	s.order.Lock()
	defer s.order.Unlock()
	m.mu.Lock()
	strong, eventual := s.opened["strong"], s.opened["eventual"]
	m.mu.Unlock()
	if eventual {
		m.closeEventual(l.ID)
	}
	if !strong {
		m.forget(s)
		return tiers.Completed(tiers.Receipt{Zxid: m.cfg.Strong.Zxid()}, nil)
	}
	if m.cfg.Strong.ReadOnly() {
		m.mu.Lock()
		s.owed = true
		m.mu.Unlock()
		return tiers.Completed(tiers.Receipt{Zxid: m.cfg.Strong.Zxid()}, nil)
	}
	p := new(tiers.Pending)
	m.cfg.Strong.Submit(ctx, closeTxn(l.ID)).Then(func(r tiers.Receipt, err error) {
		m.forget(s)
		if errors.Is(err, tiers.ErrSessionExpired) {
			err = nil // it is gone, and what it owned
		}
		p.Complete(r, err)
	})
	return p
}

func closeTxn(id tiers.SessionID) tiers.Txn {
	return tiers.Txn{Session: id, Ops: []tiers.Op{{Kind: tiers.OpCloseSession}}}
}

// settle tells the replicated tree, once there is a majority again, of the sessions that were closed in read-only mode, and of those
// that came to this member.
func (m *Manager) settle() {
	if m.cfg.Strong.ReadOnly() {
		return
	}
	m.mu.Lock()
	var due, guests []*session // guests are some of due
	for _, s := range m.sessions {
		if s.owed && !s.telling {
			s.telling = true
			due = append(due, s)
			if s.guest {
				guests = append(guests, s)
			}
		}
	}
	m.mu.Unlock()
	for _, s := range guests { // only its host may close a session
		m.cfg.Strong.Submit(context.Background(), openTxn(s.id, m.cfg.Max))
	}
	m.settleGuests()
	for _, s := range due {
		m.cfg.Strong.Submit(context.Background(), closeTxn(s.id)).Then(func(_ tiers.Receipt, err error) {
			if !errors.Is(err, tiers.ErrUnavailable) && !errors.Is(err, tiers.ErrUnknownOutcome) {
				m.forget(s)
				return
			}
			m.mu.Lock()
			s.telling = false
			m.mu.Unlock()
		})
	}
}

func (m *Manager) closeEventual(id tiers.SessionID) {
	if m.cfg.Eventual == nil {
		return
	}
	m.cfg.Eventual.Submit(context.Background(), closeTxn(id)).Then(
		func(_ tiers.Receipt, err error) {
			if err != nil && !errors.Is(err, tiers.ErrSessionExpired) {
				m.log.Warn("could not end a session in the eventual tier", "session", id, "err", err)
			}
		})
}
