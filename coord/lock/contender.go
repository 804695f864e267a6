package lock

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// contender is a claim of one znode in a queue: enter, then wait or first, then hold or leave.
type contender struct {
	*claim
	queue *queue
	wake  steps.Signal // the watch on the one ahead
}

func newContender(q *queue, s *coord.Session) *contender {
	prefix := q.name(newID())
	op := ephemeral(q.path, prefix, q.identifier, tiers.EphemeralSequential)
	return &contender{claim: newClaim(s, q.path, prefix, q.policy, op), queue: q, wake: steps.NewSignal()}
}

// look returns the contender that this one waits for; "" when the lock is held.
func (c *contender) look(ctx context.Context) (predecessor string, err error) {
	view, err := c.tier.Read(ctx, tiers.Query{Path: c.dir, Want: tiers.WantChildren})
	if err != nil && !errors.Is(err, tiers.ErrNoNode) {
		return "", err
	}
	predecessor, found := c.queue.ahead(view.Children, c.names[0])
	if !found {
		c.lose(Deleted, nil)
	}
	if c.ctx.Err() != nil {
		return "", context.Cause(c.ctx)
	}
	return predecessor, nil
}

// first returns nil when the lock is held, ErrHeld when it is another's.
func (c *contender) first(ctx context.Context) error {
	var pause steps.Backoff
	for {
		predecessor, err := c.look(ctx)
		switch {
		case err == nil && predecessor != "":
			return fmt.Errorf("%s: %w", c.dir, ErrHeld)
		case err == nil || !steps.Retryable(err):
			return err
		}
		if err := c.rest(ctx, &pause); err != nil {
			return err
		}
	}
}

// wait returns nil when the lock is held.
func (c *contender) wait(ctx context.Context) error {
	defer c.tier.Unwatch(c.wake, "", tiers.ScopeAny)
	var pause steps.Backoff
	for {
		predecessor, err := c.look(ctx)
		if err == nil && predecessor == "" {
			return nil
		}
		if err == nil {
			err = c.outwait(ctx, c.dir+"/"+predecessor)
		}
		switch {
		case err == nil:
			pause.Reset()
		case ctx.Err() != nil:
			return c.gaveUp(ctx)
		case !steps.Retryable(err):
			return err
		default:
			if err := c.rest(ctx, &pause); err != nil {
				return err
			}
		}
	}
}

// outwait returns nil when the znode at path is gone, or has changed.
func (c *contender) outwait(ctx context.Context, path string) error {
	_, err := c.tier.Read(ctx, tiers.Query{
		Path: path, Want: tiers.WantStat, Watch: &tiers.WatchSpec{Watcher: c.wake, Scope: tiers.ScopeData}})
	if errors.Is(err, tiers.ErrNoNode) {
		c.tier.Unwatch(c.wake, path, tiers.ScopeData) // it would tell of a creation
		return nil
	} else if err != nil {
		return err
	}
	select {
	case <-c.wake:
		return nil
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
