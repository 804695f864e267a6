package coord

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// Session is a session that this program holds: what it creates as ephemeral lives as long as the session does. Its methods may
// be called concurrently.
type Session struct {
	lease    tiers.Lease
	tier     tiers.Tier
	sessions tiers.Sessions

	ctx context.Context
	end context.CancelCauseFunc

	mu     sync.Mutex     // orders Go before Close's wait
	closed bool           // guarded by mu
	work   sync.WaitGroup // keepAlive, and what Go runs
}

// NewSession opens a session in sessions, for use with t, and keeps it alive until Close.
func NewSession(ctx context.Context, t tiers.Tier, sessions tiers.Sessions, timeout time.Duration) (*Session, error) {
	s := &Session{tier: t, sessions: sessions}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	lease, err := sessions.Open(ctx, timeout, func(why error) { s.end(why) })
	if err != nil {
		s.end(err)
		return nil, fmt.Errorf("open a session: %w", err)
	}
	s.lease = lease
	s.work.Go(s.keepAlive)
	return s, nil
}

// keepAlive touches the session until it ends.
func (s *Session) keepAlive() {
	tick := time.NewTicker(s.lease.Timeout / 6)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.sessions.Touch(s.lease.ID)
		case <-s.ctx.Done():
			return
		}
	}
}

// ID names the session.
func (s *Session) ID() tiers.SessionID { return s.lease.ID }

// Tier is the tree that the session is used with.
func (s *Session) Tier() tiers.Tier { return s.tier }

// Context ends with the session: before anyone else could be granted what it owns. Its cause says why.
func (s *Session) Context() context.Context { return s.ctx }

// Go runs f, with the session's context, in a goroutine that Close waits for. After Close it does nothing.
func (s *Session) Go(f func(context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.work.Go(func() { f(s.ctx) })
	}
}

// Close ends the session and what it owns. Later calls do nothing.
func (s *Session) Close(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if !first {
		return nil
	}
	s.end(&tiers.OpError{Op: "session", Err: tiers.ErrClosed})
	s.work.Wait()
	if _, err := s.sessions.Close(ctx, s.lease).Wait(ctx); err != nil {
		return fmt.Errorf("close session %v: %w", s.lease.ID, err)
	}
	return nil
}
