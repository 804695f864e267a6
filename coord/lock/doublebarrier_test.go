package lock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/tiers"
)

// entering is an Enter under way.
type entering struct {
	done chan struct{}
	in   *lock.Inside // once done
	err  error        // once done
}

func enter(ctx context.Context, m *member, count int) *entering {
	e := &entering{done: make(chan struct{})}
	go func() {
		defer close(e.done)
		e.in, e.err = lock.NewDoubleBarrier(m, path, count).Enter(ctx)
	}()
	return e
}

// over waits until nothing moves.
func over(done <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// leaving is a Leave under way.
func leaving(t *testing.T, in *lock.Inside) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		if err := in.Leave(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	return done
}

// together lets count members in.
func together(t *testing.T, members ...*member) (all []*lock.Inside) {
	t.Helper()
	var es []*entering
	for _, m := range members {
		es = append(es, enter(t.Context(), m, len(members)))
	}
	for _, e := range es {
		<-e.done
		if e.err != nil {
			t.Fatal(e.err)
		}
		all = append(all, e.in)
	}
	return all
}

// left fails unless the participants are those.
func (c *cluster) left(want ...string) {
	c.t.Helper()
	synctest.Wait()
	view, err := c.Read(c.t.Context(), tiers.Query{Path: path, Want: tiers.WantChildren})
	if err != nil || !slices.Equal(view.Children, want) {
		c.t.Errorf("at the barrier: %q, %v; want %q", view.Children, err, want)
	}
}

func TestDoubleBarrier(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		a, b := c.member(nil), c.member(nil)
		defer a.leave()
		defer b.leave()
		for range 3 {
			ea, eb := enter(t.Context(), a, 3), enter(t.Context(), b, 3)
			if over(ea.done) || over(eb.done) {
				t.Fatal("two of three are inside")
			}
			ec := enter(t.Context(), b, 3)
			var left []chan struct{}
			for _, e := range []*entering{ea, eb, ec} {
				if !over(e.done) || e.err != nil {
					t.Fatalf("three of three are there: %v", e.err)
				}
				if e.in.Context().Err() != nil || e.in.State().Phase != lock.Safe {
					t.Errorf("inside: %v", e.in.State())
				}
			}
			for i, e := range []*entering{ea, eb, ec} {
				for _, done := range left {
					if over(done) {
						t.Errorf("one has left while %d are inside", 3-i)
					}
				}
				left = append(left, leaving(t, e.in))
			}
			for i, e := range []*entering{ea, eb, ec} {
				<-left[i]
				if !errors.Is(context.Cause(e.in.Context()), lock.ErrReleased) {
					t.Errorf("cause %v", context.Cause(e.in.Context()))
				}
				if err := e.in.Leave(t.Context()); err != nil {
					t.Errorf("Leave again = %v", err)
				}
			}
			c.left()
		}
	})
}

func TestDoubleBarrierGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		a, b := c.member(nil), c.member(nil)
		defer a.leave()
		defer b.leave()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := lock.NewDoubleBarrier(a, path, 2).Enter(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Enter alone = %v", err)
		}
		c.left()
		all := together(t, a, b, b)
		for _, in := range all[:2] {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := in.Leave(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Leave before the others = %v", err)
			}
		}
		again := leaving(t, all[0])
		if over(again) {
			t.Error("it has left while one is inside")
		}
		<-leaving(t, all[2])
		<-again
		c.left()
		if _, err := lock.NewDoubleBarrier(a, path, 0).Enter(t.Context()); !errors.Is(err, tiers.ErrBadArguments) {
			t.Errorf("Enter for nobody = %v", err)
		}
		elsewhere, end := readonly()
		defer end()
		if _, err := lock.NewDoubleBarrier(elsewhere, path, 1).Enter(t.Context()); !errors.Is(err, tiers.ErrContract) {
			t.Errorf("Enter on a readonly route = %v", err)
		}
	})
}

func TestParticipantsThatCrash(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		a, b, dies := c.member(nil), c.member(nil), c.member(nil)
		defer a.leave()
		defer b.leave()
		// While the others come: it is not counted any more.
		ctx, cancel := context.WithCancel(t.Context())
		enter(ctx, dies, 3)
		ea := enter(t.Context(), a, 3)
		synctest.Wait()
		cancel()
		dies.leave()
		eb := enter(t.Context(), b, 3)
		if over(ea.done) || over(eb.done) {
			t.Fatal("let in with one that is gone")
		}
		dies = c.member(nil)
		third := enter(t.Context(), dies, 3)
		if !over(ea.done) || !over(eb.done) || !over(third.done) || ea.err != nil || eb.err != nil || third.err != nil {
			t.Fatalf("not let in: %v, %v, %v", ea.err, eb.err, third.err)
		}
		// While the others work: they don't wait for it.
		la := leaving(t, ea.in)
		lb := leaving(t, eb.in)
		if over(la) || over(lb) {
			t.Error("left while one is inside")
		}
		dies.leave()
		<-la
		<-lb
		if err := third.in.Leave(t.Context()); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Leave of who is gone = %v", err)
		}
		c.left()
		next := together(t, a, b)
		la, lb = leaving(t, next[0]), leaving(t, next[1])
		<-la
		<-lb
	})
}

// TestReadyThatWasLeftBehind: by others, who all crashed. It lets nobody in, and does not keep anybody out.
func TestReadyThatWasLeftBehind(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		a, b := c.member(nil), c.member(nil)
		defer a.leave()
		defer b.leave()
		for _, in := range together(t, a) {
			<-leaving(t, in)
		}
		c.do(0, tiers.Op{Kind: tiers.OpCreate, Path: path + "/ready", ACL: tiers.OpenACL})
		ea := enter(t.Context(), a, 2)
		if over(ea.done) {
			t.Fatal("let in alone")
		}
		eb := enter(t.Context(), b, 2)
		if !over(ea.done) || !over(eb.done) || ea.err != nil || eb.err != nil {
			t.Fatalf("not let in: %v, %v", ea.err, eb.err)
		}
		la, lb := leaving(t, ea.in), leaving(t, eb.in)
		<-la
		<-lb
		c.left()
	})
}

// TestDoubleBarrierOverLossyTiers: in each round, nobody is inside before all have come, and nobody is out before all have said that they leave.
func TestDoubleBarrierOverLossyTiers(t *testing.T) {
	const members, each, rounds = 3, 2, 6
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				var mu sync.Mutex
				var came, went [rounds]int // guarded by mu
				count := func(of *[rounds]int, round, n int) int {
					mu.Lock()
					defer mu.Unlock()
					of[round] += n
					return of[round]
				}
				var wg sync.WaitGroup
				for i := range uint64(members) {
					m := c.lossyMember(seed, i)
					defer m.leave()
					for j := range uint64(each) {
						dice := rand.New(rand.NewPCG(seed, 100+10*i+j))
						nap := func() { <-time.After(time.Duration(dice.IntN(500)) * time.Millisecond) }
						wg.Go(func() {
							for round := range rounds {
								nap()
								count(&came, round, 1)
								in, err := lock.NewDoubleBarrier(m, path, members*each).Enter(t.Context())
								if err != nil {
									t.Error(err)
									return
								}
								if n := count(&came, round, 0); n != members*each {
									t.Errorf("round %d: inside when %d of %d have come", round, n, members*each)
								}
								nap()
								count(&went, round, 1)
								if err := in.Leave(t.Context()); err != nil {
									t.Error(err)
								}
								if n := count(&went, round, 0); n != members*each {
									t.Errorf("round %d: out when %d of %d leave", round, n, members*each)
								}
							}
						})
					}
				}
				wg.Wait()
				<-time.After(time.Minute)
				c.left()
			})
		})
	}
}
