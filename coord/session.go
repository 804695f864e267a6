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

// safety is what session tables know of how long a session cannot end: zero while it owns nothing that others could be granted.
type safety interface {
	SafeUntil(tiers.SessionID) time.Time
}

// errNotRenewed is why a session ends that nobody has ended: it might be ended any moment.
var errNotRenewed = fmt.Errorf("%w, or could end any moment: no majority has heard of it for nearly its timeout", tiers.ErrSessionExpired)

// keepAlive touches the session until it ends, and ends its context before the cluster could end the session: the time counts
// from the sending of the last renewal, on this process's monotonic clock, less a margin for the way to whoever reacts.
func (s *Session) keepAlive() {
	table, _ := s.sessions.(safety)
	margin := max(s.lease.Timeout/10, 100*time.Millisecond)
	tick := time.NewTicker(min(s.lease.Timeout/6, margin/2))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if table != nil {
				if until := table.SafeUntil(s.lease.ID); !until.IsZero() && time.Until(until) < margin {
					s.end(errNotRenewed)
					s.sessions.Detach(s.lease)
					return
				}
			}
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

// abandon lets go of the session without ending it.
func (s *Session) abandon(why error) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end(why)
	s.work.Wait()
}
