package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strata-coord/strata/coord/discovery"
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

func (l *lossy) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	lost := tiers.Completed(tiers.Receipt{}, &tiers.UnknownOutcomeError{Cause: errors.New("the answer was lost")})
	switch n := l.throw(); {
	case n < 10:
		return tiers.Completed(tiers.Receipt{}, tiers.ErrUnavailable)
	case n < 20:
		_, _ = l.Tier.Submit(ctx, txn).Wait(ctx)
		return lost
	case n < 30:
		return lost
	}
	return l.Tier.Submit(ctx, txn)
}

func (l *lossy) Read(ctx context.Context, q tiers.Query) (tiers.View, error) {
	if l.throw() < 15 {
		return tiers.View{}, tiers.ErrUnavailable
	}
	return l.Tier.Read(ctx, q)
}

// TestChaos registers over a tier that loses answers, from members that lose their sessions. What is registered is seen by a
// watcher over such a tier, and in the end nothing is left.
func TestChaos(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				through := func(n uint64) *member {
					return &member{cluster: c, tier: &lossy{Tier: c.sessions.Tier(), dice: rand.New(rand.NewPCG(seed, n))}}
				}
				w, err := discovery.Watch(t.Context(), through(0), service)
				if err != nil {
					t.Fatal(err)
				}
				defer w.Close()
				var all []string
				var registrations []*discovery.Registration
				for i := range uint64(10) {
					m := through(i + 1)
					defer m.leave()
					addr := fmt.Sprintf("instance-%d:80", i)
					all = append(all, addr)
					registrations = append(registrations, m.register(t, discovery.Instance{Addr: addr}))
					if i%2 == 0 {
						m.leave()
					}
				}
				pass(time.Minute)
				want(t, w, strings.Join(all, " "))
				for _, r := range registrations {
					unregister(t, r)
				}
				pass(time.Minute)
				want(t, w, "")
			})
		})
	}
}
