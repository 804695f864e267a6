package lock

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// Limits of [Shards].
const (
	MaxShards = 10_000
	MaxWeight = 1_000_000
)

// ErrNoOwner is Owner's answer for a shard that nobody owns at the moment.
var ErrNoOwner = errors.New("nobody owns the shard")

// Shards divides a number of shards among the members that have joined, by weight, and moves as few as it can when members come and go. Two never own a
// shard at a time: each shard is a [Mutex], which the old owner releases, or loses with its session, before the new one gets it.
//
// It keeps no state. In the tree, below the path: "members" has an ephemeral per member, whose data are its weight and the shards that it is to have; "leader"
// is an [Election] of the member that writes these; "shards/<number>" are the locks.
type Shards struct {
	queue queue
	count int
}

// NewShards returns the division of count shards, numbered from 0, at path. All must say the same count, at most MaxShards. Nothing is asked of the cluster yet.
func NewShards(node Node, path string, count int, opts ...Option) *Shards {
	return &Shards{count: count, queue: queue{node: node, path: path, options: newOptions(opts), what: "shards"}}
}

// Join takes part until ctx ends, and calls own, in a goroutine of its own, for each shard that this member gets. weight says how much this one takes compared with
// others; 0: nothing.
//
// The context that own gets ends when the shard is to be given up or is lost, and before another can own it. own must return then: the shard is another's only when it
// has, or when the session has ended. When own returns earlier, the shard is released, and taken again after a pause of up to a second. token is
// larger with each grant of the shard: see [Held.Token].
//
// Join returns nil when ctx has ended, all calls of own have returned, and everything was given up or has ended with the session. When its session is lost
// meanwhile, it joins again with the next one. Errors: those that time does not cure.
func (s *Shards) Join(ctx context.Context, weight int, own func(ctx context.Context, shard int, token int64)) error {
	if s.count < 1 || s.count > MaxShards || weight < 0 || weight > MaxWeight {
		return fmt.Errorf("join %s: %w: %d shards, weight %d", s.queue.path, tiers.ErrBadArguments, s.count, weight)
	}
	var running sync.WaitGroup
	defer running.Wait()
	inner, stop := context.WithCancel(ctx)
	defer stop()
	running.Go(func() { s.lead(inner) })
	err := s.queue.insist(ctx, func(session *coord.Session) error { return s.member(ctx, session, weight, own) })
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("join %s: %w", s.queue.path, err)
}

// Owner tells who owns a shard: whose contender it is, with its Identifier as data. The answer is as fresh as a strong read. Errors: ErrNoOwner, the tier's.
func (s *Shards) Owner(ctx context.Context, shard int) (Leader, error) {
	session, err := s.queue.session(ctx)
	var owner Leader
	if err == nil {
		owner, err = foremost(ctx, session.Tier(), s.lockPath(shard), nil)
	}
	if err == nil && owner.None() {
		err = ErrNoOwner
	}
	if err != nil {
		return Leader{}, fmt.Errorf("shard %d of %s: %w", shard, s.queue.path, err)
	}
	return owner, nil
}

func (s *Shards) membersPath() string { return s.queue.path + "/members" }

func (s *Shards) lockPath(shard int) string { return s.queue.path + "/shards/" + strconv.Itoa(shard) }

// member is a member for as long as one session and ctx last.
func (s *Shards) member(ctx context.Context, session *coord.Session, weight int, own func(context.Context, int, int64)) error {
	if k := session.Tier().Contract(s.queue.path); !k.Multi || !k.Conditional {
		return &tiers.ContractError{Tier: k.Tier, Path: s.queue.path, What: "shards", Hint: "route the path to the strong tier"}
	}
	id := newID()
	data := target{Weight: weight, Name: string(s.queue.identifier)}.encode()
	c := newClaim(session, s.membersPath(), id, s.queue.policy, ephemeral(s.membersPath(), id, data, tiers.Ephemeral))
	err := c.enter(ctx)
	if err == nil {
		err = s.work(ctx, c, own)
	}
	lost := ctx.Err() == nil && c.ctx.Err() != nil
	c.leave(context.WithoutCancel(ctx)) // not longer than the session lasts
	if lost {
		return fmt.Errorf("%w: %w", tiers.ErrSessionExpired, err) // its member, at least: it joins anew
	}
	return err
}

// work owns what the member is to have, until the member or ctx ends.
func (s *Shards) work(ctx context.Context, c *claim, own func(context.Context, int, int64)) error {
	here, stop := joined(ctx, c.ctx)
	w := &worker{shards: s, own: own, ctx: here, at: make(map[int]context.CancelFunc)}
	err := w.follow(here, c)
	stop()
	// Others begin to take over while this one still stops: they wait for its locks.
	c.leave(context.WithoutCancel(ctx))
	w.running.Wait()
	return err
}

// worker owns the shards of one member. Its map is follow's alone.
type worker struct {
	shards  *Shards
	own     func(context.Context, int, int64)
	ctx     context.Context
	at      map[int]context.CancelFunc // the shards that it has or waits for
	running sync.WaitGroup
}

// follow does what the member's znode says, until ctx ends.
func (w *worker) follow(ctx context.Context, c *claim) error {
	wake := steps.NewSignal()
	defer c.tier.Unwatch(wake, "", tiers.ScopeAny)
	var pause steps.Backoff
	for {
		view, err := c.tier.Read(ctx, tiers.Query{
			Path: c.path(), Want: tiers.WantData, Watch: &tiers.WatchSpec{Watcher: wake, Scope: tiers.ScopeData}})
		if errors.Is(err, tiers.ErrNoNode) {
			c.lose(Deleted, nil)
		}
		var to target
		if err == nil {
			to, err = decodeTarget(view.Data)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case steps.Retryable(err):
			_ = pause.Wait(ctx)
			continue
		case err != nil:
			return err
		}
		pause.Reset()
		w.move(to.Shards)
		select {
		case <-wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// move begins with the shards that are new and ends the others.
func (w *worker) move(shards []int) {
	wanted := make(map[int]bool, len(shards))
	for _, shard := range shards {
		wanted[shard] = true
		if w.at[shard] == nil {
			ctx, cancel := context.WithCancel(w.ctx)
			w.at[shard] = cancel
			w.running.Go(func() { w.keep(ctx, shard) })
		}
	}
	for shard, cancel := range w.at {
		if !wanted[shard] {
			cancel()
			delete(w.at, shard)
		}
	}
}

// keep owns a shard, again and again, until ctx ends.
func (w *worker) keep(ctx context.Context, shard int) {
	q := w.shards.queue
	q.path, q.name, q.ahead = w.shards.lockPath(shard), q.options.mutexName, before
	m := &Mutex{q}
	var pause steps.Backoff
	for ctx.Err() == nil {
		if held, err := m.Acquire(ctx); err == nil {
			w.work(ctx, shard, held)
		}
		_ = pause.Wait(ctx) // what has failed, or what own had enough of, is tried again
	}
}

// work calls own once, and then releases.
func (w *worker) work(ctx context.Context, shard int, held *Held) {
	defer func() { _ = held.Release(context.WithoutCancel(ctx)) }() // not longer than the session lasts; else it is lost
	both, stop := joined(held.Context(), ctx)
	defer stop()
	if both.Err() == nil {
		w.own(both, shard, held.Token())
	}
}
