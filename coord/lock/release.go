package lock

import (
	"context"
	"errors"

	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// release is Held.Release.
func (c *claim) release(ctx context.Context) error {
	c.releasing.Lock()
	defer c.releasing.Unlock()
	if c.released {
		return nil
	}
	// First of all, nobody works under it any more.
	why := c.letGo()
	c.tier.Unwatch(c, "", tiers.ScopeAny)
	if why != nil {
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

// leave removes the znodes of a claim that is not held, if there are any: now if ctx lives, else as soon as the tier lets it.
func (c *claim) leave(ctx context.Context) {
	_ = c.letGo()
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

// removeLater removes the znodes as soon as the tier lets it. It does not wait for that: the session does.
func (c *claim) removeLater() {
	c.session.Go(func(ctx context.Context) { _, _ = c.remove(ctx) })
}

// remove deletes the znodes, and tells whether they existed. It tries again until ctx or the session ends; the znodes end with
// the session.
func (c *claim) remove(ctx context.Context) (existed bool, err error) {
	ctx, stop := joined(ctx, c.session.Context())
	defer stop()
	if err := c.learn(ctx); err != nil {
		return false, err
	}
	for _, name := range c.names {
		there, err := c.removeOne(ctx, c.dir+"/"+name)
		if err != nil {
			return false, err
		}
		existed = existed || there
	}
	return existed, nil
}

func (c *claim) removeOne(ctx context.Context, path string) (existed bool, err error) {
	var pause steps.Backoff
	for {
		_, err := tiers.Do(ctx, c.tier, tiers.Txn{Session: c.session.ID(), Ops: []tiers.Op{
			{Kind: tiers.OpDelete, Path: path, Version: tiers.AnyVersion}}})
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
func (c *claim) learn(ctx context.Context) error {
	if c.names != nil {
		return nil
	}
	receipt, err := c.create.Wait(ctx)
	switch {
	case err == nil:
		c.made(receipt)
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
