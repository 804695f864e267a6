package lock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/tiers"
)

func lease(t *testing.T, l *lock.Lease, data string) *lock.Leased {
	t.Helper()
	leased, err := l.Acquire(t.Context(), []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return leased
}

func TestLease(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m, other := c.member(nil), c.member(nil)
		defer m.leave()
		defer other.leave()
		l, theirs := lock.NewLease(m, path, time.Minute), lock.NewLease(other, path, time.Minute)
		if _, err := theirs.Look(t.Context()); !errors.Is(err, lock.ErrFree) {
			t.Errorf("Look at what nobody ever held: %v", err)
		}
		leased := lease(t, l, "10.0.0.5:9090")
		granted := time.Now()
		look := func(data string, renewed time.Time) {
			t.Helper()
			got, err := theirs.Look(t.Context())
			if err != nil || string(got.Data) != data || got.Token != leased.Token() || got.Session != m.session.ID() ||
				!got.Renewed.Equal(renewed) || !got.Until.Equal(renewed.Add(time.Minute)) {
				t.Errorf("Look = %+v, %v", got, err)
			}
		}
		look("10.0.0.5:9090", granted)
		if _, err := theirs.TryAcquire(t.Context(), nil); !errors.Is(err, lock.ErrHeld) {
			t.Errorf("TryAcquire = %v", err)
		}
		for range 5 { // far beyond one term
			<-time.After(40 * time.Second)
			if err := leased.Renew(t.Context()); err != nil {
				t.Fatal(err)
			}
			look("10.0.0.5:9090", time.Now())
		}
		if err := leased.Update(t.Context(), []byte("10.0.0.5:9091")); err != nil {
			t.Fatal(err)
		}
		look("10.0.0.5:9091", time.Now())
		<-time.After(30 * time.Second)
		if err := leased.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		look("10.0.0.5:9091", time.Now())
		if s := leased.State(); s.Phase != lock.Safe || !s.Until.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("%+v", s)
		}

		var next *lock.Leased
		done := make(chan error, 1)
		go func() {
			var err error
			next, err = theirs.Acquire(t.Context(), []byte("next"))
			done <- err
		}()
		c.waitFor(2)
		last := time.Now() // nobody renews from now on, though the session lives
		<-leased.Context().Done()
		if took := time.Since(last); took != time.Minute {
			t.Errorf("ended %v after the last renewal", took)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got, err := l.Look(t.Context()); err != nil || string(got.Data) != "next" || !got.Renewed.Equal(time.Now()) {
			t.Errorf("Look = %+v, %v: the term begins with the grant", got, err)
		}
		if err := leased.Renew(t.Context()); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Renew of what was lost = %v", err)
		}
		tells(t, lostOf(t, leased.Held, lock.TermOver), "acquired", "lost: "+lock.TermOver.String())
		release(t, next.Held)
		if err := next.Renew(t.Context()); !errors.Is(err, lock.ErrReleased) {
			t.Errorf("Renew after Release = %v", err)
		}
		if _, err := l.Look(t.Context()); !errors.Is(err, lock.ErrFree) {
			t.Errorf("Look at what was released: %v", err)
		}
	})
}

func TestLeaseIsNotRenewedInTime(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		leased := lease(t, lock.NewLease(m, path, time.Minute), "")
		c.SetUnavailable(fmt.Errorf("%w: no majority", tiers.ErrUnavailable))
		began := time.Now()
		<-time.After(10 * time.Second)
		if err := leased.Renew(t.Context()); !errors.Is(err, lock.ErrLost) || time.Since(began) != time.Minute {
			t.Errorf("Renew = %v after %v", err, time.Since(began))
		}
		c.SetUnavailable(nil)
		<-time.After(time.Minute)
		c.waitFor(0)
		lostOf(t, leased.Held, lock.TermOver)
	})
}

func TestLeaseRenewGivesUp(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		leased := lease(t, lock.NewLease(m, path, time.Minute), "")
		began := time.Now()
		<-time.After(10 * time.Second)
		c.SetUnavailable(fmt.Errorf("%w: no majority", tiers.ErrUnavailable))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := leased.Renew(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Renew = %v", err)
		}
		if until := leased.State().Until; until.Sub(began) != time.Minute {
			t.Errorf("a renewal that failed moved the end to %v", until.Sub(began))
		}
		c.SetUnavailable(nil)
		release(t, leased.Held)
	})
}

func TestLeaseRenewFindsItGone(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		leased := lease(t, lock.NewLease(m, path, time.Minute), "")
		c.remove(leased.Path())
		if err := leased.Renew(t.Context()); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Renew = %v", err)
		}
		lostOf(t, leased.Held, lock.Deleted)
	})
}

func TestLeaseRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		if _, err := lock.NewLease(m, path, 0).Acquire(t.Context(), nil); !errors.Is(err, tiers.ErrBadArguments) {
			t.Errorf("without a term: %v", err)
		}
		held := acquire(t, m) // a Mutex of the same path excludes it
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := lock.NewLease(m, path, time.Minute).Acquire(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Acquire = %v", err)
		}
		c.waitFor(1)
		release(t, held)
	})
}

// readable refuses to set data.
type readable struct{ tiers.Tier }

func (r readable) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	if txn.Ops[0].Kind == tiers.OpSetData {
		return tiers.Completed(tiers.Receipt{}, tiers.ErrUnavailable)
	}
	return r.Tier.Submit(ctx, txn)
}

// TestLeaseWithoutAFirstTerm gets to the head of the queue, and no further.
func TestLeaseWithoutAFirstTerm(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(func(below tiers.Tier) tiers.Tier { return readable{below} })
		defer m.leave()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := lock.NewLease(m, path, time.Minute).Acquire(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Acquire = %v", err)
		}
		c.waitFor(0)
		if _, err := lock.NewLease(m, path, time.Second).Acquire(t.Context(), nil); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Acquire of a lease whose term was over before it was written = %v", err)
		}
		c.waitFor(0)
	})
}
