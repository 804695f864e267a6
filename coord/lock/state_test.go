package lock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/tiers"
)

// phases collects what Watch yields.
func phases(held *lock.Held) (done chan []lock.Phase) {
	done = make(chan []lock.Phase, 1)
	go func() {
		var seen []lock.Phase
		for s := range held.Watch(context.Background()) {
			seen = append(seen, s.Phase)
		}
		done <- seen
	}()
	return done
}

func wantPhases(t *testing.T, got chan []lock.Phase, want ...lock.Phase) {
	t.Helper()
	if seen := <-got; !slices.Equal(seen, want) {
		t.Errorf("the phases were %v, want %v", seen, want)
	}
}

func lostOf(t *testing.T, held *lock.Held, want lock.Reason) *lock.LostError {
	t.Helper()
	var lost *lock.LostError
	if cause := context.Cause(held.Context()); !errors.As(cause, &lost) || lost.Reason != want || !errors.Is(cause, lock.ErrLost) {
		t.Fatalf("the cause is %v, want %v", cause, want)
	}
	if s := held.State(); s.Phase != lock.Lost || s.Lost != lost || !s.Until.IsZero() {
		t.Errorf("state %+v", s)
	}
	if err := held.Release(t.Context()); !errors.Is(err, lost) {
		t.Errorf("Release = %v", err)
	}
	if held.Changed() != nil {
		t.Error("another change is to come after the loss")
	}
	return lost
}

// tells checks that the story has these words, in this order.
func tells(t *testing.T, lost *lock.LostError, words ...string) {
	t.Helper()
	story := lost.Story()
	rest := story
	for _, w := range words {
		_, after, found := strings.Cut(rest, w)
		if !found {
			t.Fatalf("%q is missing, or not in its place:\n%s", w, story)
		}
		rest = after
	}
}

func TestStateFromSafeToLost(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m, other := c.timed(), c.member(nil)
		defer m.leave()
		defer other.leave()
		held := acquire(t, m)
		seen := phases(held)
		<-time.After(time.Minute)
		if s := held.State(); s.Phase != lock.Safe || time.Since(s.Renewed) > time.Second || time.Until(s.Until) < 8*time.Second {
			t.Errorf("renewed all the time, but %+v", s)
		}
		next := wait(t.Context(), other)
		c.waitFor(2)

		m.renewals.cut(true)
		cut := time.Now()
		<-held.Changed()
		if s := held.State(); s.Phase != lock.InJeopardy || time.Since(cut) > 4*time.Second || !s.Since.Equal(time.Now()) {
			t.Errorf("%v after the cut: %+v", time.Since(cut), s)
		}
		m.renewals.cut(false)
		<-held.Changed()
		if s := held.State(); s.Phase != lock.Safe {
			t.Errorf("renewed again, but %+v", s)
		}

		m.renewals.cut(true)
		<-held.Changed()
		until := held.State().Until
		<-held.Context().Done()
		if !time.Now().Equal(until) || next.over() {
			t.Errorf("the context ended %v after State.Until; another holds it: %v", time.Since(until), next.over())
		}
		lost := lostOf(t, held, lock.NotRenewed)
		if !errors.Is(lost, coord.ErrNotRenewed) || !errors.Is(lost, tiers.ErrSessionExpired) || lost.Token != held.Token() {
			t.Errorf("%#v", lost)
		}
		tells(t, lost, "lost after 1m", "acquired with token", "in jeopardy", "safe again", "in jeopardy", "the last renewal", "lost: no majority")
		wantPhases(t, seen, lock.Safe, lock.InJeopardy, lock.Safe, lock.InJeopardy, lock.Lost)

		<-next.done // the cluster has ended the session
		if next.err != nil || time.Since(until) < 500*time.Millisecond {
			t.Errorf("granted %v after the holder's end, %v", time.Since(until), next.err)
		}
		release(t, next.held)
	})
}

// TestStateAfterAPause asks for the state when nothing has run for so long that the lock could be another's.
func TestStateAfterAPause(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.timed()
		defer m.leave()
		held := acquire(t, m)
		m.renewals.mu.Lock() // keepAlive stands still
		m.renewals.last = time.Now().Add(-time.Hour)
		m.renewals.mu.Unlock()
		if s := held.State(); s.Phase != lock.Lost || s.Lost.Reason != lock.NotRenewed {
			t.Errorf("%+v", s)
		}
		if held.Context().Err() == nil {
			t.Error("lost, but its context has not ended")
		}
		lostOf(t, held, lock.NotRenewed)
	})
}

func TestStateAfterRelease(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.timed()
		defer m.leave()
		held := acquire(t, m)
		seen := phases(held)
		synctest.Wait()
		release(t, held)
		wantPhases(t, seen, lock.Safe, lock.Released)
		if s := held.State(); s.Phase != lock.Released || s.Lost != nil {
			t.Errorf("%+v", s)
		}
	})
}

func TestReasons(t *testing.T) {
	for name, x := range map[string]struct {
		lose func(c *cluster, m *member, held *lock.Held)
		want lock.Reason
	}{
		"the znode is deleted":  {func(c *cluster, _ *member, held *lock.Held) { c.remove(held.Path()) }, lock.Deleted},
		"the session is closed": {func(_ *cluster, m *member, _ *lock.Held) { m.leave() }, lock.Closed},
		"the session is ended":  {func(c *cluster, m *member, _ *lock.Held) { c.sessions.End(m.session.ID()) }, lock.Deleted},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				m := c.member(nil)
				defer m.leave()
				held := acquire(t, m)
				<-time.After(3 * time.Second)
				x.lose(c, m, held)
				<-held.Context().Done()
				tells(t, lostOf(t, held, x.want), "after 3s", "acquired", "lost: "+x.want.String())
			})
		})
	}
}

func TestYield(t *testing.T) {
	for name, x := range map[string]struct {
		option lock.Option
		want   lock.Reason
		after  time.Duration // of the cut, within a second
	}{
		"at expiry":     {lock.YieldAtExpiry(), lock.NotRenewed, 9 * time.Second},
		"on disconnect": {lock.YieldOnDisconnect(), lock.Disconnected, 3500 * time.Millisecond},
		"after a grace": {lock.YieldAfter(2 * time.Second), lock.GraceOver, 5500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				m := c.timed()
				defer m.leave()
				held, err := lock.New(m, path, x.option).Acquire(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Minute)
				m.renewals.cut(true)
				cut := time.Now()
				<-held.Context().Done()
				if took := time.Since(cut); took < x.after-time.Second || took > x.after+time.Second {
					t.Errorf("yielded %v after the cut, want about %v", took, x.after)
				}
				tells(t, lostOf(t, held, x.want), "acquired", "in jeopardy", "lost: "+x.want.String())
				m.renewals.cut(false)
				<-time.After(11 * time.Second)
				c.waitFor(0)
			})
		})
	}
}

func TestGraceThatIsNotNeeded(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.timed()
		defer m.leave()
		held, err := lock.New(m, path, lock.YieldAfter(2*time.Second)).Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 5 { // short cuts that together are longer than the grace
			m.renewals.cut(true)
			<-held.Changed()
			if s := held.State(); s.Phase != lock.InJeopardy || !s.Until.Equal(time.Now().Add(2*time.Second)) {
				t.Fatalf("in a cut: %+v", s)
			}
			<-time.After(time.Second)
			m.renewals.cut(false)
			<-held.Changed()
			if s := held.State(); s.Phase != lock.Safe {
				t.Fatalf("after a cut: %+v", s)
			}
		}
		<-time.After(time.Minute)
		release(t, held)
	})
}

func TestAcquireInJeopardyWithoutGrace(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.timed()
		defer m.leave()
		release(t, acquire(t, m)) // the session is known
		m.renewals.cut(true)
		<-time.After(5 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := lock.New(m, path, lock.YieldOnDisconnect()).Acquire(ctx); !errors.Is(err, lock.ErrLost) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Acquire while in jeopardy = %v", err)
		}
		c.waitFor(0)
		m.renewals.cut(false)
		held, err := lock.New(m, path, lock.YieldOnDisconnect()).Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		release(t, held)
	})
}

func TestHealthy(t *testing.T) {
	sick := errors.New("the disk is full")
	for name, check := range map[string]func(ctx context.Context) error{
		"it fails":   func(context.Context) error { return sick },
		"it hangs":   func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"it is slow": func(ctx context.Context) error { <-time.After(time.Minute); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				m, other := c.member(nil), c.member(nil)
				defer m.leave()
				defer other.leave()
				calls := 0 // made one at a time
				healthy := func(ctx context.Context) error {
					calls++
					if calls == 1 || calls == 3 { // two failures that are not in a row
						return sick
					} else if calls < 5 {
						return nil
					}
					return check(ctx)
				}
				held, err := lock.New(m, path, lock.Healthy(healthy, time.Second, 3)).Acquire(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				next := wait(t.Context(), other)
				<-next.done // the sick one has made room, though its session lives
				if next.err != nil || m.session.Context().Err() != nil {
					t.Fatalf("%v; the session: %v", next.err, m.session.Context().Err())
				}
				lost := lostOf(t, held, lock.Unhealthy)
				if name == "it fails" && !errors.Is(lost, sick) {
					t.Errorf("%v does not say why", lost)
				}
				tells(t, lost, "(1 of 3): the disk is full", "(1 of 3): the disk is full", "(1 of 3)", "(2 of 3)", "(3 of 3)", "lost: "+fmt.Sprint(lock.Unhealthy))
				release(t, next.held)
			})
		})
	}
}

func TestTimelineKeepsItsEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.timed()
		defer m.leave()
		held := acquire(t, m)
		for range 100 {
			for _, off := range []bool{true, false} {
				m.renewals.cut(off)
				<-held.Changed()
			}
		}
		c.remove(held.Path())
		lost := lostOf(t, held, lock.Deleted)
		if len(lost.Timeline) > 40 {
			t.Errorf("%d moments", len(lost.Timeline))
		}
		tells(t, lost, "acquired", "in jeopardy", "safe again", "lost:")
	})
}
