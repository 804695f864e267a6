package lock

import (
	"context"
	"errors"

	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// release is Held.Release.
func (c *contender) release(ctx context.Context) error {
	c.releasing.Lock()
	defer c.releasing.Unlock()
	if c.released {
		return nil
	}
	// First of all, nobody works under the lock any more.
	c.end(ErrReleased)
	c.tier.Unwatch(c, "", tiers.ScopeAny)
	if why := context.Cause(c.ctx); !errors.Is(why, ErrReleased) {
		return why
	}
	existed, err := c.remove(ctx)
	switch {
	case err == nil && !existed && !c.uncertain:
		err = ErrLost
	case err == nil:
		c.released = true
	case ctx.Err() != nil && !c.uncertain:
		c.uncertain = true
		c.removeLater()
		fallthrough
	case ctx.Err() != nil:
		err = &tiers.UnknownOutcomeError{Cause: context.Cause(ctx)}
	}
	return err
}

// leave removes the znode of a contender that has no lock, if there is one: now if ctx lives, else as soon as the tier lets it.
func (c *contender) leave(ctx context.Context) {
	c.end(ErrReleased)
	c.tier.Unwatch(c, "", tiers.ScopeAny)
	if c.create == nil || c.session.Context().Err() != nil {
		return
	}
	if ctx.Err() == nil {
		if _, err := c.remove(ctx); err == nil {
			return
		}
	}
	c.removeLater()
}

// removeLater removes the znode as soon as the tier lets it. It does not wait for that: the session does.
func (c *contender) removeLater() {
	c.session.Go(func(ctx context.Context) { _, _ = c.remove(ctx) })
}

// remove deletes the znode, and tells whether it existed. It tries again until ctx or the session ends; the znode ends with
// the session.
func (c *contender) remove(ctx context.Context) (existed bool, err error) {
	ctx, stop := joined(ctx, c.session.Context())
	defer stop()
	if err := c.learn(ctx); err != nil || c.name == "" {
		return false, err
	}
	var pause steps.Backoff
	for {
		_, err := tiers.Do(ctx, c.tier, tiers.Txn{Session: c.session.ID(), Ops: []tiers.Op{
			{Kind: tiers.OpDelete, Path: c.path(), Version: tiers.AnyVersion}}})
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, tiers.ErrNoNode):
			return existed, nil
		case errors.Is(err, tiers.ErrUnknownOutcome):
			existed = true // perhaps by that one
		case !steps.Retryable(err):
			return false, err
		}
		if err := pause.Wait(ctx); err != nil {
			return false, err
		}
	}
}

// learn waits until it is known whether the znode was made, and under which name.
func (c *contender) learn(ctx context.Context) error {
	if c.name != "" {
		return nil
	}
	receipt, err := c.create.Wait(ctx)
	switch {
	case err == nil:
		c.name = receipt.Results[0].Path[len(c.lock.path)+1:]
		return nil
	case !errors.Is(err, tiers.ErrUnknownOutcome):
		return nil // a create that failed made nothing
	}
	return c.find(ctx)
}

// joined is ctx that ends, with its cause, also when other does.
func joined(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return ctx, func() { stop(); cancel(context.Canceled) }
}
