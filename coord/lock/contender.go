package lock

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// contender is one znode in the queue of a lock: enter, then wait or first, then release or leave.
type contender struct {
	lock    *Mutex
	session *coord.Session
	tier    tiers.Tier
	prefix  string       // of the znode's name, up to the sequence number: unique, so that an uncertain create is found again
	wake    steps.Signal // the watch on the predecessor

	// ctx ends with the session, when the znode is deleted, and at the release.
	ctx context.Context
	end context.CancelCauseFunc

	create  *tiers.Pending // the last create that was submitted. Owned by enter, then by remove
	name    string         // of the znode; "" while not known. Owned likewise
	created tiers.Zxid     // the txn that created it. Set by enter

	releasing sync.Mutex // held by release
	released  bool       // guarded by releasing
	uncertain bool       // removeLater is at it. Guarded by releasing
}

func newContender(m *Mutex, s *coord.Session) *contender {
	c := &contender{lock: m, session: s, tier: s.Tier(), prefix: m.names(newID()), wake: steps.NewSignal()}
	c.ctx, c.end = context.WithCancelCause(s.Context())
	return c
}

// Notify implements tiers.Watcher: the watch on the contender's own znode.
func (c *contender) Notify(ev tiers.Event) {
	if ev.Type == tiers.NodeDeleted {
		c.end(ErrLost)
	}
}

func (c *contender) path() string { return c.lock.path + "/" + c.name }

// enter makes the znode. It returns nil when the znode was made, and is watched.
func (c *contender) enter(ctx context.Context) error {
	op := tiers.Op{
		Kind: tiers.OpCreate, Path: c.lock.path + "/" + c.prefix, Data: c.lock.identifier,
		Mode: tiers.EphemeralSequential, ACL: tiers.OpenACL,
	}
	var pause steps.Backoff
	for {
		// Submitted for as long as the session lives, so that remove can learn what became of it when ctx has ended.
		c.create = c.tier.Submit(c.session.Context(), tiers.Txn{Session: c.session.ID(), Ops: []tiers.Op{op}})
		receipt, err := c.create.Wait(ctx)
		if ctx.Err() != nil && err != nil {
			return c.gaveUp(ctx)
		}
		if err == nil {
			made := receipt.Results[0]
			c.name, c.created = made.Path[len(c.lock.path)+1:], made.Stat.Czxid
		} else if errors.Is(err, tiers.ErrNoNode) {
			err = steps.MakeAll(ctx, c.tier, c.lock.path)
		} else if errors.Is(err, tiers.ErrUnknownOutcome) {
			// Not before it is known what became of this one: a second create could make a second znode.
			err = c.find(ctx)
		}
		switch {
		case ctx.Err() != nil && err != nil:
			return c.gaveUp(ctx)
		case c.name != "":
			return c.tier.AddWatch(c.path(), tiers.ScopePersistent, c)
		case err != nil && !steps.Retryable(err):
			return err
		case err != nil:
			if err := c.rest(ctx, &pause); err != nil {
				return err
			}
		}
	}
}

// find learns what became of an uncertain create, for as long as ctx lives. Without an error, name is set if the znode was made,
// and it never will be if not.
func (c *contender) find(ctx context.Context) error {
	var pause steps.Backoff
	for {
		err := c.findNow(ctx)
		if err == nil || !steps.Retryable(err) {
			return err
		}
		if err := pause.Wait(ctx); err != nil {
			return err
		}
	}
}

func (c *contender) findNow(ctx context.Context) error {
	if err := steps.Settle(ctx, c.tier, c.session.ID(), c.lock.path); err != nil {
		return err
	}
	view, err := c.tier.Read(ctx, tiers.Query{Path: c.lock.path, Want: tiers.WantChildren, Fresh: true})
	if err != nil && !errors.Is(err, tiers.ErrNoNode) {
		return err
	}
	for _, child := range view.Children {
		if !strings.HasPrefix(child, c.prefix) {
			continue
		}
		view, err := c.tier.Read(ctx, tiers.Query{Path: c.lock.path + "/" + child, Want: tiers.WantStat, Fresh: true})
		if err == nil {
			c.name, c.created = child, view.Stat.Czxid
		} else if !errors.Is(err, tiers.ErrNoNode) {
			return err
		}
	}
	return nil
}

// look returns the contender just before this one; "" when the lock is held.
func (c *contender) look(ctx context.Context) (predecessor string, err error) {
	view, err := c.tier.Read(ctx, tiers.Query{Path: c.lock.path, Want: tiers.WantChildren})
	if err != nil && !errors.Is(err, tiers.ErrNoNode) {
		return "", err
	}
	predecessor, found := before(view.Children, c.name)
	if !found {
		c.end(ErrLost)
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
			return fmt.Errorf("%s: %w", c.lock.path, ErrHeld)
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
			err = c.outwait(ctx, c.lock.path+"/"+predecessor)
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

// rest is the pause before the next try. Its error says why there should be none.
func (c *contender) rest(ctx context.Context, pause *steps.Backoff) error {
	if pause.Wait(ctx) != nil {
		return c.gaveUp(ctx)
	}
	return context.Cause(c.ctx)
}

func (c *contender) gaveUp(ctx context.Context) error {
	return fmt.Errorf("%s: %w", c.lock.path, context.Cause(ctx))
}
