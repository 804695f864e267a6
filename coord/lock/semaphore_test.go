package lock_test

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/tiers"
)

func weighing(s *lock.Semaphore, weight int) func(context.Context) (*lock.Held, error) {
	return func(ctx context.Context) (*lock.Held, error) { return s.Acquire(ctx, weight) }
}

// children of a path that may be missing.
func (c *cluster) children(path string) []string {
	c.t.Helper()
	synctest.Wait()
	view, err := c.Read(c.t.Context(), tiers.Query{Path: path, Want: tiers.WantChildren})
	if err != nil && !errors.Is(err, tiers.ErrNoNode) {
		c.t.Fatal(err)
	}
	return view.Children
}

func (c *cluster) wantChildren(path string, n int) {
	c.t.Helper()
	if got := c.children(path); len(got) != n {
		c.t.Fatalf("%s has %d children, want %d: %q", path, len(got), n, got)
	}
}

const turns = path + "-__lock__"

func TestSemaphoreServesInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		count := new(counting)
		m := c.member(func(below tiers.Tier) tiers.Tier { count.Tier = below; return count })
		defer m.leave()
		s := lock.NewSemaphore(m, path, 4)
		one := background(t.Context(), weighing(s, 1)).must(t)
		three := background(t.Context(), weighing(s, 3)).must(t)
		c.wantChildren(path, 4)
		heavy := background(t.Context(), weighing(s, 4))
		c.wantChildren(turns, 1)
		var light []*waiting
		for i := range 10 {
			light = append(light, background(t.Context(), weighing(s, 1)))
			c.wantChildren(turns, 2+i)
		}
		if three.Token() <= one.Token() {
			t.Errorf("token %d after %d", three.Token(), one.Token())
		}
		count.reads.Store(0)
		release(t, three)
		if heavy.over() || light[0].over() {
			t.Error("three free permits were given to those behind one that wants four, or to that one")
		}
		// A release of weight 3 is three deletions, and one contender looks, at most after each.
		if n := count.reads.Load(); n < 1 || n > 3 {
			t.Errorf("a release made %d reads", n)
		}
		release(t, one)
		held := heavy.must(t)
		if light[0].over() {
			t.Error("more than the capacity is held")
		}
		release(t, held)
		for _, w := range light[:4] {
			release(t, w.must(t))
		}
		for _, w := range light[4:] {
			release(t, w.must(t))
		}
		c.wantChildren(path, 0)
		c.wantChildren(turns, 0)
	})
}

func TestSemaphoreLayouts(t *testing.T) {
	for name, x := range map[string]struct {
		opts        []lock.Option
		pool, turns string
		permit      string
		foreign     tiers.Op
	}{
		"kazoo": {nil, path, turns, `^[0-9a-f]{32}(-1)?$`,
			tiers.Op{Path: path + "/6ba7b8109dad41d180b400c04fd430c8"}},
		"Curator": {[]lock.Option{lock.CuratorNames()}, path + "/leases", path + "/locks", `^_c_[0-9a-f-]{36}-lease-\d{10}$`,
			tiers.Op{Path: path + "/leases/_c_6ba7b810-9dad-41d1-80b4-00c04fd430c8-lease-", Mode: tiers.PersistentSequential}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				m := c.member(nil)
				defer m.leave()
				s := lock.NewSemaphore(m, path, 3, append(x.opts, lock.Identifier("worker-1"))...)
				two := background(t.Context(), weighing(s, 2)).must(t)
				c.wantChildren(x.pool, 2)
				for _, child := range c.children(x.pool) {
					if !regexp.MustCompile(x.permit).MatchString(child) {
						t.Errorf("permit %s", child)
					}
				}
				if view, err := c.Read(t.Context(), tiers.Query{Path: two.Path(), Want: tiers.WantData}); err != nil ||
					string(view.Data) != "worker-1" || int64(view.Stat.Czxid) != two.Token() || view.Stat.EphemeralOwner != m.session.ID() {
					t.Errorf("%s: %q %+v %v", two.Path(), view.Data, view.Stat, err)
				}
				// Another client takes the last one, as it does it.
				x.foreign.Kind, x.foreign.ACL = tiers.OpCreate, tiers.OpenACL
				foreign := c.do(0, x.foreign).Results[0].Path
				w := background(t.Context(), weighing(s, 1))
				c.wantChildren(x.turns, 1)
				if w.over() {
					t.Fatal("granted beyond the capacity")
				}
				if _, err := s.TryAcquire(t.Context(), 1); !errors.Is(err, lock.ErrHeld) {
					t.Errorf("TryAcquire while another waits = %v", err)
				}
				c.remove(foreign)
				release(t, w.must(t))
				release(t, two)
				c.wantChildren(x.pool, 0)
				c.wantChildren(x.turns, 0)
			})
		})
	}
}

func TestSemaphoreTryAcquire(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		s := lock.NewSemaphore(m, path, 3)
		held, err := s.TryAcquire(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.TryAcquire(t.Context(), 2); !errors.Is(err, lock.ErrHeld) {
			t.Errorf("TryAcquire of more than is left = %v", err)
		}
		one, err := s.TryAcquire(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		release(t, held)
		release(t, one)
		c.wantChildren(path, 0)
		c.wantChildren(turns, 0)
	})
}

func TestSemaphoreRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		for _, x := range []struct{ capacity, weight int }{{0, 1}, {1, 0}, {1, 2}, {-1, -1}, {lock.MaxCapacity + 1, 1}} {
			if _, err := lock.NewSemaphore(m, path, x.capacity).Acquire(t.Context(), x.weight); !errors.Is(err, tiers.ErrBadArguments) {
				t.Errorf("%d of %d: %v", x.weight, x.capacity, err)
			}
		}
		release(t, background(t.Context(), weighing(lock.NewSemaphore(m, path, 3), 1)).must(t))
		view, err := c.Read(t.Context(), tiers.Query{Path: path, Want: tiers.WantData})
		if err != nil || string(view.Data) != "3" {
			t.Errorf("the capacity is kept as %q, %v", view.Data, err)
		}
		var differs *lock.CapacityError
		if _, err := lock.NewSemaphore(m, path, 4).Acquire(t.Context(), 1); !errors.As(err, &differs) || differs.Kept != 3 || differs.Here != 4 {
			t.Errorf("another capacity: %v", err)
		}
		c.wantChildren(turns, 0)
		c.do(0, tiers.Op{Kind: tiers.OpSetData, Path: path, Data: []byte("notes"), Version: tiers.AnyVersion})
		release(t, background(t.Context(), weighing(lock.NewSemaphore(m, path, 4), 1)).must(t))
	})
}

// TestSemaphoreLosesOneOfItsPermits: what is left of the grant is not left behind.
func TestSemaphoreLosesOneOfItsPermits(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		held := background(t.Context(), weighing(lock.NewSemaphore(m, path, 3), 3)).must(t)
		c.remove(path + "/" + slices.Max(c.children(path)))
		<-held.Context().Done()
		c.wantChildren(path, 0)
		lostOf(t, held, lock.Deleted)
	})
}

// TestSemaphoreLosesItsTurn deletes the znode of the one whose turn it is, while it waits for room.
func TestSemaphoreLosesItsTurn(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		s := lock.NewSemaphore(m, path, 1)
		first := background(t.Context(), weighing(s, 1)).must(t)
		w := background(t.Context(), weighing(s, 1))
		c.wantChildren(turns, 1)
		turn := c.children(turns)[0]
		c.remove(turns + "/" + turn)
		w2 := background(t.Context(), weighing(s, 1))
		c.wantChildren(path, 1)
		release(t, first)
		<-w2.done
		release(t, w2.must(t))
		<-w.done // it stood again
		release(t, w.must(t))
		c.wantChildren(path, 0)
		c.wantChildren(turns, 0)
	})
}

func TestSemaphoreGivesUp(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		s := lock.NewSemaphore(m, path, 2)
		held := background(t.Context(), weighing(s, 1)).must(t)
		why := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		w := background(ctx, weighing(s, 2))
		c.wantChildren(turns, 1)
		behind := background(ctx, weighing(s, 1))
		c.wantChildren(turns, 2)
		cancel(why)
		<-w.done
		<-behind.done
		if !errors.Is(w.err, why) || !errors.Is(behind.err, why) {
			t.Errorf("%v, %v, want the context's cause", w.err, behind.err)
		}
		c.wantChildren(turns, 0)
		c.wantChildren(path, 1)
		release(t, background(t.Context(), weighing(s, 1)).must(t))
		release(t, held)
	})
}
