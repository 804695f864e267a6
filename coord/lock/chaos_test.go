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
	"github.com/strata-coord/strata/internal/history"
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

// storm is a model test: contenders of several members acquire, give up, hold and release, over tiers that lose answers, while members are
// cut off for longer than their sessions last. What they were granted is checked by the history, and nothing may be left.
type storm struct {
	cluster *cluster // nil: a real one
	// patience and hold bound for how long a contender waits, and holds.
	patience, hold time.Duration
	rec            *history.Recorder
	mu             sync.Mutex
	open           map[*lock.Held]func() // the grants that are not over. Guarded by mu
	grants         int                   // guarded by mu
	lost           int                   // guarded by mu
	after          func()                // called at the end; nil: nothing more to look at
}

func newStorm(c *cluster) *storm {
	return &storm{cluster: c, patience: 20 * time.Second, hold: 3 * time.Second, rec: history.New(), open: make(map[*lock.Held]func())}
}

// claims acquires once, and says how its grant is recorded.
type claims func(ctx context.Context, m lock.Node, dice *rand.Rand) (held *lock.Held, record func(client string) (over func()), err error)

// inStorms runs the same contenders under several seeds. The recipe is made for each storm anew. At the end nothing may be left at the paths.
func inStorms(t *testing.T, seeds, least int, make func(s *storm) claims, empty ...string) {
	var lost atomic.Int64
	t.Cleanup(func() {
		if lost.Load() == 0 {
			t.Error("nobody has lost what it held: the storms are too mild")
		}
	})
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				s := newStorm(c)
				s.run(t, seed, make(s))
				lost.Add(int64(s.lost))
				if s.grants < least {
					t.Errorf("only %d grants", s.grants)
				}
				if s.after != nil {
					s.after()
				}
				for _, p := range empty {
					nothingLeft(t, c, p)
				}
				if err := s.rec.Check(history.Options{}); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func (s *storm) run(t *testing.T, seed uint64, claim claims) {
	var wg sync.WaitGroup
	over := make(chan struct{})
	var saboteurs sync.WaitGroup
	for i := range uint64(4) {
		m := s.cluster.timed()
		m.tier = &lossy{Tier: m.tier, dice: rand.New(rand.NewPCG(seed, i))}
		defer m.leave()
		for j := range uint64(3) {
			dice := rand.New(rand.NewPCG(seed, 100+10*i+j)) // of this contender alone
			wg.Go(func() { s.contend(t, 10, m, fmt.Sprintf("m%d/%d", i, j), dice, claim) })
		}
		dice := rand.New(rand.NewPCG(seed, 200+i))
		saboteurs.Go(func() {
			defer m.renewals.cut(false)
			for off := false; ; off = !off {
				m.renewals.cut(off)
				select {
				case <-time.After(time.Duration(dice.IntN(15_000)) * time.Millisecond):
				case <-over:
					return
				}
			}
		})
	}
	wg.Wait()
	close(over)
	saboteurs.Wait()
	<-time.After(time.Minute) // fake: what was given up is removed meanwhile
}

func (s *storm) contend(t *testing.T, times int, m lock.Node, name string, dice *rand.Rand, claim claims) {
	for range times {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(dice.Int64N(int64(s.patience))))
		held, record, err := claim(ctx, m, dice)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			continue
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		s.granted(held, func() func() { return record(name) })
		select {
		case <-time.After(time.Duration(dice.Int64N(int64(s.hold)))):
		case <-held.Context().Done():
		}
		s.over(held)
		if err := held.Release(t.Context()); err != nil && !errors.Is(err, lock.ErrLost) && !errors.Is(err, tiers.ErrSessionExpired) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// granted writes a grant down; first it ends those whose contexts have ended, though their holders have not been scheduled since.
func (s *storm) granted(held *lock.Held, record func() func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h, over := range s.open {
		if h.Context().Err() != nil {
			over()
			delete(s.open, h)
		}
	}
	s.open[held] = record()
	s.grants++
}

func (s *storm) over(held *lock.Held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if over := s.open[held]; over != nil {
		over()
		delete(s.open, held)
	}
	if held.State().Phase == lock.Lost {
		s.lost++
	}
}

// nothingLeft fails when path has children.
func nothingLeft(t *testing.T, tier tiers.Tier, path string) {
	t.Helper()
	view, err := tier.Read(t.Context(), tiers.Query{Path: path, Want: tiers.WantChildren})
	if err != nil && !errors.Is(err, tiers.ErrNoNode) || len(view.Children) > 0 {
		t.Errorf("%s has %q, %v", path, view.Children, err)
	}
}

func mutexClaims(s *storm, path string) claims {
	return func(ctx context.Context, m lock.Node, _ *rand.Rand) (*lock.Held, func(string) func(), error) {
		held, err := lock.New(m, path).Acquire(ctx)
		return held, func(client string) func() { return s.rec.Grant(path, client, held.Token()) }, err
	}
}

func rwClaims(s *storm, path string, opts ...lock.Option) claims {
	return func(ctx context.Context, m lock.Node, dice *rand.Rand) (*lock.Held, func(string) func(), error) {
		rw := lock.NewRW(m, path, opts...)
		if dice.IntN(3) > 0 {
			held, err := rw.RLock(ctx)
			return held, func(client string) func() { return s.rec.GrantShared(path, client, held.Token()) }, err
		}
		held, err := rw.Lock(ctx)
		return held, func(client string) func() { return s.rec.Grant(path, client, held.Token()) }, err
	}
}

func semaphoreClaims(s *storm, path string, opts ...lock.Option) claims {
	const capacity = 5
	return func(ctx context.Context, m lock.Node, dice *rand.Rand) (*lock.Held, func(string) func(), error) {
		weight := 1 + dice.IntN(capacity)
		held, err := lock.NewSemaphore(m, path, capacity, opts...).Acquire(ctx, weight)
		return held, func(client string) func() { return s.rec.GrantPart(path, client, held.Token(), weight, capacity) }, err
	}
}

func leaseClaims(s *storm, path string) claims {
	return func(ctx context.Context, m lock.Node, _ *rand.Rand) (*lock.Held, func(string) func(), error) {
		leased, err := lock.NewLease(m, path, 2*time.Second).Acquire(ctx, []byte("data"))
		if errors.Is(err, lock.ErrLost) { // its first term was over before it was written
			err = context.DeadlineExceeded
		}
		if err != nil {
			return nil, nil, err
		}
		return leased.Held, func(client string) func() { return s.rec.Grant(path, client, leased.Token()) }, nil
	}
}

func TestMutexInStorms(t *testing.T) {
	inStorms(t, 8, 30, func(s *storm) claims { return mutexClaims(s, path) }, path)
}

func TestLeaseInStorms(t *testing.T) {
	inStorms(t, 8, 30, func(s *storm) claims { return leaseClaims(s, path) }, path)
}

func TestRWMutexInStorms(t *testing.T) {
	for name, opts := range map[string][]lock.Option{"kazoo": nil, "curator": {lock.CuratorNames()}} {
		t.Run(name, func(t *testing.T) {
			inStorms(t, 5, 40, func(s *storm) claims { return rwClaims(s, path, opts...) }, path)
		})
	}
}

func TestSemaphoreInStorms(t *testing.T) {
	empty := map[string][]string{"kazoo": {path, path + "-__lock__"}, "curator": {path + "/locks", path + "/leases"}}
	for name, opts := range map[string][]lock.Option{"kazoo": nil, "curator": {lock.CuratorNames()}} {
		t.Run(name, func(t *testing.T) {
			inStorms(t, 5, 40, func(s *storm) claims { return semaphoreClaims(s, path, opts...) }, empty[name]...)
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
