package lock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// Inside is a participant of a [DoubleBarrier] that has entered, until Leave: call it also when Context has ended. Its methods may be called
// concurrently.
type Inside struct {
	queue *queue
	held  *Held
	round tiers.Zxid // all older participants are in the same round. Never changes

	leaving sync.Mutex // held by Leave
	left    bool       // the participant's znode is gone, or goes by itself. Guarded by leaving
}

// Context ends when this participant counts as gone, or leaves. Its cause says why: a *LostError or ErrReleased.
func (in *Inside) Context() context.Context { return in.held.Context() }

// State tells how the participation stands.
func (in *Inside) State() State { return in.held.State() }

// Leave ends Context, and waits until all participants of the round have left or are gone. When ctx ends first, its error wraps ctx's cause: this
// participant has left, or does as soon as the cluster can be reached, and a further call waits again for the others.
// Who gives up so, and enters again, may be let in together with those who still leave. A *LostError: it was gone already.
func (in *Inside) Leave(ctx context.Context) error {
	in.leaving.Lock()
	defer in.leaving.Unlock()
	err := in.leave(ctx)
	if err == nil {
		return nil
	}
	if !in.left {
		in.left = true
		_ = in.held.claim.release(ctx) // what can't be removed now is removed later
	}
	return fmt.Errorf("leave %s: %w", in.held.claim.dir, givenUp(ctx, err))
}

func (in *Inside) leave(ctx context.Context) error {
	if in.left { // as far as an earlier call got
		if err := in.held.claim.release(ctx); err != nil {
			return err
		}
	}
	wake := steps.NewSignal()
	later := make(map[string]bool) // participants of later rounds
	var pause steps.Backoff
	for {
		over, err := in.step(ctx, wake, later)
		switch {
		case over:
			return err
		case err != nil && !steps.Retryable(err):
			return err
		case err != nil:
			if err := pause.Wait(ctx); err != nil {
				return err
			}
		default:
			pause.Reset()
		}
	}
}

// step looks who is left, and waits for one of them; over: there is nobody. The one with the lowest name stays until all others are gone; they leave, and
// wait for it. So each watches one other.
func (in *Inside) step(ctx context.Context, wake steps.Signal, later map[string]bool) (over bool, err error) {
	c := in.held.claim
	if !in.left && c.ctx.Err() != nil {
		return true, context.Cause(c.ctx)
	}
	// Who has left waits with any session.
	s, err := in.queue.session(ctx)
	if err != nil {
		return false, err
	}
	t := s.Tier()
	defer t.Unwatch(wake, "", tiers.ScopeAny)
	view, err := t.Read(ctx, tiers.Query{Path: c.dir, Want: tiers.WantChildren})
	if err != nil && !errors.Is(err, tiers.ErrNoNode) {
		return false, err
	}
	mine := c.names[0]
	others := slices.DeleteFunc(participants(view.Children), func(name string) bool { return name == mine || later[name] })
	if len(others) == 0 {
		// While this one is there, nobody can have begun another round.
		if err := dropReady(ctx, t, c.dir, in.round); err != nil {
			return false, err
		}
		return true, in.goNow(ctx)
	}
	other := others[0]
	if !in.left && mine < other {
		other = others[len(others)-1]
	} else if err := in.goNow(ctx); err != nil {
		return true, err
	}
	view, err = t.Read(ctx, tiers.Query{
		Path: c.dir + "/" + other, Want: tiers.WantStat, Watch: &tiers.WatchSpec{Watcher: wake, Scope: tiers.ScopeData}})
	if err != nil || view.Stat.Czxid > in.round {
		if err == nil {
			later[other] = true
		} else if errors.Is(err, tiers.ErrNoNode) {
			err = nil
		}
		return false, err
	}
	gone := c.ctx.Done()
	if in.left {
		gone = nil
	}
	select {
	case <-wake:
	case <-gone:
	case <-s.Context().Done():
	case <-ctx.Done():
		return true, context.Cause(ctx)
	}
	return false, nil
}

// goNow removes the participant's znode, if that was not done yet.
func (in *Inside) goNow(ctx context.Context) error {
	if in.left {
		return nil
	}
	in.left = true
	return in.held.claim.release(ctx)
}
