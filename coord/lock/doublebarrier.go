package lock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// DoubleBarrier has a number of participants begin together and end together: Enter returns when all have come, Leave when all have done
// their work. One that crashes, or loses its session, counts as gone: those who enter wait for another one in its place, and those who leave don't
// wait for it.
//
// It keeps no state: each Enter is a participant of its own. It can be used again and again: who has left may enter the next round.
//
// In the tree each participant is an ephemeral znode below the path, and so is "ready", which the one makes who finds everybody there: the layout of
// kazoo's DoubleBarrier and of Curator's DistributedDoubleBarrier.
type DoubleBarrier struct {
	queue queue
	count int
}

// readyName is the child that lets all in.
const readyName = "ready"

// NewDoubleBarrier returns the double barrier at path for count participants, of which all must say the same. Nothing is asked of the cluster yet.
func NewDoubleBarrier(node Node, path string, count int, opts ...Option) *DoubleBarrier {
	return &DoubleBarrier{count: count, queue: queue{node: node, path: path, options: newOptions(opts), what: "a double barrier"}}
}

// Enter waits until count participants are there, or ctx ends; then its error wraps ctx's cause, and it is no participant. It waits through
// elections and loss of the majority; when the session is lost meanwhile, it comes again with the next one.
func (b *DoubleBarrier) Enter(ctx context.Context) (*Inside, error) {
	if b.count < 1 {
		return nil, fmt.Errorf("enter %s: %w: %d participants", b.queue.path, tiers.ErrBadArguments, b.count)
	}
	var in *Inside
	err := b.queue.insist(ctx, func(s *coord.Session) (err error) {
		in, err = b.enter(ctx, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("enter %s: %w", b.queue.path, err)
	}
	return in, nil
}

func (b *DoubleBarrier) enter(ctx context.Context, s *coord.Session) (*Inside, error) {
	id := newID()
	c := newClaim(s, b.queue.path, id, b.queue.policy, ephemeral(b.queue.path, id, b.queue.identifier, tiers.Ephemeral))
	gate := &gate{wake: steps.NewSignal()}
	p := &entrance{claim: c, count: b.count, gate: gate}
	defer c.tier.Unwatch(gate, "", tiers.ScopeAny)
	// Before there is a participant: whatever lets it in is seen, also if it is gone again before this one looks.
	err := c.tier.AddWatch(p.ready(), tiers.ScopePersistent, gate)
	if err == nil {
		err = c.enter(ctx)
	}
	var round tiers.Zxid
	if err == nil {
		round, err = p.pass(ctx)
	}
	if err == nil {
		var held *Held
		if held, err = c.hold(); err == nil {
			return &Inside{queue: &b.queue, held: held, round: round}, nil
		}
	}
	lost := c.ctx.Err() != nil
	c.leave(ctx)
	if lost {
		return nil, fmt.Errorf("%w: %w", tiers.ErrSessionExpired, err) // its participant, at least: it comes again
	}
	return nil, err
}

// gate is told of each creation of "ready".
type gate struct {
	wake  steps.Signal
	mu    sync.Mutex
	opens []tiers.Zxid // when, in order. Guarded by mu
}

// Notify implements tiers.Watcher.
func (g *gate) Notify(ev tiers.Event) {
	if ev.Type != tiers.NodeCreated {
		return
	}
	g.mu.Lock()
	g.opens = append(g.opens, ev.Zxid)
	g.mu.Unlock()
	g.wake.Set()
}

// after is the first opening after z; 0: there was none.
func (g *gate) after(z tiers.Zxid) tiers.Zxid {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, at := range g.opens {
		if at > z {
			return at
		}
	}
	return 0
}

// entrance is a participant that is not inside yet.
type entrance struct {
	*claim
	count int
	gate  *gate
}

func (p *entrance) ready() string { return p.dir + "/" + readyName }

// pass waits until the participant may enter, and returns which round it is in: the zxid of the "ready" that was made after the participant. All
// participants that are older than that are in the same round.
func (p *entrance) pass(ctx context.Context) (tiers.Zxid, error) {
	var pause steps.Backoff
	for {
		round, err := p.look(ctx)
		switch {
		case ctx.Err() != nil && err != nil:
			return 0, p.gaveUp(ctx)
		case err != nil && !steps.Retryable(err):
			return 0, err
		case err != nil:
			if err := p.rest(ctx, &pause); err != nil {
				return 0, err
			}
			continue
		case round != 0:
			return round, nil
		}
		pause.Reset()
		// Whoever comes looks whether all are there. So nobody has to watch the others.
		select {
		case <-p.gate.wake:
		case <-p.ctx.Done():
			return 0, context.Cause(p.ctx)
		case <-ctx.Done():
			return 0, p.gaveUp(ctx)
		}
	}
}

// look returns the round, or 0 while not all are there.
func (p *entrance) look(ctx context.Context) (tiers.Zxid, error) {
	if round := p.gate.after(p.created); round != 0 {
		return round, nil
	}
	view, err := p.tier.Read(ctx, tiers.Query{Path: p.dir, Want: tiers.WantChildren})
	if errors.Is(err, tiers.ErrNoNode) {
		err = nil // and so the participant's own
	}
	if err != nil {
		return 0, err
	}
	if !slices.Contains(view.Children, p.names[0]) {
		p.lose(Deleted, nil)
		return 0, context.Cause(p.ctx)
	}
	if len(participants(view.Children)) < p.count {
		return 0, nil
	}
	round, err := p.open(ctx)
	if err != nil {
		return 0, err
	}
	if first := p.gate.after(p.created); first != 0 && first < round {
		// Others are in, and perhaps on their way out, for whom this "ready" is one too many.
		p.session.Go(func(ctx context.Context) { _ = dropReady(ctx, p.tier, p.dir, round) })
		return first, nil
	}
	return round, nil
}

// open returns when there is a "ready" that is younger than the participant.
func (p *entrance) open(ctx context.Context) (tiers.Zxid, error) {
	view, err := p.tier.Read(ctx, tiers.Query{Path: p.ready(), Want: tiers.WantStat})
	make := ephemeral(p.dir, readyName, []byte{}, tiers.Ephemeral)
	ops := []tiers.Op{make}
	switch {
	case err == nil && view.Stat.Czxid > p.created:
		return view.Stat.Czxid, nil
	case err == nil: // it let others in, or was left behind: those who wait need a new one
		ops = []tiers.Op{{Kind: tiers.OpDelete, Path: p.ready(), Version: tiers.AnyVersion}, make}
	case !errors.Is(err, tiers.ErrNoNode):
		return 0, err
	}
	receipt, err := tiers.Do(ctx, p.tier, tiers.Txn{Session: p.session.ID(), Ops: ops})
	switch {
	case err == nil:
		return receipt.Results[len(ops)-1].Stat.Czxid, nil
	case errors.Is(err, tiers.ErrUnknownOutcome):
		if err := steps.Settle(ctx, p.tier, p.session.ID(), p.dir); err != nil {
			return 0, err
		}
		return 0, tiers.ErrUnavailable // look again
	case errors.Is(err, tiers.ErrNodeExists), errors.Is(err, tiers.ErrNoNode):
		return 0, tiers.ErrUnavailable // another was quicker: look again
	}
	return 0, err
}

// dropReady removes the "ready" of that round or an older one, if it is there. It tries again while ctx lives.
func dropReady(ctx context.Context, t tiers.Tier, dir string, round tiers.Zxid) error {
	path := dir + "/" + readyName
	var pause steps.Backoff
	for {
		view, err := t.Read(ctx, tiers.Query{Path: path, Want: tiers.WantStat})
		if err == nil && view.Stat.Czxid <= round {
			_, err = tiers.Do(ctx, t, tiers.Txn{Ops: []tiers.Op{{Kind: tiers.OpDelete, Path: path, Version: tiers.AnyVersion}}})
		}
		if err == nil || errors.Is(err, tiers.ErrNoNode) {
			return nil
		}
		if !steps.Retryable(err) {
			return err
		}
		if err := pause.Wait(ctx); err != nil {
			return err
		}
	}
}

// participants are the children without "ready", sorted.
func participants(children []string) []string {
	return slices.Sorted(func(yield func(string) bool) {
		for _, child := range children {
			if child != readyName && !yield(child) {
				return
			}
		}
	})
}
