package lock

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// Barrier holds up all who wait at it while it is there. It belongs to nobody: it stays until it is removed, also when who created it is gone.
//
// It keeps no state. In the tree it is a persistent znode: kazoo's Barrier, Curator's DistributedBarrier.
type Barrier struct{ queue queue }

// NewBarrier returns the barrier at path. Nothing is asked of the cluster yet.
func NewBarrier(node Node, path string) *Barrier {
	return &Barrier{queue{node: node, path: path, what: "a barrier"}}
}

// Create puts the barrier up, if it is not there. It tries again while ctx lives; when that ends first, the barrier may be there or not.
func (b *Barrier) Create(ctx context.Context) error {
	err := b.queue.insist(ctx, func(s *coord.Session) error {
		if err := steps.MakeAll(ctx, s.Tier(), steps.Parent(b.queue.path)); err != nil {
			return err
		}
		_, err := tiers.Do(ctx, s.Tier(), tiers.Txn{Session: s.ID(), Ops: []tiers.Op{{
			Kind: tiers.OpCreate, Path: b.queue.path, Data: []byte{}, Mode: tiers.Persistent, ACL: tiers.OpenACL}}})
		if errors.Is(err, tiers.ErrNodeExists) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("create barrier %s: %w", b.queue.path, err)
	}
	return nil
}

// Remove takes the barrier away, if it is there: all who wait go on. It tries again while ctx lives; when that ends first, the barrier may be there
// or not. A barrier that another puts up after it was removed stays.
func (b *Barrier) Remove(ctx context.Context) error {
	var known tiers.Zxid // of the barrier's creation: the one that is to go
	err := b.queue.insist(ctx, func(s *coord.Session) error {
		view, err := s.Tier().Read(ctx, tiers.Query{Path: b.queue.path, Want: tiers.WantStat})
		if err == nil && known != 0 && view.Stat.Czxid != known {
			return nil
		}
		if err == nil {
			known = view.Stat.Czxid
			_, err = tiers.Do(ctx, s.Tier(), tiers.Txn{Session: s.ID(), Ops: []tiers.Op{
				{Kind: tiers.OpDelete, Path: b.queue.path, Version: tiers.AnyVersion}}})
		}
		if errors.Is(err, tiers.ErrUnknownOutcome) {
			// Sealed before it is looked at again: else it could take a later barrier away.
			if err := steps.Settle(ctx, s.Tier(), s.ID(), b.queue.path); err != nil {
				return err
			}
		}
		if errors.Is(err, tiers.ErrNoNode) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove barrier %s: %w", b.queue.path, err)
	}
	return nil
}

// Wait returns nil when the barrier is not there, or ctx's cause. It waits through elections and loss of the majority.
func (b *Barrier) Wait(ctx context.Context) error {
	wake := steps.NewSignal()
	err := b.queue.insist(ctx, func(s *coord.Session) error {
		defer s.Tier().Unwatch(wake, "", tiers.ScopeAny)
		for {
			_, err := s.Tier().Read(ctx, tiers.Query{
				Path: b.queue.path, Want: tiers.WantStat, Watch: &tiers.WatchSpec{Watcher: wake, Scope: tiers.ScopeData}})
			if errors.Is(err, tiers.ErrNoNode) {
				return nil
			} else if err != nil {
				return err
			}
			select {
			case <-wake:
			case <-s.Context().Done():
				return tiers.ErrSessionExpired // the next one tells whether the node is closed
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("wait at barrier %s: %w", b.queue.path, err)
	}
	return nil
}

// insist takes a step until it succeeds, fails for a reason that neither time nor another session cures, or ctx ends.
func (q *queue) insist(ctx context.Context, step func(*coord.Session) error) error {
	var pause steps.Backoff
	for {
		s, err := q.session(ctx)
		if err == nil {
			err = step(s)
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return givenUp(ctx, err)
		case !steps.Retryable(err) && !errors.Is(err, tiers.ErrSessionExpired):
			return err
		}
		_ = pause.Wait(ctx) // its end is seen by the next step
	}
}
