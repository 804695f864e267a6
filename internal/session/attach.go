package session

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/strata-coord/strata/tiers"
)

const (
	// freshTimeout bounds how long an attach waits for the latest word of the replicated tree.
	freshTimeout = time.Second
	// askTimeout bounds how long it waits for the other members.
	askTimeout = time.Second
)

// Peers is how the members ask each other about local sessions.
type Peers interface {
	// Self is this member's name.
	Self() string
	// Take asks every reachable member for the session, at once: a member that holds it hands it over and forgets it. It
	// returns each one's answer; who does not answer in time is absent.
	Take(ctx context.Context, id tiers.SessionID) map[string]Answer
	// NameOf is the name of the member with that number.
	NameOf(number uint32) (name string, known bool)
	// Absence is for how long a member has not been reachable, 0 for one that is; known is false when nothing is known of it.
	Absence(name string) (absent time.Duration, known bool)
}

// Answer is what a member says of a session.
type Answer struct {
	_msgpack struct{}      `msgpack:",as_array"`
	Held     bool          // it was here, and is the asker's now
	Timeout  time.Duration // of a held one
	MovedTo  string        // it was handed to that member before
	Logged   bool          // it is here, and opened in the replicated tree: move it there
	// Away is for how long its host has been gone that was the answering member before its last start; 0: it was not.
	Away time.Duration
}

// Attach takes a session over. See the package's documentation for what proves that it lives.
func (m *Manager) Attach(ctx context.Context, id tiers.SessionID, password []byte, timeout time.Duration, cut func(error)) (tiers.Lease, error) {
	l, err := m.attach(ctx, id, password, timeout, cut)
	if err != nil {
		return tiers.Lease{}, &tiers.OpError{Op: "session", Err: err}
	}
	return l, nil
}

func (m *Manager) attach(ctx context.Context, id tiers.SessionID, password []byte, timeout time.Duration, cut func(error)) (tiers.Lease, error) {
	want, err := m.password(id)
	if err != nil {
		return tiers.Lease{}, err
	}
	if subtle.ConstantTimeCompare(want[:], password) != 1 {
		return tiers.Lease{}, tiers.ErrBadPassword
	}
	timeout = m.clamp(timeout)
	if l, ok := m.attachHere(id, want, timeout, cut); ok {
		return l, nil
	}

	fresh := m.catchUp(ctx)
	switch state, _ := m.cfg.Strong.SessionState(id); state {
	case Ended:
		return tiers.Lease{}, tiers.ErrSessionExpired
	case Live:
		return m.attachLogged(ctx, id, want, timeout, cut)
	}
	if err := m.prove(ctx, id, timeout); err != nil {
		if !fresh && !errors.Is(err, tiers.ErrSessionExpired) {
			return tiers.Lease{}, fmt.Errorf("%w: %w", tiers.ErrUnavailable, err)
		}
		return tiers.Lease{}, err
	}
	return m.enter(ctx, id, want, timeout, cut, time.Time{})
}

// attachHere re-attaches a session that is kept here: the earlier holder is cut.
func (m *Manager) attachHere(id tiers.SessionID, p [16]byte, timeout time.Duration, cut func(error)) (tiers.Lease, bool) {
	m.mu.Lock()
	s := m.sessions[id]
	if s == nil || s.ending || m.closed {
		m.mu.Unlock()
		return tiers.Lease{}, false
	}
	changed := s.timeout != timeout
	old := s.cut
	s = m.admit(id, timeout, cut)
	l := tiers.Lease{ID: id, Password: p, Timeout: timeout, Grip: s.grip}
	strong := s.opened["strong"]
	m.mu.Unlock()
	if old != nil {
		old(tiers.ErrSessionMoved)
	}
	if strong {
		m.cfg.Strong.Touch(id)
		if changed {
			m.cfg.Strong.Submit(context.Background(), openTxn(id, timeout))
		}
	}
	return l, true
}

func openTxn(id tiers.SessionID, timeout time.Duration) tiers.Txn {
	return tiers.Txn{Session: id, Ops: []tiers.Op{{Kind: tiers.OpOpenSession, Timeout: timeout}}}
}

// catchUp tells whether this member's tree has the latest word.
func (m *Manager) catchUp(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, freshTimeout)
	defer cancel()
	return tiers.Sync(ctx, m.cfg.Strong, "/") == nil
}

// attachLogged moves a session of the replicated tree here, through the log: from then on its old host's txns are refused.
func (m *Manager) attachLogged(ctx context.Context, id tiers.SessionID, p [16]byte, timeout time.Duration, cut func(error)) (tiers.Lease, error) {
	sent := time.Now()
	if _, err := tiers.Do(ctx, m.cfg.Strong, openTxn(id, timeout)); err != nil {
		if errors.Is(err, tiers.ErrUnknownOutcome) {
			err = fmt.Errorf("%w: %w", tiers.ErrUnavailable, err)
		}
		return tiers.Lease{}, err
	}
	return m.enter(ctx, id, p, timeout, cut, sent)
}

// enter enters a session that came from elsewhere, and takes its records in the eventual tier over. logged is when its move in the
// replicated tree was sent; zero if it is not known there.
func (m *Manager) enter(ctx context.Context, id tiers.SessionID, p [16]byte, timeout time.Duration, cut func(error), logged time.Time) (tiers.Lease, error) {
	strong := !logged.IsZero()
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return tiers.Lease{}, tiers.ErrClosed
	}
	s := m.admit(id, timeout, cut)
	s.opened["strong"], s.loggedAt = strong, logged
	s.opened["eventual"] = m.cfg.Eventual != nil
	l := tiers.Lease{ID: id, Password: p, Timeout: timeout, Grip: s.grip}
	m.mu.Unlock()
	if strong {
		m.cfg.Strong.Touch(id)
	}
	if m.cfg.Eventual != nil {
		if _, err := tiers.Do(ctx, m.cfg.Eventual, openTxn(id, timeout)); err != nil {
			m.drop(id, err)
			return tiers.Lease{}, err
		}
	}
	return l, nil
}

// prove finds out whether a session that the replicated tree does not know lives. A member that held it has handed it over.
func (m *Manager) prove(ctx context.Context, id tiers.SessionID, timeout time.Duration) error {
	answers := map[string]Answer{}
	self := ""
	if m.cfg.Peers != nil {
		self = m.cfg.Peers.Self()
		askCtx, cancel := context.WithTimeout(ctx, askTimeout)
		answers = m.cfg.Peers.Take(askCtx, id)
		cancel()
	}
	answers[self] = m.Give(id, self)
	for name, a := range answers {
		switch {
		case a.Held, a.Away > 0 && a.Away <= timeout:
			return nil
		case a.Logged:
			return fmt.Errorf("%w: the session is just being opened by member %s", tiers.ErrUnavailable, name)
		}
	}
	// Nobody who answers holds it. Who held it last?
	if m.cfg.Peers == nil {
		return tiers.ErrSessionExpired
	}
	number, _ := id.Home()
	holder, known := m.cfg.Peers.NameOf(number)
	for range answers { // a chain of notes is no longer than there are members
		a, answered := answers[holder]
		if !answered || a.MovedTo == "" {
			break
		}
		holder = a.MovedTo
	}
	if _, answered := answers[holder]; !known || answered {
		return tiers.ErrSessionExpired
	}
	switch absent, known := m.cfg.Peers.Absence(holder); {
	case !known, absent > timeout:
		return tiers.ErrSessionExpired
	case absent == 0:
		return fmt.Errorf("%w: member %s, which may hold the session, does not answer", tiers.ErrUnavailable, holder)
	}
	return nil
}

// Give answers another member's Take: a local session that is kept here is handed over, and its holder cut.
func (m *Manager) Give(id tiers.SessionID, to string) Answer {
	m.mu.Lock()
	s := m.sessions[id]
	if s == nil || s.ending || s.opened["strong"] {
		a := Answer{MovedTo: m.moved[id].to, Logged: s != nil && s.opened["strong"]}
		m.mu.Unlock()
		if member, incarnation, ok := m.cfg.Strong.Number(); ok && s == nil && !m.cfg.LastAlive.IsZero() {
			if home, start := id.Home(); home == member && start+1 == incarnation {
				a.Away = max(time.Since(m.cfg.LastAlive), 1)
			}
		}
		return a
	}
	m.moved[id] = note{to: to, at: time.Now()}
	a := Answer{Held: true, Timeout: s.timeout}
	m.mu.Unlock()
	m.drop(id, tiers.ErrSessionMoved)
	return a
}
