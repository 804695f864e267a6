package session

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strata-coord/strata/tiers"
)

const (
	// freshTimeout bounds how long an attach waits for the latest word of the replicated tree.
	freshTimeout = time.Second
	// askTimeout bounds how long it waits for the other members.
	askTimeout = time.Second
	// repeatable is for how long a session that was handed over is handed over again to the same member: it asks again when the
	// answer was lost with a connection, and would else take the session for nobody's.
	repeatable = 2 * askTimeout
)

// Peers is how the members ask each other about local sessions.
type Peers interface {
	// Self is this member's name.
	Self() string
	// Take asks every reachable member for the session, at once: a member that holds it hands it over and forgets it. It
	// returns each one's answer; who does not answer in time is absent. When the session is handed over after Take has returned,
	// late is called.
	Take(ctx context.Context, id tiers.SessionID, late func(Answer)) map[string]Answer
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
	// Gone is nobody's word: the member does not run, says its machine, whatever gossip still believes.
	Gone bool `msgpack:"-"`
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
	var over chan struct{}
	for over == nil {
		l, busy, err := m.attachHere(id, want, timeout, cut)
		switch {
		case err != nil, busy == nil && l.ID != 0:
			return l, err
		case busy == nil:
			over = m.begin(id)
		default:
			select {
			case <-busy:
			case <-ctx.Done():
				return tiers.Lease{}, fmt.Errorf("%w: %w", tiers.ErrUnavailable, context.Cause(ctx))
			}
		}
	}
	defer m.finish(id, over)
	return m.fetch(ctx, id, want, timeout, cut)
}

// begin says that the session is being fetched; nil if somebody else is at it.
func (m *Manager) begin(id tiers.SessionID) chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.attaching[id] != nil || m.sessions[id] != nil && !m.sessions[id].ending {
		return nil
	}
	over := make(chan struct{})
	m.attaching[id] = over
	return over
}

func (m *Manager) finish(id tiers.SessionID, over chan struct{}) {
	m.mu.Lock()
	delete(m.attaching, id)
	m.mu.Unlock()
	close(over)
}

// fetch attaches a session that is not kept here.
func (m *Manager) fetch(ctx context.Context, id tiers.SessionID, want [16]byte, timeout time.Duration, cut func(error)) (tiers.Lease, error) {
	readOnly := m.cfg.Strong.ReadOnly()
	fresh := !readOnly && m.catchUp(ctx)
	switch state, _ := m.cfg.Strong.SessionState(id); state {
	case Ended:
		return tiers.Lease{}, tiers.ErrSessionExpired
	case Live:
		if readOnly { // only the log can move it, and it is not waited for
			return tiers.Lease{}, fmt.Errorf("%w: read-only mode: the session is another member's", tiers.ErrUnavailable)
		}
		return m.attachLogged(ctx, id, want, timeout, cut)
	}
	switch err := m.prove(ctx, id, timeout); {
	case errors.Is(err, errLogged):
		return m.attachLogged(ctx, id, want, timeout, cut)
	case err != nil:
		if !fresh && !errors.Is(err, tiers.ErrSessionExpired) {
			return tiers.Lease{}, fmt.Errorf("%w: %w", tiers.ErrUnavailable, err)
		}
		return tiers.Lease{}, err
	}
	return m.enter(ctx, id, want, timeout, cut, time.Time{})
}

// attachHere re-attaches a session that is kept here: the earlier holder is cut. Without a lease and an error, it is not here; busy is
// closed when somebody else has done fetching it.
func (m *Manager) attachHere(id tiers.SessionID, p [16]byte, timeout time.Duration, cut func(error)) (l tiers.Lease, busy <-chan struct{}, err error) {
	m.mu.Lock()
	s := m.sessions[id]
	switch {
	case m.closed:
		m.mu.Unlock()
		return l, nil, tiers.ErrClosed
	case s != nil && s.owed:
		m.mu.Unlock()
		return l, nil, tiers.ErrSessionExpired
	case s == nil || s.ending:
		busy = m.attaching[id]
		m.mu.Unlock()
		return l, busy, nil
	}
	changed := s.timeout != timeout
	m.admit(id, timeout, cut)
	l = tiers.Lease{ID: id, Password: p, Timeout: timeout, Grip: s.grip}
	strong, eventual := s.opened["strong"], s.opened["eventual"]
	m.mu.Unlock()
	if strong {
		m.cfg.Strong.Touch(id)
	}
	if !changed {
		return l, nil, nil
	}
	// The trees learn the new timeout, behind an opening that is just being submitted. Nobody waits for it: one that can't be told
	// keeps the old one.
	s.order.Lock()
	defer s.order.Unlock()
	if strong {
		m.cfg.Strong.Submit(context.Background(), openTxn(id, timeout))
	}
	if eventual {
		m.cfg.Eventual.Submit(context.Background(), openTxn(id, timeout))
	}
	return l, nil, nil
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
	if old := m.sessions[id]; old != nil && old.ending {
		delete(m.sessions, id) // its Close did not reach the tree, which has just said that the session lives
	}
	s := m.admit(id, timeout, cut)
	if strong {
		s.opened["strong"], s.loggedAt = true, logged
	}
	s.opened["eventual"] = m.cfg.Eventual != nil
	l := tiers.Lease{ID: id, Password: p, Timeout: timeout, Grip: s.grip}
	m.mu.Unlock()
	if strong {
		m.cfg.Strong.Touch(id)
	}
	err := m.adopt(ctx, id, timeout)
	if err == nil && strong {
		// What the tree told before the session was entered went unheard.
		switch state, hosted := m.cfg.Strong.SessionState(id); {
		case state == Ended:
			err = tiers.ErrSessionExpired
		case state == Live && !hosted:
			err = fmt.Errorf("%w: the session moved on to another member meanwhile", tiers.ErrUnavailable)
		}
	}
	if err == nil {
		return l, nil
	}
	m.mu.Lock()
	if m.sessions[id] == s {
		s.cut = nil // the error tells
		if errors.Is(err, tiers.ErrSessionExpired) {
			m.end(s)
		} else {
			m.drop(s, err)
		}
	}
	m.mu.Unlock()
	return tiers.Lease{}, err
}

// adopt takes the session's records in the eventual tier over.
func (m *Manager) adopt(ctx context.Context, id tiers.SessionID, timeout time.Duration) error {
	if m.cfg.Eventual == nil {
		return nil
	}
	_, err := tiers.Do(ctx, m.cfg.Eventual, openTxn(id, timeout))
	return err
}

// enterLate keeps a session that was handed over when nobody waited for it any more: its client will come again.
func (m *Manager) enterLate(id tiers.SessionID, timeout time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.sessions[id] != nil {
		return
	}
	s := m.admit(id, m.clamp(timeout), nil)
	s.opened["eventual"] = m.cfg.Eventual != nil
	m.later(func() {
		if err := m.adopt(context.Background(), id, timeout); err != nil {
			m.log.Warn("the records of a session that was handed over cannot be taken over", "session", id, "err", err)
		}
	})
}

// errLogged: the session is with another member, and opened in the replicated tree, or just being so: the log moves it.
var errLogged = errors.New("the session is being opened in the replicated tree")

// prove finds out whether a session that the replicated tree does not know lives. A member that held it has handed it over.
func (m *Manager) prove(ctx context.Context, id tiers.SessionID, timeout time.Duration) error {
	answers := map[string]Answer{}
	self := ""
	if m.cfg.Peers != nil {
		self = m.cfg.Peers.Self()
		askCtx, cancel := context.WithTimeout(ctx, askTimeout)
		answers = m.cfg.Peers.Take(askCtx, id, func(a Answer) { m.enterLate(id, a.Timeout) })
		cancel()
	}
	own, err := m.Give(id, self)
	if err != nil {
		return err
	}
	answers[self] = own
	away := false
	for _, a := range answers {
		switch {
		case a.Held:
			return nil
		case a.Logged:
			return errLogged
		}
		away = away || a.Away > 0 && a.Away <= timeout
	}
	if away {
		return nil
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
	a, answered := answers[holder]
	if !known || answered && !a.Gone {
		return tiers.ErrSessionExpired
	}
	switch absent, known := m.cfg.Peers.Absence(holder); {
	case !known, absent > timeout:
		return tiers.ErrSessionExpired
	case absent == 0 && !a.Gone:
		return fmt.Errorf("%w: member %s, which may hold the session, does not answer", tiers.ErrUnavailable, holder)
	}
	return nil
}

// Give answers another member's Take: a local session that is kept here is handed over, and its holder cut. Errors: ErrClosed or
// ErrUnavailable, when this member cannot say, as it has let go of its sessions or does not yet know which they are.
func (m *Manager) Give(id tiers.SessionID, to string) (Answer, error) {
	member, incarnation, ok := m.cfg.Strong.Number()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch s := m.sessions[id]; {
	case m.closed:
		return Answer{}, tiers.ErrClosed
	case !ok:
		return Answer{}, tiers.ErrUnavailable
	case s == nil:
		was := m.moved[id]
		if to != "" && was.to == to && time.Since(was.at) < repeatable {
			return Answer{Held: true, Timeout: was.timeout}, nil
		}
		a := Answer{MovedTo: was.to}
		home, start := id.Home()
		if kept := home == member && start+1 == incarnation || slices.Contains(m.cfg.Guests, id); kept && !m.cfg.LastAlive.IsZero() {
			a.Away = max(time.Since(m.cfg.LastAlive), 1)
		}
		return a, nil
	case s.ending:
		return Answer{}, nil
	case s.opened["strong"]:
		return Answer{Logged: true}, nil
	default:
		m.moved[id] = note{to: to, at: time.Now(), timeout: s.timeout}
		m.drop(s, tiers.ErrSessionMoved)
		return Answer{Held: true, Timeout: s.timeout}, nil
	}
}
