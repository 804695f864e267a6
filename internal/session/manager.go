// Package session is the session table of one member: who is attached here, who may attach, and when a session ends.
//
// # Local first
//
// A session is an entry in the table of the member that opened it, and costs no quorum write. It is opened in a tier (by a txn
// with tiers.OpOpenSession that travels ahead of the create) before its first ephemeral there. From then on the tier's
// contract rules its end: in the strong tier an entry of the log. A session that is local only ends when this member has not
// heard of it for its timeout.
//
// # Moving
//
// The password is an HMAC of the id under the cluster's key: every member can check it. It proves who, not that the session
// lives: a session is expired unless proven alive. Proof is, in this order: the replicated tree knows it as live; a member says
// that it holds it, and hands it over; or the member that held it last is not reachable, and has not been so for longer than
// the session's timeout.
//
// # Concurrency
//
// Manager.mu guards the table and is never held while a tier, a peer or a holder's cut is called. Holders are cut, and sessions closed
// in the eventual tier, by the one goroutine that runs the tasks, in the order in which they came up: so neither the goroutine that
// applies the log nor an Attach ever waits for a holder or for a disk.
package session

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// State is what the replicated tree knows of a session.
type State uint8

const (
	Unknown State = iota
	Live
	Ended
)

// Replicated is what the manager needs of the strong tier.
type Replicated interface {
	tiers.Tier
	// Number is this member's number and incarnation; ok is false until it is registered.
	Number() (member, incarnation uint32, ok bool)
	// Key is the cluster's secret; nil until there is one.
	Key() []byte
	// SessionState is what this member's tree knows; hosted tells whether the session is attached to this start of this member.
	SessionState(id tiers.SessionID) (s State, hosted bool)
	// Zxid is what this member has applied.
	Zxid() tiers.Zxid
	// Renewed is the latest touch that a majority has heard of.
	Renewed(id tiers.SessionID) time.Time
	// ReadOnly tells that there has been no majority for longer than an election takes.
	ReadOnly() bool
	// ReadOnlyChanged is closed at the next change of ReadOnly.
	ReadOnlyChanged() <-chan struct{}
	// OnSessionEnd and OnSessionMove call f from the goroutine that applies.
	OnSessionEnd(f func(tiers.SessionID))
	OnSessionMove(f func(id tiers.SessionID, hosted bool))
}

// Config is what New needs.
type Config struct {
	Strong   Replicated
	Eventual tiers.Tier // nil if no route is eventual
	Router   tiers.Tier // what clients use: every txn goes to it
	Peers    Peers      // nil for a member alone
	Logger   *slog.Logger
	// LastAlive is when this member's previous start was last known to run; zero if it is not known. Local sessions of that
	// start can still be attached within their timeout.
	LastAlive time.Time
	// Guests are the local sessions that the previous start kept though it had not opened them: what its Guests returned last.
	Guests []tiers.SessionID
	// Tick is the grain of expiry. Timeouts are clamped to Min..Max.
	Tick, Min, Max time.Duration
}

// Manager implements tiers.Sessions; Tier wraps the router. Its methods may be called concurrently.
type Manager struct {
	cfg Config
	log *slog.Logger

	mu        sync.Mutex
	sessions  map[tiers.SessionID]*session      // guarded by mu; those attached or kept here
	moved     map[tiers.SessionID]note          // guarded by mu; sessions that went from here to another member
	attaching map[tiers.SessionID]chan struct{} // guarded by mu; being fetched from elsewhere; closed when that is over
	counter   uint32                            // guarded by mu; of ids
	grip      uint64                            // guarded by mu; of attachments
	ticked    time.Time                         // guarded by mu; the last tick
	tasks     []func()                          // guarded by mu; run in order, without locks
	closed    bool                              // guarded by mu

	wake chan struct{} // tells run of tasks; capacity 1
	stop context.CancelFunc
	work sync.WaitGroup // run
}

// session is one entry. Its fields are guarded by Manager.mu, but for order.
type session struct {
	id      tiers.SessionID
	timeout time.Duration
	touched time.Time
	grip    uint64
	cut     func(error) // of the holder; nil: detached
	// opened has the tiers in which the session was opened, or is being opened, by the tier's name.
	opened map[string]bool
	// loggedAt is when the opening in the replicated tree was sent: the log cannot end the session before loggedAt plus timeout.
	loggedAt time.Time
	// ending: Close was called; nothing more is accepted.
	ending bool
	// owed: it was closed in read-only mode, and the replicated tree has not confirmed that yet; telling: it is being told.
	owed, telling bool
	// guest: the session is hosted by another member in the replicated tree, as far as is known here. See guest.go.
	guest bool

	// order is held from looking at opened until the opening is submitted, so that no ephemeral create overtakes it, and by Close.
	// Taken before Manager.mu.
	order sync.Mutex
}

// note says where a session went.
type note struct {
	to      string // member name; empty: the log moved it, and knows
	at      time.Time
	timeout time.Duration // of the session, if it was given to that member
}

// New starts the table.
func New(c Config) *Manager {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Manager{
		cfg: c, log: c.Logger, sessions: make(map[tiers.SessionID]*session), moved: make(map[tiers.SessionID]note),
		attaching: make(map[tiers.SessionID]chan struct{}), ticked: time.Now(), wake: make(chan struct{}, 1),
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	c.Strong.OnSessionEnd(m.endedInLog)
	c.Strong.OnSessionMove(m.movedInLog)
	m.work.Go(func() { m.run(ctx) })
	return m
}

// run runs the tasks and the ticks until ctx ends. Stop waits for it.
func (m *Manager) run(ctx context.Context) {
	tick := time.NewTicker(m.cfg.Tick)
	defer tick.Stop()
	for {
		changed := m.cfg.Strong.ReadOnlyChanged()
		select {
		case <-ctx.Done():
			return
		case <-changed:
			m.settle()
		case <-m.wake:
		case <-tick.C:
			m.expire(time.Now())
			m.settle()
		}
		m.runTasks()
	}
}

func (m *Manager) runTasks() {
	for {
		m.mu.Lock()
		tasks := m.tasks
		m.tasks = nil
		if m.closed {
			tasks = nil
		}
		m.mu.Unlock()
		if len(tasks) == 0 {
			return
		}
		for _, f := range tasks {
			f()
		}
	}
}

// later has f run by the goroutine of the tasks. Callers hold mu.
func (m *Manager) later(f func()) {
	m.tasks = append(m.tasks, f)
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Stop lets go of all sessions without ending them; holders are not told.
func (m *Manager) Stop() {
	m.mu.Lock()
	m.closed = true
	clear(m.sessions)
	m.mu.Unlock()
	m.stop()
	m.work.Wait()
}

func (m *Manager) clamp(d time.Duration) time.Duration { return min(max(d, m.cfg.Min), m.cfg.Max) }

// password proves a session id to any member of the cluster.
func (m *Manager) password(id tiers.SessionID) (p [16]byte, err error) {
	key := m.cfg.Strong.Key()
	if len(key) == 0 {
		return p, fmt.Errorf("%w: the cluster has not been formed yet", tiers.ErrUnavailable)
	}
	h := hmac.New(sha256.New, key)
	fmt.Fprintf(h, "strata session %d", id)
	copy(p[:], h.Sum(nil))
	return p, nil
}

// newID draws an id that no session ever had. Callers hold mu.
func (m *Manager) newID() (tiers.SessionID, error) {
	member, incarnation, ok := m.cfg.Strong.Number()
	if !ok {
		return 0, fmt.Errorf("%w: this member is not registered with the cluster yet", tiers.ErrUnavailable)
	}
	m.counter++
	id, ok := tiers.NewSessionID(member, incarnation, m.counter)
	if !ok {
		return 0, fmt.Errorf("%w: the session ids of this start are used up: start the member again", tiers.ErrUnavailable)
	}
	return id, nil
}

var errStopped = &tiers.OpError{Op: "session", Err: tiers.ErrClosed}

// Open starts a session here.
func (m *Manager) Open(_ context.Context, timeout time.Duration, cut func(error)) (tiers.Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return tiers.Lease{}, errStopped
	}
	id, err := m.newID()
	if err == nil {
		var p [16]byte
		if p, err = m.password(id); err == nil {
			s := m.admit(id, m.clamp(timeout), cut)
			return tiers.Lease{ID: id, Password: p, Timeout: s.timeout, Grip: s.grip}, nil
		}
	}
	return tiers.Lease{}, &tiers.OpError{Op: "session", Err: err}
}

// admit enters a session with its holder; an earlier holder is cut. Callers hold mu.
func (m *Manager) admit(id tiers.SessionID, timeout time.Duration, cut func(error)) *session {
	s := m.sessions[id]
	if s == nil {
		s = &session{id: id, opened: make(map[string]bool)}
		m.sessions[id] = s
	} else if old := s.cut; old != nil {
		m.later(func() { old(tiers.ErrSessionMoved) })
	}
	m.grip++
	s.timeout, s.touched, s.grip, s.cut = timeout, time.Now(), m.grip, cut
	delete(m.moved, id)
	return s
}

// Touch notes that the session's client was heard of.
func (m *Manager) Touch(id tiers.SessionID) {
	m.mu.Lock()
	s := m.sessions[id]
	if s != nil {
		s.touched = time.Now()
	}
	strong := s != nil && s.opened["strong"]
	m.mu.Unlock()
	if strong {
		m.cfg.Strong.Touch(id)
	}
}

// Detach lets the session live on without a holder.
func (m *Manager) Detach(l tiers.Lease) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.sessions[l.ID]; s != nil && s.grip == l.Grip {
		s.cut = nil
	}
}

func (m *Manager) forget(s *session) {
	m.mu.Lock()
	if m.sessions[s.id] == s {
		delete(m.sessions, s.id)
	}
	m.mu.Unlock()
}

// drop forgets a session and has its holder cut. Callers hold mu.
func (m *Manager) drop(s *session, why error) {
	delete(m.sessions, s.id)
	if cut := s.cut; cut != nil {
		s.cut = nil
		m.later(func() { cut(why) })
	}
}

// end forgets a session that has ended, and ends it in the eventual tier. Callers hold mu.
func (m *Manager) end(s *session) {
	if s.opened["eventual"] {
		m.later(func() { m.closeEventual(s.id) })
	}
	m.drop(s, tiers.ErrSessionExpired)
}

// endedInLog is called by the applier when the log has ended a session.
func (m *Manager) endedInLog(id tiers.SessionID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.sessions[id]; s != nil && !s.ending && !m.closed {
		m.end(s)
	}
}

// movedInLog is called by the applier when a session is opened in the log, or moved by it.
func (m *Manager) movedInLog(id tiers.SessionID, hosted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions[id]
	switch {
	case s == nil || m.closed:
	case hosted:
		s.opened["strong"] = true // also when the opening itself was left without an answer
	default:
		m.moved[id] = note{at: time.Now()}
		m.drop(s, tiers.ErrSessionMoved)
	}
}

// expire ends the sessions whose clients were silent for their timeout, each within a tick after it.
func (m *Manager) expire(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.excuse(now)
	for id, s := range m.sessions {
		if s.ending || now.Sub(s.touched) < s.timeout {
			continue
		}
		// What the log knows as live, the log ends.
		if s.opened["strong"] {
			if state, _ := m.cfg.Strong.SessionState(id); state == Live {
				continue
			}
		}
		m.log.Info("a session has expired", "session", id, "timeout", s.timeout, "attached", s.cut != nil)
		m.end(s)
	}
	for id, n := range m.moved {
		if now.Sub(n.at) > 2*m.cfg.Max {
			delete(m.moved, id)
		}
	}
}

// excuse gives the clients the time for which this process was stopped: who could not be heard was not silent. Callers hold mu.
func (m *Manager) excuse(now time.Time) {
	stopped := now.Sub(m.ticked) - m.cfg.Tick
	m.ticked = now
	if stopped < m.cfg.Tick {
		return
	}
	m.log.Warn("this process was stopped for a while; the clients of local sessions get that much more time", "stopped", stopped)
	for _, s := range m.sessions {
		if s.touched = s.touched.Add(stopped); s.touched.After(now) {
			s.touched = now
		}
	}
}

// Stats counts the sessions kept here, and those of them that were opened in the replicated tree.
func (m *Manager) Stats() (sessions, replicated int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		if s.opened["strong"] {
			replicated++
		}
	}
	return len(m.sessions), replicated
}

// Each calls f with the sessions kept here, and when their clients were last heard. f runs under the manager's lock: it must be quick
// and not call the manager.
func (m *Manager) Each(f func(id tiers.SessionID, timeout time.Duration, heard time.Time)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		f(s.id, s.timeout, s.touched)
	}
}

// Guests are the local sessions kept here that this start has not opened: they came from elsewhere, or from before. Sorted.
func (m *Manager) Guests() (ids []tiers.SessionID) {
	member, incarnation, _ := m.cfg.Strong.Number()
	m.mu.Lock()
	for id, s := range m.sessions {
		if home, start := id.Home(); (home != member || start != incarnation) && !s.opened["strong"] && !s.ending {
			ids = append(ids, id)
		}
	}
	m.mu.Unlock()
	slices.Sort(ids)
	return ids
}

// SafeUntil is until when the cluster will not end the session: zero while it owns nothing that others could be granted.
func (m *Manager) SafeUntil(id tiers.SessionID) time.Time {
	m.mu.Lock()
	s := m.sessions[id]
	if s == nil || !s.opened["strong"] {
		m.mu.Unlock()
		return time.Time{}
	}
	timeout, at := s.timeout, s.loggedAt
	m.mu.Unlock()
	if r := m.cfg.Strong.Renewed(id); r.After(at) {
		at = r
	}
	return at.Add(timeout)
}
