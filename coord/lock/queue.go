package lock

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// queue is a znode whose children queue up for something, and their rules. It keeps no state.
type queue struct {
	node Node
	path string
	options
	what string // for people
	// name makes the name of a contender, up to its sequence number, from a unique id.
	name func(id string) string
	// ahead finds, among children, the contender that the one called name waits for; "" when it has its turn. found is false when name
	// is not among them.
	ahead func(children []string, name string) (blocker string, found bool)
}

// take waits for the turn.
func (q *queue) take(ctx context.Context) (*Held, error) {
	held, err := q.acquire(ctx, (*contender).wait)
	if err != nil {
		return nil, fmt.Errorf("acquire: %w", err)
	}
	return held, nil
}

// tryTake is take without waiting for those who are there; taken looks for them.
func (q *queue) tryTake(ctx context.Context, taken func(children []string) bool) (*Held, error) {
	// Most often somebody is there: that is found out without a write.
	err := q.unclaimed(ctx, taken)
	var held *Held
	if err == nil {
		held, err = q.acquire(ctx, (*contender).first)
	}
	if err != nil {
		return nil, fmt.Errorf("try to acquire: %w", err)
	}
	return held, nil
}

// acquire contends until turn says that it is this one's.
func (q *queue) acquire(ctx context.Context, turn func(*contender, context.Context) error) (*Held, error) {
	if err := steps.CheckPath(q.path); err != nil {
		return nil, err
	}
	var pause steps.Backoff
	for {
		s, err := q.node.Session(ctx)
		if steps.Retryable(err) && pause.Wait(ctx) == nil {
			continue
		} else if err != nil {
			return nil, givenUp(ctx, err)
		}
		if err := q.allowed(s.Tier().Contract(q.path)); err != nil {
			return nil, err
		}
		c := newContender(q, s)
		if err = c.enter(ctx); err == nil {
			err = turn(c, ctx)
		}
		if err == nil {
			var held *Held
			if held, err = c.hold(); err == nil {
				return held, nil
			}
		}
		lost := c.ctx.Err() != nil || errors.Is(err, tiers.ErrSessionExpired)
		c.leave(ctx)
		if !lost || ctx.Err() != nil {
			return nil, givenUp(ctx, err)
		}
		// The session or the znode was lost before the lock was held: stand again.
		if pause.Wait(ctx) != nil {
			return nil, givenUp(ctx, err)
		}
	}
}

// unclaimed returns ErrHeld when taken says so.
func (q *queue) unclaimed(ctx context.Context, taken func(children []string) bool) error {
	s, err := q.node.Session(ctx)
	if err != nil {
		return err
	}
	view, err := s.Tier().Read(ctx, tiers.Query{Path: q.path, Want: tiers.WantChildren})
	switch {
	case errors.Is(err, tiers.ErrNoNode):
		return nil
	case err == nil && taken(view.Children):
		return fmt.Errorf("%s: %w", q.path, ErrHeld)
	}
	return err
}

// allowed refuses tiers that can't keep a lock.
func (q *queue) allowed(c tiers.Contract) error {
	if c.Linearizable && c.Sequential && c.Ephemeral {
		return nil
	}
	return &tiers.ContractError{Tier: c.Tier, Path: q.path, What: q.what, Hint: "route the path to the strong tier"}
}

// givenUp is err, with ctx's cause when that has ended.
func givenUp(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil && !errors.Is(err, why) {
		return fmt.Errorf("%w: %w", why, err)
	}
	return err
}
