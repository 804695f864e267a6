package coord

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// table is a session table with one session, whose renewals the test decides.
type table struct {
	tiers.Sessions
	mu       sync.Mutex
	cut      func(error)
	safe     time.Time // guarded by mu
	touched  int       // guarded by mu
	detached bool      // guarded by mu
	closed   error     // what Close answers
}

func (x *table) Open(_ context.Context, timeout time.Duration, cut func(error)) (tiers.Lease, error) {
	x.cut = cut
	return tiers.Lease{ID: 5, Timeout: timeout}, nil
}

func (x *table) SafeUntil(tiers.SessionID) time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.safe
}

func (x *table) setSafe(at time.Time) {
	x.mu.Lock()
	x.safe = at
	x.mu.Unlock()
}

func (x *table) Touch(tiers.SessionID) {
	x.mu.Lock()
	x.touched++
	x.mu.Unlock()
}

func (x *table) touches() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.touched
}

func (x *table) Detach(tiers.Lease) {
	x.mu.Lock()
	x.detached = true
	x.mu.Unlock()
}

func (x *table) Close(context.Context, tiers.Lease) *tiers.Pending {
	return tiers.Completed(tiers.Receipt{}, x.closed)
}

func inSession(t *testing.T, f func(t *testing.T, x *table, s *Session)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := new(table)
		s, err := NewSession(t.Context(), nil, x, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		f(t, x, s)
		s.abandon(tiers.ErrClosed)
	})
}

func TestSessionOwnsNothing(t *testing.T) {
	inSession(t, func(t *testing.T, x *table, s *Session) {
		<-time.After(time.Hour) // no renewal is known, and none is needed
		if err := s.Context().Err(); err != nil {
			t.Errorf("ended: %v", context.Cause(s.Context()))
		}
		if n := x.touches(); n < 3600/10*3 {
			t.Errorf("touched %d times in an hour", n)
		}
	})
}

func TestSessionEndsBeforeItCouldBeEnded(t *testing.T) {
	inSession(t, func(t *testing.T, x *table, s *Session) {
		for range 20 {
			x.setSafe(time.Now().Add(10 * time.Second))
			<-time.After(time.Second)
		}
		if s.Context().Err() != nil {
			t.Fatalf("ended while it was renewed: %v", context.Cause(s.Context()))
		}
		safe := x.SafeUntil(5) // from now on nobody renews it
		<-s.Context().Done()
		if left := time.Until(safe); left < 500*time.Millisecond || left > time.Second {
			t.Errorf("the context ended %v before the session could", left)
		}
		if cause := context.Cause(s.Context()); !errors.Is(cause, tiers.ErrSessionExpired) {
			t.Errorf("cause %v", cause)
		}
		synctest.Wait()
		touched := x.touches()
		<-time.After(time.Minute)
		if x.touches() != touched {
			t.Error("a session that its holder has given up is kept alive")
		}
	})
}

func TestSessionIsCut(t *testing.T) {
	inSession(t, func(t *testing.T, x *table, s *Session) {
		ran := make(chan error, 1)
		s.Go(func(ctx context.Context) {
			<-ctx.Done()
			ran <- context.Cause(ctx)
		})
		x.cut(tiers.ErrSessionExpired)
		if cause := <-ran; !errors.Is(cause, tiers.ErrSessionExpired) {
			t.Errorf("cause %v", cause)
		}
	})
}

func TestSessionClose(t *testing.T) {
	inSession(t, func(t *testing.T, x *table, s *Session) {
		x.closed = tiers.ErrUnavailable
		if err := s.Close(t.Context()); !errors.Is(err, tiers.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		if cause := context.Cause(s.Context()); !errors.Is(cause, tiers.ErrClosed) {
			t.Errorf("cause %v", cause)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("again: %v", err)
		}
		s.Go(func(context.Context) { t.Error("runs after Close") })
	})
}
