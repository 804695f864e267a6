package lock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/tiers"
)

// lossyMember joins one whose tier refuses and loses answers.
func (c *cluster) lossyMember(seed, i uint64) *member {
	return c.member(func(below tiers.Tier) tiers.Tier { return &lossy{Tier: below, dice: rand.New(rand.NewPCG(seed, i))} })
}

func TestBarrier(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		a, b := c.member(nil), c.member(nil)
		defer a.leave()
		defer b.leave()
		barrier := lock.NewBarrier(a, path)
		if err := barrier.Wait(t.Context()); err != nil {
			t.Errorf("Wait without a barrier = %v", err)
		}
		for range 2 {
			if err := barrier.Create(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := lock.NewBarrier(b, path).Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait at a barrier = %v", err)
		}
		done := make(chan error, 1)
		go func() { done <- lock.NewBarrier(b, path).Wait(t.Context()) }()
		b.leave() // who waits needs no session
		synctest.Wait()
		select {
		case err := <-done:
			t.Errorf("Wait without its session = %v", err)
		default:
		}
		for range 2 {
			if err := barrier.Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-done; err != nil {
			t.Errorf("Wait = %v", err)
		}
	})
}

func TestBarrierRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		elsewhere, end := readonly()
		defer end()
		for what, want := range map[*lock.Barrier]error{lock.NewBarrier(m, "x"): tiers.ErrBadArguments, lock.NewBarrier(elsewhere, path): tiers.ErrContract} {
			for name, f := range map[string]func(context.Context) error{"Create": what.Create, "Remove": what.Remove, "Wait": what.Wait} {
				if err := f(t.Context()); !errors.Is(err, want) {
					t.Errorf("%s = %v, want %v", name, err, want)
				}
			}
		}
	})
}

// TestBarrierOverLossyTiers: nobody passes while the barrier is up, everybody does when it is removed, and a Remove whose answer was lost takes away no
// barrier that was put up after it returned.
func TestBarrierOverLossyTiers(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				owner := c.lossyMember(seed, 0)
				defer owner.leave()
				for range 5 {
					if err := lock.NewBarrier(owner, path).Create(t.Context()); err != nil {
						t.Fatal(err)
					}
					var removing atomic.Bool
					var wg sync.WaitGroup
					for i := range uint64(3) {
						m := c.lossyMember(seed, 1+i)
						defer m.leave()
						wg.Go(func() {
							err := lock.NewBarrier(m, path).Wait(t.Context())
							if err != nil || !removing.Load() {
								t.Errorf("passed: %v; the barrier is being removed: %v", err, removing.Load())
							}
						})
					}
					<-time.After(time.Minute)
					removing.Store(true)
					if err := lock.NewBarrier(owner, path).Remove(t.Context()); err != nil {
						t.Fatal(err)
					}
					wg.Wait()
				}
			})
		})
	}
}
