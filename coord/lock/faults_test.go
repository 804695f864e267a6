package lock_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/tiers"
)

func TestLostSessionEndsTheHolder(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		a, b := c.member(nil), c.member(nil)
		defer b.leave()
		held := acquire(t, a)
		next := wait(t.Context(), b)
		c.waitFor(2)
		a.leave()
		if !next.over() || next.err != nil {
			t.Fatalf("the next one did not get the lock: %v", next.err)
		}
		if held.Context().Err() == nil {
			t.Error("two holders: the first one's context has not ended")
		}
		want := context.Cause(a.session.Context())
		if err := context.Cause(held.Context()); !errors.Is(err, want) {
			t.Errorf("cause %v, want the session's, %v", err, want)
		}
		if err := held.Release(t.Context()); !errors.Is(err, want) {
			t.Errorf("Release of a lost lock = %v", err)
		}
		if next.held.Token() <= held.Token() {
			t.Errorf("token %d after %d", next.held.Token(), held.Token())
		}
		release(t, next.held)
	})
}

func TestDeletedZnodeEndsTheHolder(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		held := acquire(t, m)
		c.do(0, tiers.Op{Kind: tiers.OpSetData, Path: held.Path(), Version: tiers.AnyVersion})
		if held.Context().Err() != nil {
			t.Error("a change of the znode's data ended the holder")
		}
		c.remove(held.Path())
		<-held.Context().Done()
		if err := context.Cause(held.Context()); !errors.Is(err, lock.ErrLost) {
			t.Errorf("cause %v", err)
		}
		if err := held.Release(t.Context()); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Release = %v", err)
		}
		release(t, acquire(t, m))
	})
}

func TestLossWhileWaiting(t *testing.T) {
	for name, lose := range map[string]func(c *cluster, m *member){
		"session": func(_ *cluster, m *member) { m.leave() },
		"znode":   func(c *cluster, _ *member) { c.remove(path + "/" + c.contenders()[1]) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				a, b := c.member(nil), c.member(nil)
				defer a.leave()
				defer b.leave()
				held := acquire(t, a)
				w := wait(t.Context(), b)
				c.waitFor(2)
				lost := c.contenders()[1]
				lose(c, b)
				<-time.After(time.Minute) // fake: it stands again within its pauses
				c.waitFor(2)
				if again := c.contenders()[1]; again == lost || w.over() {
					t.Errorf("contender %s after %s", again, lost)
				}
				release(t, held)
				if !w.over() || w.err != nil {
					t.Fatalf("not granted: %v", w.err)
				}
				release(t, w.held)
			})
		})
	}
}

// late is a lock.Node that has no session to give for a while.
type late struct {
	*member
	until time.Time
}

func (l late) Session(ctx context.Context) (*coord.Session, error) {
	if time.Now().Before(l.until) {
		return nil, fmt.Errorf("%w: not registered yet", tiers.ErrUnavailable)
	}
	return l.member.Session(ctx)
}

func TestWaitsForItsSession(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		node := late{m, time.Now().Add(time.Minute)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := lock.New(node, path).Acquire(ctx); !errors.Is(err, tiers.ErrUnavailable) {
			t.Errorf("Acquire = %v", err)
		}
		held, err := lock.New(node, path).Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		release(t, held)
	})
}

func TestWaitsThroughUnavailability(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		held := acquire(t, m)
		w := wait(t.Context(), m)
		c.waitFor(2)
		c.SetUnavailable(fmt.Errorf("%w: no majority", tiers.ErrUnavailable))
		late := wait(t.Context(), m)
		released := make(chan error, 1)
		go func() { released <- held.Release(t.Context()) }()
		<-time.After(time.Hour)
		if w.over() || late.over() {
			t.Errorf("an answer without the tier: %v, %v", w.err, late.err)
		}
		c.SetUnavailable(nil)
		if err := <-released; err != nil {
			t.Errorf("Release = %v", err)
		}
		<-w.done
		if w.err != nil {
			t.Fatal(w.err)
		}
		release(t, w.held)
		<-late.done
		if late.err != nil {
			t.Fatal(late.err)
		}
		release(t, late.held)
	})
}

// unsure answers the first create of a contender with an unknown outcome.
type unsure struct {
	tiers.Tier
	applies bool // the create applies all the same
	asked   atomic.Bool
}

func (u *unsure) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	if txn.Ops[0].Kind != tiers.OpCreate || txn.Ops[0].Mode != tiers.EphemeralSequential || u.asked.Swap(true) {
		return u.Tier.Submit(ctx, txn)
	}
	if u.applies {
		_, _ = u.Tier.Submit(ctx, txn).Wait(ctx)
	}
	return tiers.Completed(tiers.Receipt{}, &tiers.UnknownOutcomeError{Cause: errors.New("the member was restarted")})
}

func TestUncertainCreateIsFoundAgain(t *testing.T) {
	for _, applies := range []bool{true, false} {
		t.Run(fmt.Sprintf("applies=%v", applies), func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				c.do(0, tiers.Op{Kind: tiers.OpCreate, Path: "/locks", ACL: tiers.OpenACL})
				for _, p := range []string{"/locks/db", "/locks/db/users", "/locks/db/users/shards", path} {
					c.do(0, tiers.Op{Kind: tiers.OpCreate, Path: p, ACL: tiers.OpenACL})
				}
				m := c.member(func(below tiers.Tier) tiers.Tier { return &unsure{Tier: below, applies: applies} })
				defer m.leave()
				held := acquire(t, m)
				c.waitFor(1)
				view, err := c.Read(t.Context(), tiers.Query{Path: held.Path()})
				if err != nil || held.Token() != int64(view.Stat.Czxid) {
					t.Errorf("token %d, created by %v, %v", held.Token(), view.Stat.Czxid, err)
				}
				release(t, held)
				c.waitFor(0)
			})
		})
	}
}

func TestGivingUpOnAnUnansweredCreate(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		release(t, acquire(t, m))
		letGo := c.Hold()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w := wait(ctx, m)
		<-w.done
		if !errors.Is(w.err, context.DeadlineExceeded) {
			t.Errorf("Acquire = %v", w.err)
		}
		letGo() // the create applies now
		c.waitFor(0)
		release(t, acquire(t, m))
	})
}

func TestReleaseThatIsNotAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		held := acquire(t, m)
		w := wait(t.Context(), m)
		c.waitFor(2)
		letGo := c.Hold()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := held.Release(ctx); !errors.Is(err, tiers.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Release = %v", err)
		}
		if held.Context().Err() == nil {
			t.Error("a holder that asked for its release still works")
		}
		letGo()
		<-w.done
		if w.err != nil {
			t.Fatal(w.err)
		}
		release(t, held) // known to be done now
		release(t, w.held)
	})
}

func TestReleaseWhileUnavailable(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		held := acquire(t, m)
		c.SetUnavailable(fmt.Errorf("%w: no majority", tiers.ErrUnavailable))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := held.Release(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Release = %v", err)
		}
		c.SetUnavailable(nil)
		<-time.After(time.Minute) // fake: it goes on trying
		c.waitFor(0)
	})
}
