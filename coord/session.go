package coord

import (
	"context"
	"errors"
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
	end context.CancelCauseFunc // called by finish

	watching  sync.Mutex             // held while observers are called
	standing  Standing               // guarded by watching
	observers map[int]func(Standing) // guarded by watching
	observed  int                    // number of the last observer. Guarded by watching

	mu     sync.Mutex     // orders Go before Close's wait
	closed bool           // guarded by mu
	work   sync.WaitGroup // keepAlive, and what Go runs
}

// NewSession opens a session in sessions, for use with t, and keeps it alive until Close.
func NewSession(ctx context.Context, t tiers.Tier, sessions tiers.Sessions, timeout time.Duration) (*Session, error) {
	s := &Session{tier: t, sessions: sessions}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	lease, err := sessions.Open(ctx, timeout, s.over)
	if err != nil {
		s.over(err)
		return nil, fmt.Errorf("open a session: %w", err)
	}
	s.lease = lease
	s.work.Go(s.keepAlive)
	return s, nil
}

// keepAlive touches the session until it ends, and ends its context before the cluster could end the session: the time counts
// from the sending of the last renewal, on this process's monotonic clock, less a margin.
func (s *Session) keepAlive() {
	every := min(s.lease.Timeout/6, s.margin()/2)
	timer := time.NewTimer(every)
	defer timer.Stop()
	now := s.Standing()
	for ; now.Ended == nil; now = s.Standing() {
		s.sessions.Touch(s.lease.ID)
		next := every
		if now.Late {
			next = every / 4 // whoever waits for the end of that hears of it soon
		}
		if !now.Until.IsZero() {
			next = min(next, time.Until(now.Until))
		}
		timer.Reset(next)
		select {
		case <-timer.C:
		case <-s.ctx.Done():
		}
	}
	if errors.Is(now.Ended, ErrNotRenewed) {
		s.sessions.Detach(s.lease)
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
	s.over(&tiers.OpError{Op: "session", Err: tiers.ErrClosed})
	s.work.Wait()
	if _, err := s.sessions.Close(ctx, s.lease).Wait(ctx); err != nil {
		return fmt.Errorf("close session %v: %w", s.lease.ID, err)
	}
	return nil
}

// abandon lets go of the session without ending it.
func (s *Session) abandon(why error) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.over(why)
	s.work.Wait()
}
