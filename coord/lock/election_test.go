package lock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/tiertest/memtier"
)

// campaign leads at once.
func campaign(t *testing.T, m *member, data string) *lock.Leadership {
	t.Helper()
	l, err := lock.NewElection(m, path).Campaign(t.Context(), []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// observer follows an election as fast as it can.
type observer struct {
	mu      sync.Mutex
	seen    []lock.Leader // guarded by mu
	stop    context.CancelFunc
	stopped chan struct{}
}

func observe(t *testing.T, m *member) *observer {
	ctx, cancel := context.WithCancel(t.Context())
	o := &observer{stop: cancel, stopped: make(chan struct{})}
	go func() {
		defer close(o.stopped)
		for l, err := range lock.NewElection(m, path).Observe(ctx) {
			if err != nil {
				t.Error(err)
			}
			o.mu.Lock()
			o.seen = append(o.seen, l)
			o.mu.Unlock()
		}
	}()
	return o
}

func (o *observer) all() []lock.Leader {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]lock.Leader(nil), o.seen...)
}

func (o *observer) last() lock.Leader {
	all := o.all()
	if len(all) == 0 {
		return lock.Leader{}
	}
	return all[len(all)-1]
}

func (o *observer) end() {
	o.stop()
	<-o.stopped
}

func TestElection(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		a, b, watching := c.member(nil), c.member(nil), c.member(nil)
		defer a.leave()
		defer b.leave()
		defer watching.leave()
		if _, err := lock.NewElection(b, path).Leader(t.Context()); !errors.Is(err, lock.ErrNoLeader) {
			t.Errorf("Leader before anybody stood: %v", err)
		}
		o := observe(t, watching)
		synctest.Wait()
		if all := o.all(); len(all) != 1 || !all[0].None() {
			t.Errorf("of an election that is not there, an observer sees %+v", all)
		}
		first := campaign(t, a, "a:1")
		synctest.Wait()
		shown := func(l *lock.Leadership, m *member, data string) {
			t.Helper()
			synctest.Wait()
			asked, err := lock.NewElection(b, path).Leader(t.Context())
			for who, got := range map[string]lock.Leader{"observer": o.last(), "Leader": asked} {
				if err != nil || string(got.Data) != data || got.Token != l.Token() || got.Session != m.session.ID() || got.Path != l.Path() {
					t.Errorf("%s: %+v, %v", who, got, err)
				}
			}
		}
		shown(first, a, "a:1")
		if err := first.SetData(t.Context(), []byte("a:2")); err != nil {
			t.Fatal(err)
		}
		shown(first, a, "a:2")

		var second *lock.Leadership
		done := make(chan error, 1)
		go func() {
			var err error
			second, err = lock.NewElection(b, path).Campaign(t.Context(), []byte("b"))
			done <- err
		}()
		c.waitFor(2)
		shown(first, a, "a:2")
		if err := first.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		shown(second, b, "b")
		if err := first.SetData(t.Context(), nil); !errors.Is(err, lock.ErrReleased) {
			t.Errorf("SetData after Resign = %v", err)
		}
		c.remove(second.Path())
		<-second.Context().Done()
		if err := second.SetData(t.Context(), nil); !errors.Is(err, lock.ErrLost) {
			t.Errorf("SetData after the loss = %v", err)
		}
		if err := second.Resign(t.Context()); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Resign after the loss = %v", err)
		}
		synctest.Wait()
		if !o.last().None() {
			t.Errorf("observed %+v when nobody leads", o.last())
		}
		third := campaign(t, a, "again")
		shown(third, a, "again")
		if err := third.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.end()
	})
}

// TestObserversAreNotWokenByCandidates: those who come and go behind the leader cost an observer nothing.
func TestObserversAreNotWokenByCandidates(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		var count *counting
		m, watching := c.member(nil), c.member(func(below tiers.Tier) tiers.Tier { count = &counting{Tier: below}; return count })
		defer m.leave()
		defer watching.leave()
		leading := campaign(t, m, "")
		o := observe(t, watching)
		synctest.Wait()
		before := count.reads.Load()
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := lock.NewElection(m, path).Campaign(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Campaign behind a leader = %v", err)
			}
			cancel()
		}
		synctest.Wait()
		if n := count.reads.Load() - before; n != 0 {
			t.Errorf("%d reads by an observer of a leader who has not changed", n)
		}
		if err := leading.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !o.last().None() {
			t.Errorf("%+v", o.last())
		}
		o.end()
	})
}

// TestSlowObserverSeesTheLatest: it holds nobody up, and what came between is skipped.
func TestSlowObserverSeesTheLatest(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		leading := campaign(t, m, "0")
		seen := 0
		for l, err := range lock.NewElection(m, path).Observe(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if seen++; seen == 2 {
				if string(l.Data) != "100" {
					t.Errorf("after 100 changes: %q", l.Data)
				}
				break
			}
			for i := range 100 {
				if err := leading.SetData(t.Context(), fmt.Append(nil, i+1)); err != nil {
					t.Fatal(err)
				}
			}
		}
		release(t, leading.Held)
	})
}

func TestElectionRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		for _, bad := range []string{"", "/", "x"} {
			e := lock.NewElection(m, bad)
			if _, err := e.Leader(t.Context()); !errors.Is(err, tiers.ErrBadArguments) {
				t.Errorf("Leader at %q = %v", bad, err)
			}
			for _, err := range e.Observe(t.Context()) {
				if !errors.Is(err, tiers.ErrBadArguments) {
					t.Errorf("Observe %q = %v", bad, err)
				}
			}
		}
		elsewhere, end := readonly()
		defer end()
		if _, err := lock.NewElection(elsewhere, path).Leader(t.Context()); !errors.Is(err, tiers.ErrContract) {
			t.Errorf("Leader on a readonly route = %v", err)
		}
		if _, err := lock.NewElection(elsewhere, path).Campaign(t.Context(), nil); !errors.Is(err, tiers.ErrContract) {
			t.Errorf("Campaign on a readonly route = %v", err)
		}
	})
}

// readonly is a member of a tier that may be behind.
func readonly() (m *member, end func()) {
	contract := memtier.Full
	contract.Linearizable = false
	contract.Tier = "readonly"
	tier := memtier.New(memtier.Options{Contract: contract})
	sessions := memtier.NewSessions(tier, time.Second, time.Minute)
	m = &member{tier: sessions.Tier(), sessions: sessions}
	return m, func() { m.leave(); sessions.Stop(); tier.Close() }
}

// TestElectionInStorms: never two leaders; and observers, who lose answers too, never go back, and end with the last word.
func TestElectionInStorms(t *testing.T) {
	inStorms(t, 8, 30, func(s *storm) claims {
		t := s.cluster.t
		watching := s.cluster.member(func(below tiers.Tier) tiers.Tier {
			return &lossy{Tier: below, dice: rand.New(rand.NewPCG(7, 7))}
		})
		o := observe(t, watching)
		s.after = func() {
			defer watching.leave()
			o.end()
			token := int64(0)
			for _, l := range o.all() {
				if l.None() {
					continue
				}
				if l.Token < token {
					t.Errorf("observed leader %d after %d", l.Token, token)
				}
				token = l.Token
			}
			if !o.last().None() || len(o.all()) < 30 {
				t.Errorf("%d observations, the last %+v, though nobody leads", len(o.all()), o.last())
			}
		}
		return func(ctx context.Context, m lock.Node, dice *rand.Rand) (*lock.Held, func(string) func(), error) {
			l, err := lock.NewElection(m, path).Campaign(ctx, []byte("data"))
			if err != nil {
				return nil, nil, err
			}
			if dice.IntN(2) > 0 {
				if err := l.SetData(ctx, []byte("more")); err != nil && ctx.Err() == nil && !errors.Is(err, lock.ErrLost) && !errors.Is(err, tiers.ErrSessionExpired) {
					t.Errorf("SetData: %v", err)
				}
			}
			return l.Held, func(client string) func() { return s.rec.Grant(path, client, l.Token()) }, nil
		}
	}, path)
}
