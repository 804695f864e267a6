package lock

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// MaxCapacity is the largest capacity of a [Semaphore]: each permit is a znode.
const MaxCapacity = 10_000

// CapacityError is the refusal of a semaphore that its users don't agree on.
type CapacityError struct {
	Path       string
	Here, Kept int // what this user says, and what the znode at Path says
}

func (e *CapacityError) Error() string {
	return fmt.Sprintf("semaphore %s: its capacity is %d for this user, but the znode says %d", e.Path, e.Here, e.Kept)
}

// Semaphore has a number of permits, its capacity, which contenders hold in portions of any weight. It is fair: they are served in the
// order in which they came, so one that wants much is not overtaken by those that want little.
//
// It keeps no state: each acquire is a contender of its own, so one Semaphore may be used concurrently.
//
// The layout is that of kazoo's Semaphore: a permit is an ephemeral znode below the path, the capacity is the data of the path, and the
// turn to take permits is a [Mutex] at the path with "-__lock__" behind it. With [CuratorNames] it is that of Curator's
// InterProcessSemaphoreV2: permits in path/leases, turns in path/locks, and everybody has to know the capacity. A weight of n is
// n permits, for both.
type Semaphore struct {
	node     Node
	path     string
	capacity int
	options
	pool string // the parent of the permits
	turn queue
}

// NewSemaphore returns the semaphore at path. Nothing is asked of the cluster yet.
func NewSemaphore(node Node, path string, capacity int, opts ...Option) *Semaphore {
	o := newOptions(opts)
	s := &Semaphore{node: node, path: path, capacity: capacity, options: o, pool: path}
	turns := path + "-__lock__"
	if o.curator {
		s.pool, turns = path+"/leases", path+"/locks"
	}
	o.policy = policy{} // of the permits, not of the turn
	s.turn = queue{node: node, path: turns, options: o, what: "a semaphore", name: o.mutexName, ahead: before}
	return s
}

// Acquire waits until weight permits are held, or ctx ends, as [Mutex.Acquire] does. All of them are taken at once, and released at once.
//
// The token is larger than those of all earlier grants. But several hold permits at a time: it tells them apart, and who came
// later; it does not say that an earlier one has ended.
//
// Errors: tiers.ErrBadArguments when weight is not between 1 and the capacity, *CapacityError.
func (s *Semaphore) Acquire(ctx context.Context, weight int) (*Held, error) {
	held, err := s.acquire(ctx, weight, s.turn.take, true)
	if err != nil {
		return nil, fmt.Errorf("semaphore %s: %w", s.path, err)
	}
	return held, nil
}

// TryAcquire is Acquire without waiting for others: it fails with ErrHeld when too little is left, or others wait.
func (s *Semaphore) TryAcquire(ctx context.Context, weight int) (*Held, error) {
	try := func(ctx context.Context) (*Held, error) { return s.turn.tryTake(ctx, anyOf(isExclusive)) }
	held, err := s.acquire(ctx, weight, try, false)
	if err != nil {
		return nil, fmt.Errorf("semaphore %s: %w", s.path, err)
	}
	return held, nil
}

func (s *Semaphore) acquire(ctx context.Context, weight int, turn func(context.Context) (*Held, error), wait bool) (*Held, error) {
	if s.capacity < 1 || s.capacity > MaxCapacity || weight < 1 || weight > s.capacity {
		return nil, fmt.Errorf("%w: %d permits of %d, which may be at most %d", tiers.ErrBadArguments, weight, s.capacity, MaxCapacity)
	}
	if err := steps.CheckPath(s.path); err != nil {
		return nil, err
	}
	var pause steps.Backoff
	for {
		held, err := s.inTurn(ctx, weight, turn, wait)
		lost := errors.Is(err, ErrLost) || errors.Is(err, tiers.ErrSessionExpired)
		// The turn or the session was lost before the permits were held: stand again.
		if err == nil {
			return held, nil
		} else if !lost || ctx.Err() != nil || pause.Wait(ctx) != nil {
			return nil, givenUp(ctx, err)
		}
	}
}

// inTurn takes the permits while it has the turn: nobody else takes any meanwhile.
func (s *Semaphore) inTurn(ctx context.Context, weight int, turn func(context.Context) (*Held, error), wait bool) (*Held, error) {
	mine, err := turn(ctx)
	if err != nil {
		return nil, err
	}
	// When this fails, the turn is given up by itself as soon as that is possible.
	defer func() { _ = mine.Release(ctx) }()
	work, stop := joined(ctx, mine.Context())
	defer stop()
	session := mine.claim.session
	if c := session.Tier().Contract(s.pool); !c.Multi || !c.Conditional {
		return nil, &tiers.ContractError{Tier: c.Tier, Path: s.pool, What: "a semaphore", Hint: "route the path to the strong tier"}
	}
	if !s.curator {
		if err := s.agree(work, session.Tier()); err != nil {
			return nil, err
		}
	}
	if err := s.room(work, session.Tier(), weight, wait); err != nil {
		return nil, err
	}
	permits := s.permits(session, mine, weight)
	if err = permits.enter(work); err == nil {
		var held *Held
		if held, err = permits.hold(); err == nil {
			return held, nil
		}
	}
	permits.leave(ctx)
	return nil, err
}

// permits is the claim of so many permits. They are made only while the turn's znode is there: also when this process has slept through
// the loss of its turn.
func (s *Semaphore) permits(session *coord.Session, turn *Held, weight int) *claim {
	prefix, mode := newID(), tiers.Ephemeral
	if s.curator {
		prefix, mode = curatorName(prefix, "lease-"), tiers.EphemeralSequential
	}
	ops := []tiers.Op{{Kind: tiers.OpCheck, Path: turn.Path(), Version: tiers.AnyVersion}}
	for i := range weight {
		name := prefix
		if i > 0 && !s.curator {
			name += "-" + strconv.Itoa(i)
		}
		ops = append(ops, ephemeral(s.pool, name, s.identifier, mode))
	}
	return newClaim(session, s.pool, prefix, s.policy, ops...)
}

// agree makes the znode that says the capacity, or compares. As for kazoo, data that is no number says nothing.
func (s *Semaphore) agree(ctx context.Context, t tiers.Tier) error {
	var pause steps.Backoff
	for {
		view, err := t.Read(ctx, tiers.Query{Path: s.path, Want: tiers.WantData})
		if err == nil {
			if kept, err := strconv.Atoi(string(view.Data)); err == nil && kept != s.capacity {
				return &CapacityError{Path: s.path, Here: s.capacity, Kept: kept}
			}
			return nil
		}
		if errors.Is(err, tiers.ErrNoNode) {
			if err = s.declare(ctx, t); err == nil {
				continue
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		} else if !steps.Retryable(err) {
			return err
		} else if err := pause.Wait(ctx); err != nil {
			return err
		}
	}
}

// declare makes the znode that says the capacity, if it is missing.
func (s *Semaphore) declare(ctx context.Context, t tiers.Tier) error {
	if err := steps.MakeAll(ctx, t, steps.Parent(s.path)); err != nil {
		return err
	}
	_, err := tiers.Do(ctx, t, tiers.Txn{Ops: []tiers.Op{{
		Kind: tiers.OpCreate, Path: s.path, Data: []byte(strconv.Itoa(s.capacity)), Mode: tiers.Persistent, ACL: tiers.OpenACL}}})
	if errors.Is(err, tiers.ErrNodeExists) {
		return nil
	}
	return err
}

// room returns when weight permits are free. Only who has the turn watches: a release wakes one contender.
func (s *Semaphore) room(ctx context.Context, t tiers.Tier, weight int, wait bool) error {
	wake := steps.NewSignal()
	defer t.Unwatch(wake, "", tiers.ScopeAny)
	var pause steps.Backoff
	for {
		view, err := t.Read(ctx, tiers.Query{
			Path: s.pool, Want: tiers.WantChildren, Watch: &tiers.WatchSpec{Watcher: wake, Scope: tiers.ScopeChildren}})
		switch {
		case errors.Is(err, tiers.ErrNoNode):
			return nil // enter makes it
		case err == nil && len(view.Children)+weight <= s.capacity:
			return nil
		case err == nil && !wait:
			return fmt.Errorf("%s: %w", s.path, ErrHeld)
		case err == nil:
			pause.Reset()
			select {
			case <-wake:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !steps.Retryable(err):
			return err
		default:
			if err := pause.Wait(ctx); err != nil {
				return err
			}
		}
	}
}
