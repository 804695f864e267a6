package lock_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/tiers"
)

func (c *cluster) data(path string) string {
	c.t.Helper()
	view, err := c.Read(c.t.Context(), tiers.Query{Path: path, Want: tiers.WantData})
	if err != nil {
		c.t.Fatal(err)
	}
	return string(view.Data)
}

func (c *cluster) setData(path, data string) {
	c.t.Helper()
	c.do(0, tiers.Op{Kind: tiers.OpSetData, Path: path, Data: []byte(data), Version: tiers.AnyVersion})
}

func TestCounter(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		n := lock.NewCounter(m, path)
		if got, err := n.Get(t.Context()); got != 0 || err != nil {
			t.Errorf("Get of what is not there = %d, %v", got, err)
		}
		sum := int64(0)
		for _, delta := range []int64{5, -7, 0, 1 << 40} {
			sum += delta
			if got, err := n.Add(t.Context(), delta); got != sum || err != nil {
				t.Errorf("Add(%d) = %d, %v; want %d", delta, got, err, sum)
			}
			if got, err := n.Get(t.Context()); got != sum || err != nil {
				t.Errorf("Get = %d, %v; want %d", got, err, sum)
			}
			if got := c.data(path); got != fmt.Sprint(sum) {
				t.Errorf("in the tree: %q", got)
			}
		}
		if _, err := n.Add(t.Context(), math.MaxInt64); !errors.Is(err, lock.ErrOverflow) {
			t.Errorf("Add beyond 64 bits = %v", err)
		}
		c.setData(path, "1.5")
		if _, err := n.Add(t.Context(), 1); !errors.Is(err, lock.ErrNoCounter) {
			t.Errorf("Add to what is no integer = %v", err)
		}
		if _, err := n.Get(t.Context()); !errors.Is(err, lock.ErrNoCounter) {
			t.Errorf("Get of what is no integer = %v", err)
		}
		c.waitFor(0)
		elsewhere, end := readonly()
		defer end()
		if _, err := lock.NewCounter(elsewhere, path).Add(t.Context(), 1); !errors.Is(err, tiers.ErrContract) {
			t.Errorf("Add on a readonly route = %v", err)
		}
	})
}

func TestCounterOfCurator(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		n := lock.NewCounter(m, path, lock.CuratorNames())
		if got, err := n.Add(t.Context(), -2); got != -2 || err != nil || c.data(path) != "\xff\xff\xff\xfe" {
			t.Errorf("Add = %d, %v: %q", got, err, c.data(path))
		}
		if got, err := n.Get(t.Context()); got != -2 || err != nil {
			t.Errorf("Get = %d, %v", got, err)
		}
		if _, err := n.Add(t.Context(), math.MinInt32); !errors.Is(err, lock.ErrOverflow) {
			t.Errorf("Add beyond 32 bits = %v", err)
		}
		c.setData(path, "12345")
		if _, err := n.Get(t.Context()); !errors.Is(err, lock.ErrNoCounter) {
			t.Errorf("Get of 5 bytes = %v", err)
		}
	})
}

func TestCounterIsWatched(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m, other := c.member(nil), c.member(nil)
		defer m.leave()
		defer other.leave()
		ctx, cancel := context.WithCancel(t.Context())
		var seen []int64 // owned by the goroutine until done
		done := make(chan struct{})
		go func() {
			defer close(done)
			for n, err := range lock.NewCounter(m, path).Watch(ctx) {
				if err != nil {
					t.Error(err)
				}
				seen = append(seen, n)
			}
		}()
		for range 3 {
			synctest.Wait()
			if _, err := lock.NewCounter(other, path).Add(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		cancel()
		<-done
		if fmt.Sprint(seen) != "[0 2 4 6]" {
			t.Errorf("watched %v", seen)
		}
		c.setData(path, "x")
		for _, err := range lock.NewCounter(m, path).Watch(t.Context()) {
			if !errors.Is(err, lock.ErrNoCounter) {
				t.Errorf("watched what is no counter: %v", err)
			}
		}
	})
}

// TestAddThatIsNotAnswered: neither counted twice nor lost, also when others write the same number meanwhile.
func TestAddThatIsNotAnswered(t *testing.T) {
	for _, applies := range []bool{true, false} {
		t.Run(fmt.Sprintf("applies=%v", applies), func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				other := c.member(nil)
				defer other.leave()
				for range 2 {
					if _, err := lock.NewCounter(other, path).Add(t.Context(), 1); err != nil {
						t.Fatal(err)
					}
				}
				deaf := &deaf{applies: applies, then: func() {
					// As a client without markers would: from 2 to 3 when ours is lost, and on to 4 when it is not.
					c.setData(path, map[bool]string{true: "4", false: "3"}[applies])
				}}
				m := c.member(func(below tiers.Tier) tiers.Tier { deaf.Tier = below; return deaf })
				defer m.leave()
				if _, err := lock.NewCounter(m, path).Add(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				if got := c.data(path); got != "4" {
					t.Errorf("2, two added: %s", got)
				}
				c.waitFor(0)
			})
		})
	}
}

// deaf hears no answer to the first Add.
type deaf struct {
	tiers.Tier
	applies bool
	then    func()
	asked   atomic.Bool
}

func (d *deaf) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	if txn.Ops[0].Kind != tiers.OpSetData || d.asked.Swap(true) {
		return d.Tier.Submit(ctx, txn)
	}
	if d.applies {
		_, _ = d.Tier.Submit(ctx, txn).Wait(ctx)
	}
	d.then()
	return tiers.Completed(tiers.Receipt{}, &tiers.UnknownOutcomeError{Cause: errLost, Write: tiers.WriteID{Member: 1, Incarnation: 2, Number: 3}})
}

// TestAddWhoseSessionEndsUnanswered: that is said, and it is not tried again.
func TestAddWhoseSessionEndsUnanswered(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		var m *member
		deaf := &deaf{applies: true, then: func() { c.do(m.session.ID(), tiers.Op{Kind: tiers.OpCloseSession}) }}
		m = c.member(func(below tiers.Tier) tiers.Tier { deaf.Tier = below; return deaf })
		defer m.leave()
		_, err := lock.NewCounter(m, path).Add(t.Context(), 1)
		var unknown *tiers.UnknownOutcomeError
		if !errors.As(err, &unknown) || unknown.Write.Number != 3 || !errors.Is(err, tiers.ErrSessionExpired) {
			t.Errorf("Add = %v", err)
		}
		if got := c.data(path); got != "1" {
			t.Errorf("counted %s", got)
		}
	})
}

// TestCounterInStorms: over tiers that lose answers, with members that are cut off for longer than their sessions last, and callers who give up: the counter is the sum of
// the acknowledged adds, and of some of those that were said to be of unknown outcome.
func TestCounterInStorms(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				var mu sync.Mutex
				var acknowledged int64
				var open []int64 // deltas; guarded by mu, as acknowledged
				var wg sync.WaitGroup
				for i := range uint64(4) {
					m := c.timed()
					m.tier = &lossy{Tier: m.tier, dice: rand.New(rand.NewPCG(seed, i))}
					defer m.leave()
					for j := range uint64(3) {
						dice := rand.New(rand.NewPCG(seed, 100+10*i+j))
						wg.Go(func() {
							for k := range 10 {
								m.renewals.cut(dice.IntN(3) == 0)
								delta := dice.Int64N(1 << 50) // so that the sum tells which are in it
								if k%2 == 0 {
									delta = -delta
								}
								ctx, cancel := context.WithTimeout(t.Context(), time.Duration(dice.IntN(1_500))*time.Millisecond)
								_, err := lock.NewCounter(m, path).Add(ctx, delta)
								cancel()
								mu.Lock()
								switch {
								case err == nil:
									acknowledged += delta
								case errors.Is(err, tiers.ErrUnknownOutcome):
									open = append(open, delta)
								case !errors.Is(err, context.DeadlineExceeded):
									t.Error(err)
								}
								mu.Unlock()
								<-time.After(time.Duration(dice.IntN(3_000)) * time.Millisecond)
							}
							m.renewals.cut(false)
						})
					}
				}
				wg.Wait()
				<-time.After(time.Minute)
				calm := c.member(nil)
				defer calm.leave()
				got, err := lock.NewCounter(calm, path).Get(t.Context())
				if err != nil || !sumOfSome(got-acknowledged, open) {
					t.Errorf("the counter is %d, %v; %d are acknowledged, and open %v", got, err, acknowledged, open)
				}
				c.waitFor(0)
			})
		})
	}
}

// sumOfSome tells whether some of the addends have that sum.
func sumOfSome(sum int64, addends []int64) bool {
	sums := map[int64]bool{0: true}
	for _, a := range addends {
		next := map[int64]bool{}
		for s := range sums {
			next[s], next[s+a] = true, true
		}
		sums = next
	}
	return sums[sum]
}
