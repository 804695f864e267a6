package memtier

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"maps"
	"sync"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// Sessions is the session table of a cluster of one member, over any [tiers.Tier]: a [Tier] or a Router over several.
//
// A session is local until its first ephemeral create through [Sessions.Tier], which opens it in the tree of that path. The
// table counts the timeouts of all its sessions, and at the end of one closes it in every tree where it was opened.
type Sessions struct {
	tier     tiers.Tier
	min, max time.Duration
	timers   timers

	mu     sync.Mutex
	live   map[tiers.SessionID]*session // guarded by mu
	last   uint32                       // counter of the last id; guarded by mu
	closed bool                         // guarded by mu
}

// session is one live session. Its fields are guarded by Sessions.mu, but for order.
type session struct {
	id       tiers.SessionID
	password [16]byte
	timeout  time.Duration
	grip     uint64
	cut      func(error) // nil while nobody is attached
	// opened are the trees that know the session, with a path in each.
	opened map[tiers.Tier]string

	// order is held from looking at opened until the session is opened where it must be, so that no ephemeral create overtakes
	// that. Taken before Sessions.mu.
	order sync.Mutex
}

var _ tiers.Sessions = (*Sessions)(nil)

// NewSessions makes an empty table; timeouts are clamped to minTimeout..maxTimeout. Stop it when done.
func NewSessions(t tiers.Tier, minTimeout, maxTimeout time.Duration) *Sessions {
	s := &Sessions{tier: t, min: minTimeout, max: maxTimeout, live: make(map[tiers.SessionID]*session)}
	s.timers.expired = s.expire
	s.watchEnds(t)
	return s
}

// watchEnds learns of sessions that the tree ended by itself, where it tells.
func (s *Sessions) watchEnds(t tiers.Tier) {
	if t, ok := t.(interface{ OnSessionEnd(func(tiers.SessionID)) }); ok {
		// The callback comes from within the change of the tree: cut may not be called there.
		t.OnSessionEnd(func(id tiers.SessionID) {
			s.mu.Lock()
			x := s.live[id]
			cut := s.forget(x)
			s.mu.Unlock()
			if cut != nil {
				s.timers.run(func() { cut(tiers.ErrSessionExpired) })
			}
		})
	}
}

// Stop stops the timers and refuses everything from now on. Sessions do not end, and nobody is cut.
func (s *Sessions) Stop() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.timers.close()
}

// Open starts a session.
func (s *Sessions) Open(_ context.Context, timeout time.Duration, cut func(error)) (tiers.Lease, error) {
	x := &session{timeout: s.clamp(timeout), grip: 1, cut: cut, opened: make(map[tiers.Tier]string)}
	rand.Read(x.password[:]) // never fails: see crypto/rand
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return tiers.Lease{}, &tiers.OpError{Op: "session", Err: tiers.ErrClosed}
	}
	s.last++
	id, ok := tiers.NewSessionID(origin.Member, origin.Incarnation, s.last)
	if !ok {
		return tiers.Lease{}, &tiers.OpError{Op: "session", Err: tiers.ErrUnavailable}
	}
	x.id = id
	s.live[id] = x
	s.timers.start(id, x.timeout)
	return x.lease(), nil
}

func (x *session) lease() tiers.Lease {
	return tiers.Lease{ID: x.id, Password: x.password, Timeout: x.timeout, Grip: x.grip}
}

func (s *Sessions) clamp(d time.Duration) time.Duration { return min(max(d, s.min), s.max) }

// Attach gives the session to a new holder and cuts the old one.
func (s *Sessions) Attach(ctx context.Context, id tiers.SessionID, password []byte, timeout time.Duration, cut func(error)) (tiers.Lease, error) {
	s.mu.Lock()
	x := s.live[id]
	var err error
	switch {
	case s.closed:
		err = tiers.ErrClosed
	case x == nil:
		err = tiers.ErrSessionExpired
	case subtle.ConstantTimeCompare(password, x.password[:]) != 1:
		err = tiers.ErrBadPassword
	}
	if err != nil {
		s.mu.Unlock()
		return tiers.Lease{}, &tiers.OpError{Op: "session", Err: err}
	}
	old := x.cut
	x.grip++
	x.cut, x.timeout = cut, s.clamp(timeout)
	s.timers.start(id, x.timeout)
	lease := x.lease()
	opened := maps.Clone(x.opened)
	s.mu.Unlock()
	if old != nil {
		s.timers.run(func() { old(tiers.ErrSessionMoved) })
	}
	for t, path := range opened { // the trees learn the new timeout
		if _, err := tiers.Do(ctx, t, openSession(id, path, lease.Timeout)); err != nil {
			s.Detach(lease)
			return tiers.Lease{}, err
		}
	}
	return lease, nil
}

func openSession(id tiers.SessionID, path string, timeout time.Duration) tiers.Txn {
	return tiers.Txn{Session: id, Ops: []tiers.Op{{Kind: tiers.OpOpenSession, Path: path, Timeout: timeout}}}
}

// Touch begins the session's timeout again, here and in the trees that know it.
func (s *Sessions) Touch(id tiers.SessionID) {
	s.timers.touch(id)
	s.tier.Touch(id)
}

// Detach leaves the session without a holder, until its timeout.
func (s *Sessions) Detach(l tiers.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.live[l.ID]; x != nil && x.grip == l.Grip {
		x.cut = nil
	}
}

// Close ends the session in every tree that knows it.
func (s *Sessions) Close(ctx context.Context, l tiers.Lease) *tiers.Pending {
	s.mu.Lock()
	x := s.live[l.ID]
	var err error
	switch {
	case s.closed:
		err = tiers.ErrClosed
	case x == nil:
		s.mu.Unlock()
		return tiers.Completed(tiers.Receipt{}, nil)
	case x.grip != l.Grip || !bytes.Equal(l.Password[:], x.password[:]):
		err = tiers.ErrSessionMoved
	}
	if err != nil {
		s.mu.Unlock()
		return tiers.Completed(tiers.Receipt{}, &tiers.OpError{Op: "session", Err: err})
	}
	s.forget(x)
	s.mu.Unlock()
	s.timers.stop(l.ID)
	return s.closeIn(ctx, x)
}

// forget takes x (which may be nil) out of the table. Callers hold mu.
func (s *Sessions) forget(x *session) (cut func(error)) {
	if x == nil {
		return nil
	}
	delete(s.live, x.id)
	return x.cut
}

// closeIn ends a session that is no longer in the table, in the trees that know it.
func (s *Sessions) closeIn(ctx context.Context, x *session) *tiers.Pending {
	var last *tiers.Pending
	switch {
	case len(x.opened) == 0:
		// Nobody knows it but us; the answer carries the position of the tree all the same.
		return s.tier.Follow(ctx, tiers.Query{Path: "/", Want: tiers.WantNothing, Local: true}, nil)
	case len(x.opened) == 1:
		for t, path := range x.opened {
			last = t.Submit(ctx, closeSession(x.id, path))
		}
		return last
	}
	all := new(tiers.Pending)
	var mu sync.Mutex
	left := len(x.opened)
	var receipt tiers.Receipt
	var failure error
	for t, path := range x.opened {
		t.Submit(ctx, closeSession(x.id, path)).Then(func(r tiers.Receipt, err error) {
			mu.Lock()
			left--
			if receipt.Zxid < r.Zxid {
				receipt = r
			}
			if failure == nil {
				failure = err
			}
			r, err = receipt, failure
			done := left == 0
			mu.Unlock()
			if done {
				all.Complete(r, err)
			}
		})
	}
	return all
}

func closeSession(id tiers.SessionID, path string) tiers.Txn {
	return tiers.Txn{Session: id, Ops: []tiers.Op{{Kind: tiers.OpCloseSession, Path: path}}}
}

// expire ends a session that was silent for its timeout.
func (s *Sessions) expire(id tiers.SessionID) { s.end(id) }

// End ends a session as its expiry would, now.
func (s *Sessions) End(id tiers.SessionID) {
	s.timers.stop(id)
	s.end(id)
}

func (s *Sessions) end(id tiers.SessionID) {
	s.mu.Lock()
	x := s.live[id]
	cut := s.forget(x)
	s.mu.Unlock()
	if x == nil {
		return
	}
	s.closeIn(context.Background(), x)
	if cut != nil {
		cut(tiers.ErrSessionExpired)
	}
}
