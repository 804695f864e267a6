package session_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

func TestOpenCostsNothing(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		m := c.members[0]
		m.strong.setDown(tiers.ErrUnavailable)
		l, h := m.open(10 * time.Second)
		if member, incarnation := l.ID.Home(); member != 1 || incarnation != 1 {
			t.Errorf("home of %v is %d/%d", l.ID, member, incarnation)
		}
		other, _ := m.open(10 * time.Second)
		if other.ID == l.ID || other.Password == l.Password {
			t.Errorf("two sessions: %+v and %+v", l, other)
		}
		m.Touch(l.ID)
		h.want(t, nil)
		if log := m.strong.submitted(); len(log) != 0 || m.strong.touches(l.ID) != 0 {
			t.Errorf("the replicated tree was told: %q", log)
		}
		if all, opened := m.Stats(); all != 2 || opened != 0 {
			t.Errorf("%d sessions, %d of them in the replicated tree", all, opened)
		}
	})
}

func TestTimeoutsAreClamped(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		for asked, want := range map[time.Duration]time.Duration{
			-time.Second: minTimeout, time.Second: minTimeout, 10 * time.Second: 10 * time.Second, time.Hour: maxTimeout,
		} {
			if l, _ := c.members[0].open(asked); l.Timeout != want {
				t.Errorf("asked for %v, got %v, want %v", asked, l.Timeout, want)
			}
		}
	})
}

func TestLocalExpiry(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		m := c.members[0]
		start := time.Now()
		pass(300 * time.Millisecond)
		l, h := m.open(5 * time.Second)
		_, detached := m.open(5 * time.Second)
		m.mustCreate(l.ID, "/services/a")
		pass(3 * time.Second)
		m.Touch(l.ID) // at 3.3s: it ends at 8.3s, that is, by the tick at 9s
		pass(5*time.Second - 100*time.Millisecond)
		h.want(t, nil)
		detached.want(t, tiers.ErrSessionExpired)
		if !m.eventual.has(l.ID) {
			t.Error("ended early in the eventual tier")
		}
		pass(time.Second)
		h.want(t, tiers.ErrSessionExpired)
		if after := h.at.Sub(start); after != 9*time.Second {
			t.Errorf("ended after %v", after)
		}
		if m.eventual.has(l.ID) {
			t.Error("not ended in the eventual tier")
		}
		_, err := m.create(l.ID, "/services/b").Wait(t.Context())
		wantErr(t, err, tiers.ErrSessionExpired)
		_, _, err = m.attach(l)
		wantErr(t, err, tiers.ErrSessionExpired)
		if all, _ := m.Stats(); all != 0 {
			t.Errorf("%d sessions are left", all)
		}
	})
}

func TestOpeningGoesAheadOfTheFirstEphemeral(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		m := c.members[0]
		l, _ := m.open(10 * time.Second)
		release := m.strong.hold()
		first, second := m.create(l.ID, "/locks/1"), m.create(l.ID, "/locks/2")
		if _, _, done := first.Result(); done {
			t.Error("the create did not wait for the tier")
		}
		release()
		for _, p := range []*tiers.Pending{first, second} {
			if _, err := p.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		m.mustCreate(l.ID, "/locks/3")
		m.mustCreate(l.ID, "/services/1")
		m.mustCreate(l.ID, "/services/2")
		if log, want := m.strong.submitted(), []string{"openSession /locks/1", "create /locks/1", "create /locks/2", "create /locks/3"}; !slices.Equal(log, want) {
			t.Errorf("strong: %q, want %q", log, want)
		}
		if log, want := m.eventual.log, []string{"openSession /services/1", "create /services/1", "create /services/2"}; !slices.Equal(log, want) {
			t.Errorf("eventual: %q, want %q", log, want)
		}
		if _, opened := m.Stats(); opened != 1 {
			t.Errorf("%d sessions are known to the replicated tree", opened)
		}
		m.Touch(l.ID)
		if m.strong.touches(l.ID) == 0 {
			t.Error("the replicated tree is not told of touches")
		}
	})
}

func TestNoCreateOvertakesTheOpening(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		m := c.members[0]
		m.strong.beforeOpen = func(tiers.SessionID) {
			for range 1000 { // the others get every chance to overtake
				runtime.Gosched()
			}
		}
		for range 10 {
			l, _ := m.open(10 * time.Second)
			var creates sync.WaitGroup
			for i := range 4 {
				creates.Go(func() {
					if _, err := m.create(l.ID, fmt.Sprintf("/locks/%d", i)).Wait(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			creates.Wait()
		}
	})
}

func TestOpeningThatFailsIsTriedAgain(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		m := c.members[0]
		l, h := m.open(10 * time.Second)
		m.strong.setDown(tiers.ErrUnavailable)
		r, err := m.create(l.ID, "/locks/1").Wait(t.Context())
		wantErr(t, err, tiers.ErrUnavailable)
		if len(r.Results) != 1 || r.Results[0].Err == nil {
			t.Errorf("the receipt does not tell: %+v", r)
		}
		m.strong.setDown(nil)
		m.mustCreate(l.ID, "/locks/1")
		h.want(t, nil)
	})
}

func TestTheLogEndsWhatItKnows(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		m := c.members[0]
		l, h := m.open(5 * time.Second)
		m.mustCreate(l.ID, "/locks/1")
		m.mustCreate(l.ID, "/services/1")
		pass(time.Minute) // silent, but that is the leader's business
		h.want(t, nil)
		c.expire(l.ID)
		h.want(t, tiers.ErrSessionExpired)
		if m.eventual.has(l.ID) {
			t.Error("not ended in the eventual tier")
		}
	})
}

func TestSafeUntil(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		m := c.members[0]
		l, _ := m.open(10 * time.Second)
		if at := m.SafeUntil(l.ID); !at.IsZero() {
			t.Errorf("owns nothing, but is safe until %v", at)
		}
		pass(time.Second)
		opened := time.Now()
		m.mustCreate(l.ID, "/locks/1")
		if got := m.SafeUntil(l.ID); !got.Equal(opened.Add(l.Timeout)) {
			t.Errorf("safe until %v after the opening", got.Sub(opened))
		}
		pass(time.Second)
		m.strong.mu.Lock()
		m.strong.renewed[l.ID] = time.Now()
		m.strong.mu.Unlock()
		if got := m.SafeUntil(l.ID); got.Sub(opened) != l.Timeout+time.Second {
			t.Errorf("safe until %v after the opening, once renewed", got.Sub(opened))
		}
	})
}

func TestClose(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		m := c.members[0]
		for _, paths := range [][]string{{}, {"/services/a"}, {"/locks/a"}, {"/locks/a", "/services/a"}} {
			l, h := m.open(10 * time.Second)
			for _, p := range paths {
				m.mustCreate(l.ID, p)
			}
			r, err := m.Close(t.Context(), l).Wait(t.Context())
			if err != nil || r.Zxid == 0 {
				t.Errorf("%q: %+v, %v", paths, r, err)
			}
			h.want(t, nil) // by its own Close
			if _, live := c.hostOf(l.ID); live || m.eventual.has(l.ID) {
				t.Errorf("%q: not ended everywhere", paths)
			}
			if _, err := m.Close(t.Context(), l).Wait(t.Context()); err != nil {
				t.Errorf("%q: closed again: %v", paths, err)
			}
			_, _, err = m.attach(l)
			wantErr(t, err, tiers.ErrSessionExpired)
			_, err = m.create(l.ID, "/locks/b").Wait(t.Context())
			wantErr(t, err, tiers.ErrSessionExpired)
		}
		if all, _ := m.Stats(); all != 0 {
			t.Errorf("%d sessions are left", all)
		}
	})
}

func TestCloseWithoutAMajority(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		m := c.members[0]
		local, _ := m.open(10 * time.Second)
		logged, _ := m.open(10 * time.Second)
		m.mustCreate(logged.ID, "/locks/1")
		m.strong.setDown(tiers.ErrUnavailable)
		if _, err := m.Close(t.Context(), local).Wait(t.Context()); err != nil {
			t.Error(err)
		}
		_, err := m.Close(t.Context(), logged).Wait(t.Context())
		wantErr(t, err, tiers.ErrUnavailable)
		m.strong.setDown(nil)
		m.mustAttach(logged)
	})
}

func TestStop(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		m := c.members[0]
		l, h := m.open(10 * time.Second)
		logged, _ := m.open(10 * time.Second)
		m.mustCreate(logged.ID, "/locks/1")
		m.Stop()
		h.want(t, nil)
		if _, live := c.hostOf(logged.ID); !live {
			t.Error("Stop has ended a session")
		}
		_, err := m.Open(t.Context(), time.Second, nil)
		wantErr(t, err, tiers.ErrClosed)
		_, _, err = m.attach(l)
		wantErr(t, err, tiers.ErrClosed)
		_, err = m.Close(t.Context(), l).Wait(t.Context())
		wantErr(t, err, tiers.ErrClosed)
		_, err = m.create(l.ID, "/locks/1").Wait(t.Context())
		wantErr(t, err, tiers.ErrClosed)
		c.expire(logged.ID)
		synctest.Wait()
	})
}

func TestAStoppedProcessIsAnExcuse(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		m := c.members[0]
		l, h := m.open(5 * time.Second)
		// A task that hangs stops the ticks, as a stopped process does.
		_, blocker := m.open(5 * time.Second)
		_ = blocker
		hang := make(chan struct{})
		stuck, err := m.Open(t.Context(), 5*time.Second, func(error) { <-hang })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Attach(t.Context(), stuck.ID, stuck.Password[:], 5*time.Second, func(error) {}); err != nil {
			t.Fatal(err)
		}
		pass(20 * time.Second)
		close(hang)
		h.want(t, nil)
		m.Touch(l.ID)
		pass(4 * time.Second)
		h.want(t, nil)
		pass(3 * time.Second)
		h.want(t, tiers.ErrSessionExpired)
	})
}
