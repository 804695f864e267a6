package lock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/internal/history"
	"github.com/strata-coord/strata/tiers"
)

// ledger writes down who owns which shard.
type ledger struct {
	rec *history.Recorder

	mu     sync.Mutex
	open   map[*holding]func() // guarded by mu
	grants int                 // guarded by mu
}

type holding struct {
	ctx    context.Context
	client string
	shard  int
}

func newLedger() *ledger { return &ledger{rec: history.New(), open: make(map[*holding]func())} }

// own is a callback of Join that works for a while.
func (l *ledger) own(client string, patience func() time.Duration) func(context.Context, int, int64) {
	return func(ctx context.Context, shard int, token int64) {
		h := &holding{ctx, client, shard}
		l.mu.Lock()
		for other, over := range l.open { // first those whose contexts have ended, though they have not run since
			if other.ctx.Err() != nil {
				over()
				delete(l.open, other)
			}
		}
		if ctx.Err() == nil {
			l.open[h] = l.rec.Grant(fmt.Sprint("shard ", shard), client, token)
			l.grants++
		}
		l.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(patience()):
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if over := l.open[h]; over != nil {
			over()
			delete(l.open, h)
		}
	}
}

func forever() time.Duration { return 1 << 60 }

// owned is who owns what now.
func (l *ledger) owned() map[string][]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string][]int)
	for h := range l.open {
		if h.ctx.Err() == nil {
			all[h.client] = append(all[h.client], h.shard)
		}
	}
	for _, shards := range all {
		slices.Sort(shards)
	}
	return all
}

// join joins until the returned function is called, which waits for the end.
func (l *ledger) join(t *testing.T, m *member, client string, count, weight int, patience func() time.Duration) (leave func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := lock.NewShards(m, path, count, lock.Identifier(client)).Join(ctx, weight, l.own(client, patience)); err != nil {
			t.Errorf("%s: %v", client, err)
		}
	}()
	return func() { cancel(); <-done }
}

func (c *cluster) noShardIsLeft(count int) {
	c.t.Helper()
	dirs := []string{path + "/members", path + "/leader"}
	for i := range count {
		dirs = append(dirs, fmt.Sprint(path, "/shards/", i))
	}
	for _, dir := range dirs {
		view, err := c.Read(c.t.Context(), tiers.Query{Path: dir, Want: tiers.WantChildren})
		if err != nil && !errors.Is(err, tiers.ErrNoNode) || len(view.Children) > 0 {
			c.t.Errorf("%s has %q, %v", dir, view.Children, err)
		}
	}
}

func TestShards(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		const count = 12
		l := newLedger()
		a, b, d := c.member(nil), c.member(nil), c.member(nil)
		defer a.leave()
		defer b.leave()
		defer d.leave()
		settle := func(want map[string]int) map[string][]int {
			t.Helper()
			<-time.After(time.Minute)
			now := l.owned()
			got := make(map[string]int)
			for client, shards := range now {
				got[client] = len(shards)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("shards: %v, want %v", now, want)
			}
			return now
		}
		leaveA := l.join(t, a, "a", count, 1, forever)
		settle(map[string]int{"a": 12})
		leaveB := l.join(t, b, "b", count, 2, forever)
		before := settle(map[string]int{"a": 4, "b": 8})
		leaveD := l.join(t, d, "d", count, 1, forever)
		now := settle(map[string]int{"a": 3, "b": 6, "d": 3})
		for client := range before {
			for _, shard := range now[client] {
				if !slices.Contains(before[client], shard) {
					t.Errorf("when d joined, %s got shard %d", client, shard)
				}
			}
		}
		look := lock.NewShards(d, path, count)
		for client, shards := range now {
			for _, shard := range shards {
				owner, err := look.Owner(t.Context(), shard)
				if err != nil || string(owner.Data) != client {
					t.Errorf("shard %d: %+v, %v; it is %s's", shard, owner, err, client)
				}
			}
		}
		leaveA() // who led
		settle(map[string]int{"b": 8, "d": 4})
		d.leave() // crashes, and comes again with another session
		settle(map[string]int{"b": 8, "d": 4})
		leaveB()
		leaveD()
		if _, err := look.Owner(t.Context(), 0); !errors.Is(err, lock.ErrNoOwner) {
			t.Errorf("Owner when all have left = %v", err)
		}
		c.noShardIsLeft(count)
		if err := l.rec.Check(history.Options{}); err != nil {
			t.Error(err)
		}
	})
}

// TestOwnerThatIsSlowToLetGo: a shard moves when the old owner has returned, not before.
func TestOwnerThatIsSlowToLetGo(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		a, b := c.member(nil), c.member(nil)
		defer a.leave()
		defer b.leave()
		var told, returned, began time.Time // the first two are a's callback's, the third b's
		var wg sync.WaitGroup
		defer wg.Wait()
		ctxA, cancelA := context.WithCancel(t.Context())
		wg.Go(func() {
			_ = lock.NewShards(a, path, 1).Join(ctxA, 1, func(ctx context.Context, _ int, _ int64) {
				<-ctx.Done()
				told = time.Now()
				<-time.After(time.Hour)
				returned = time.Now()
			})
		})
		ctxB, cancelB := context.WithCancel(t.Context())
		defer cancelB()
		<-time.After(time.Minute)
		began2 := make(chan struct{})
		wg.Go(func() {
			_ = lock.NewShards(b, path, 1).Join(ctxB, 1, func(ctx context.Context, _ int, _ int64) {
				began = time.Now()
				close(began2)
				<-ctx.Done()
			})
		})
		<-time.After(time.Minute)
		cancelA()
		<-began2
		if began.Before(returned) || returned.Sub(told) != time.Hour {
			t.Errorf("told at %v, returned at %v; the other began at %v", told, returned, began)
		}
	})
}

// TestShardTakenByHand: an operator deletes the owner's znode; the owner stops, and stands again.
func TestShardTakenByHand(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		l := newLedger()
		leave := l.join(t, m, "a", 1, 1, forever)
		<-time.After(time.Minute)
		shards := lock.NewShards(m, path, 1)
		before, err := shards.Owner(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		c.remove(before.Path)
		<-time.After(time.Minute)
		after, err := shards.Owner(t.Context(), 0)
		if err != nil || after.Token <= before.Token || len(l.owned()["a"]) != 1 {
			t.Errorf("owner %+v, then %+v, %v; owned: %v", before, after, err, l.owned())
		}
		leave()
		c.noShardIsLeft(1)
	})
}

func TestShardsRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		nothing := func(context.Context, int, int64) {}
		for _, bad := range [][2]int{{0, 1}, {lock.MaxShards + 1, 1}, {1, -1}, {1, lock.MaxWeight + 1}} {
			if err := lock.NewShards(m, path, bad[0]).Join(t.Context(), bad[1], nothing); !errors.Is(err, tiers.ErrBadArguments) {
				t.Errorf("%v: %v", bad, err)
			}
		}
		elsewhere, end := readonly()
		defer end()
		if err := lock.NewShards(elsewhere, path, 1).Join(t.Context(), 1, nothing); !errors.Is(err, tiers.ErrContract) {
			t.Errorf("on a readonly route: %v", err)
		}
	})
}

// TestShardsInStorms: members that lose answers, are cut off for longer than their sessions last, leave and come again, and owners who return early:
// never two owners of a shard, tokens that grow, and when it is calm again every shard is owned, in balance, and stays where it is.
func TestShardsInStorms(t *testing.T) {
	const count = 7
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				l := newLedger()
				var wg sync.WaitGroup
				calm := make(chan struct{})
				for i := range uint64(4) {
					m := c.timed()
					m.tier = &lossy{Tier: m.tier, dice: rand.New(rand.NewPCG(seed, i))}
					defer m.leave()
					dice := rand.New(rand.NewPCG(seed, 100+i))
					nap := func(most int) { <-time.After(time.Duration(dice.IntN(most)) * time.Millisecond) }
					name := fmt.Sprint("m", i)
					wg.Go(func() {
						for range 8 {
							leave := l.join(t, m, name, count, 1, func() time.Duration { return rand.N(30 * time.Second) })
							for range 3 {
								m.renewals.cut(dice.IntN(3) == 0)
								nap(15_000)
							}
							leave()
						}
						m.renewals.cut(false)
						leave := l.join(t, m, name, count, 1, forever)
						<-calm
						leave()
					})
				}
				<-time.After(20 * time.Minute) // fake
				before := l.owned()
				all := 0
				for name, shards := range before {
					if all += len(shards); len(shards) < 1 || len(shards) > 2 {
						t.Errorf("%s has %v", name, shards)
					}
				}
				if all != count {
					t.Errorf("when it is calm: %v", before)
				}
				<-time.After(5 * time.Minute)
				if now := l.owned(); fmt.Sprint(now) != fmt.Sprint(before) {
					t.Errorf("moved when it was calm: %v, %v", before, now)
				}
				l.mu.Lock()
				if l.grants < 50 {
					t.Errorf("only %d grants", l.grants)
				}
				l.mu.Unlock()
				close(calm)
				wg.Wait()
				<-time.After(time.Minute)
				c.noShardIsLeft(count)
				if err := l.rec.Check(history.Options{}); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
