package lock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/tiers"
)

// lossy refuses, and loses answers, at random.
type lossy struct {
	tiers.Tier
	mu   sync.Mutex
	dice *rand.Rand // guarded by mu
}

func (l *lossy) throw() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dice.IntN(100)
}

var errLost = errors.New("the answer was lost")

func (l *lossy) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	switch n := l.throw(); {
	case n < 10:
		return tiers.Completed(tiers.Receipt{}, tiers.ErrUnavailable)
	case n < 20:
		_, _ = l.Tier.Submit(ctx, txn).Wait(ctx)
		return tiers.Completed(tiers.Receipt{}, &tiers.UnknownOutcomeError{Cause: errLost})
	case n < 30:
		return tiers.Completed(tiers.Receipt{}, &tiers.UnknownOutcomeError{Cause: errLost})
	}
	return l.Tier.Submit(ctx, txn)
}

func (l *lossy) Read(ctx context.Context, q tiers.Query) (tiers.View, error) {
	if l.throw() < 15 {
		return tiers.View{}, tiers.ErrUnavailable
	}
	return l.Tier.Read(ctx, q)
}

// TestChaos lets contenders acquire, give up and lose their sessions over a tier that loses answers. There is never a second
// holder, tokens grow, and in the end nothing is left.
func TestChaos(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				var wg sync.WaitGroup
				var holders atomic.Int32
				var last, grants atomic.Int64
				for i := range uint64(4) {
					m := c.member(func(below tiers.Tier) tiers.Tier {
						return &lossy{Tier: below, dice: rand.New(rand.NewPCG(seed, i))}
					})
					defer m.leave()
					for j := range uint64(3) {
						dice := rand.New(rand.NewPCG(seed, 100+10*i+j)) // of this contender alone
						wg.Go(func() {
							for range 10 {
								ctx, cancel := context.WithTimeout(t.Context(), time.Duration(dice.IntN(20_000))*time.Millisecond)
								held, err := lock.New(m, path).Acquire(ctx)
								cancel()
								if errors.Is(err, context.DeadlineExceeded) {
									continue
								} else if err != nil {
									t.Error(err)
									return
								}
								if n := holders.Add(1); n != 1 {
									t.Errorf("%d holders", n)
								}
								if before := last.Swap(held.Token()); before >= held.Token() {
									t.Errorf("token %d after %d", held.Token(), before)
								}
								grants.Add(1)
								<-time.After(time.Duration(dice.IntN(200)) * time.Millisecond)
								holders.Add(-1)
								if err := held.Release(t.Context()); err != nil {
									t.Error(err)
								}
							}
						})
					}
				}
				wg.Wait()
				<-time.After(time.Minute) // fake: what was given up is removed meanwhile
				c.waitFor(0)
				if grants.Load() < 20 {
					t.Errorf("only %d grants", grants.Load())
				}
			})
		})
	}
}

func TestGivingUpOnALostCreate(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		mute := &mute{answer: new(tiers.Pending)}
		m := c.member(func(below tiers.Tier) tiers.Tier { mute.Tier = below; return mute })
		defer m.leave()
		other := c.member(nil)
		defer other.leave()
		release(t, acquire(t, other)) // makes the path
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w := wait(ctx, m)
		<-w.done
		c.waitFor(1) // it applied, unheard
		mute.answer.Complete(tiers.Receipt{}, &tiers.UnknownOutcomeError{Cause: errLost})
		c.waitFor(0)
	})
}

// mute keeps the answers to contenders' creates back.
type mute struct {
	tiers.Tier
	answer *tiers.Pending
}

func (m *mute) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	p := m.Tier.Submit(ctx, txn)
	if txn.Ops[0].Mode == tiers.EphemeralSequential {
		return m.answer
	}
	return p
}
