package lock_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/tiertest/memtier"
)

func acquire(t *testing.T, m *member) *lock.Held {
	t.Helper()
	held, err := lock.New(m, path).Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// waiting is an Acquire in the background.
type waiting struct {
	held *lock.Held
	err  error
	done chan struct{}
}

func wait(ctx context.Context, m *member) *waiting {
	w := &waiting{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.held, w.err = lock.New(m, path).Acquire(ctx)
	}()
	return w
}

func (w *waiting) over() bool {
	synctest.Wait()
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

func release(t *testing.T, h *lock.Held) {
	t.Helper()
	if err := h.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAcquireAndRelease(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		held, err := lock.New(m, path, lock.Identifier("worker-1")).Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		view, err := c.Read(t.Context(), tiers.Query{Path: held.Path(), Want: tiers.WantData})
		if err != nil || string(view.Data) != "worker-1" {
			t.Errorf("%s holds %q, %v", held.Path(), view.Data, err)
		}
		if view.Stat.EphemeralOwner != m.session.ID() {
			t.Errorf("owner %v, want the session %v", view.Stat.EphemeralOwner, m.session.ID())
		}
		if !regexp.MustCompile(`^` + path + `/[0-9a-f]{32}__lock__\d{10}$`).MatchString(held.Path()) {
			t.Errorf("contender %s is not as kazoo names it", held.Path())
		}
		if held.Token() != int64(view.Stat.Czxid) {
			t.Errorf("token %d, want the creation's zxid %v", held.Token(), view.Stat.Czxid)
		}
		if err := held.Context().Err(); err != nil {
			t.Errorf("the context of a held lock: %v", err)
		}
		release(t, held)
		release(t, held)
		if err := context.Cause(held.Context()); !errors.Is(err, lock.ErrReleased) {
			t.Errorf("cause after the release: %v", err)
		}
		c.waitFor(0)
		again := acquire(t, m)
		if again.Token() <= held.Token() {
			t.Errorf("token %d after %d", again.Token(), held.Token())
		}
		release(t, again)
	})
}

func TestQueueIsFirstComeFirstServed(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		const n = 20
		members := []*member{c.member(nil), c.member(nil), c.member(nil)}
		var ws []*waiting
		for i := range n {
			m := members[i%len(members)]
			defer m.leave()
			ws = append(ws, wait(t.Context(), m))
			c.waitFor(i + 1)
		}
		last := int64(0)
		for i, w := range ws {
			for j, later := range ws[i:] {
				if later.over() != (j == 0) {
					t.Fatalf("after %d releases: contender %d acquired: %v", i, i+j, j != 0)
				}
			}
			if w.err != nil {
				t.Fatal(w.err)
			}
			if w.held.Token() <= last {
				t.Errorf("token %d after %d", w.held.Token(), last)
			}
			last = w.held.Token()
			release(t, w.held)
		}
		c.waitFor(0)
	})
}

// counting counts reads.
type counting struct {
	tiers.Tier
	reads atomic.Int64
}

func (c *counting) Read(ctx context.Context, q tiers.Query) (tiers.View, error) {
	c.reads.Add(1)
	return c.Tier.Read(ctx, q)
}

func TestReleaseWakesOneWaiter(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		count := new(counting)
		m := c.member(func(below tiers.Tier) tiers.Tier { count.Tier = below; return count })
		defer m.leave()
		first := acquire(t, m)
		ctx, cancel := context.WithCancel(t.Context())
		var ws []*waiting
		for i := range 20 {
			ws = append(ws, wait(ctx, m))
			c.waitFor(i + 2)
		}
		count.reads.Store(0)
		release(t, first)
		c.waitFor(20)
		if n := count.reads.Load(); n != 1 {
			t.Errorf("one release among 20 waiters made %d reads, want 1: the next one's", n)
		}
		if !ws[0].over() || ws[1].over() {
			t.Error("the release did not wake exactly the next one")
		}
		cancel()
		for _, w := range ws {
			<-w.done
		}
		release(t, ws[0].held)
		c.waitFor(0)
	})
}

func TestGivingUpLeavesTheQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		held := acquire(t, m)
		why := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		impatient := wait(ctx, m)
		c.waitFor(2)
		patient := wait(t.Context(), m)
		c.waitFor(3)
		cancel(why)
		<-impatient.done
		if !errors.Is(impatient.err, why) {
			t.Errorf("Acquire = %v, want the context's cause", impatient.err)
		}
		c.waitFor(2)
		if patient.over() {
			t.Error("the lock was granted while it was held")
		}
		release(t, held)
		if !patient.over() || patient.err != nil {
			t.Fatalf("the one behind who gave up did not get the lock: %v", patient.err)
		}
		release(t, patient.held)
	})
}

func TestTryAcquire(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		a, b := c.member(nil), c.member(nil)
		defer a.leave()
		defer b.leave()
		held, err := lock.New(a, path).TryAcquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before := c.contenders()
		if _, err := lock.New(b, path).TryAcquire(t.Context()); !errors.Is(err, lock.ErrHeld) {
			t.Errorf("TryAcquire of a held lock = %v", err)
		}
		if after := c.contenders(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("TryAcquire left %q", after)
		}
		release(t, held)
		held, err = lock.New(b, path).TryAcquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		release(t, held)
	})
}

// hiding hides contenders from the first look, as if they came right after it.
type hiding struct {
	tiers.Tier
	looks atomic.Int64
}

func (h *hiding) Read(ctx context.Context, q tiers.Query) (tiers.View, error) {
	view, err := h.Tier.Read(ctx, q)
	if h.looks.Add(1) == 1 {
		view.Children = nil
	}
	return view, err
}

func TestTryAcquireLosesARace(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		a := c.member(nil)
		b := c.member(func(below tiers.Tier) tiers.Tier { return &hiding{Tier: below} })
		defer a.leave()
		defer b.leave()
		held := acquire(t, a)
		if _, err := lock.New(b, path).TryAcquire(t.Context()); !errors.Is(err, lock.ErrHeld) {
			t.Errorf("TryAcquire = %v", err)
		}
		if n := len(c.contenders()); n != 1 {
			t.Errorf("%d contenders after TryAcquire returned, want only the holder", n)
		}
		release(t, held)
	})
}

func TestForeignContenders(t *testing.T) {
	for _, name := range []string{
		"6ba7b8109dad41d180b400c04fd430c8__lock__", "_c_6ba7b810-9dad-41d1-80b4-00c04fd430c8-lock-", "lock-",
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				m := c.member(nil)
				defer m.leave()
				release(t, acquire(t, m)) // makes the path
				c.do(0, tiers.Op{Kind: tiers.OpCreate, Path: path + "/unrelated-0000000000", ACL: tiers.OpenACL})
				foreign := c.do(0, tiers.Op{Kind: tiers.OpCreate, Path: path + "/" + name, Mode: tiers.PersistentSequential, ACL: tiers.OpenACL})
				w := wait(t.Context(), m)
				if w.over() {
					t.Fatal("the lock was granted past a contender of another client")
				}
				if _, err := lock.New(m, path).TryAcquire(t.Context()); !errors.Is(err, lock.ErrHeld) {
					t.Errorf("TryAcquire = %v", err)
				}
				c.remove(foreign.Results[0].Path)
				if !w.over() || w.err != nil {
					t.Fatalf("not granted after the other client's release: %v", w.err)
				}
				release(t, w.held)
			})
		})
	}
}

func TestCuratorNames(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		held, err := lock.New(m, path, lock.CuratorNames()).Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`/_c_[0-9a-f-]{36}-lock-\d{10}$`).MatchString(held.Path()) {
			t.Errorf("contender %s", held.Path())
		}
		other := wait(t.Context(), m)
		if other.over() {
			t.Error("two names, two holders")
		}
		release(t, held)
		<-other.done
		release(t, other.held)
	})
}

func TestRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		for _, bad := range []string{"", "/", "locks/a", "/locks/"} {
			if _, err := lock.New(m, bad).Acquire(t.Context()); !errors.Is(err, tiers.ErrBadArguments) {
				t.Errorf("Acquire at %q = %v", bad, err)
			}
		}
		contract := memtier.Full
		contract.Linearizable = false
		contract.Tier = "readonly"
		tier := memtier.New(memtier.Options{Contract: contract})
		defer tier.Close()
		sessions := memtier.NewSessions(tier, time.Second, time.Minute)
		defer sessions.Stop()
		stale := &member{tier: sessions.Tier(), sessions: sessions}
		defer stale.leave()
		var refused *tiers.ContractError
		if _, err := lock.New(stale, path).Acquire(t.Context()); !errors.As(err, &refused) || refused.Tier != "readonly" {
			t.Errorf("a lock on a tier that may be behind: %v", err)
		}
	})
}

func TestManyContenders(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		var wg sync.WaitGroup
		var tokens []int64 // guarded by the lock under test
		var holders atomic.Int32
		for range 4 {
			m := c.member(nil)
			defer m.leave()
			for range 5 {
				wg.Go(func() {
					for range 5 {
						held, err := lock.New(m, path).Acquire(t.Context())
						if err != nil {
							t.Error(err)
							return
						}
						if n := holders.Add(1); n != 1 {
							t.Errorf("%d holders", n)
						}
						tokens = append(tokens, held.Token())
						holders.Add(-1)
						if err := held.Release(t.Context()); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		wg.Wait()
		if len(tokens) != 100 {
			t.Fatalf("%d grants, want 100", len(tokens))
		}
		for i := range tokens[1:] {
			if tokens[i+1] <= tokens[i] {
				t.Fatalf("token %d after %d", tokens[i+1], tokens[i])
			}
		}
	})
}
