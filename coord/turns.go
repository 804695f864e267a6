package coord

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/strata-coord/strata/tiers"
)

// turns lets one at a time change the membership: a reconfiguration that somebody asked for, which comes first, or reconcile.
type turns struct {
	asked atomic.Bool   // a reconfiguration is under way
	held  chan struct{} // capacity 1: full while somebody changes the membership

	mu    sync.Mutex
	yield context.CancelFunc // ends the turn of reconcile; nil: it has none. Guarded by mu
}

func newTurns() *turns { return &turns{held: make(chan struct{}, 1)} }

// enter says that a reconfiguration is under way; false: another one is. Then leave.
func (t *turns) enter() bool { return t.asked.CompareAndSwap(false, true) }

func (t *turns) leave() { t.asked.Store(false) }

// begin waits for the turn of the reconfiguration that has entered. Then end. Error: ErrUnavailable when ctx ends.
func (t *turns) begin(ctx context.Context) error {
	t.mu.Lock()
	if t.yield != nil {
		t.yield()
	}
	t.mu.Unlock()
	select {
	case t.held <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: another change of the membership does not end: %w", tiers.ErrUnavailable, context.Cause(ctx))
	}
}

func (t *turns) end() { <-t.held }

// try gives reconcile its turn, if nobody has or wants one. Its context ends when a reconfiguration wants to begin. done ends the turn.
func (t *turns) try(ctx context.Context) (turn context.Context, done func(), ok bool) {
	select {
	case t.held <- struct{}{}:
	default:
		return nil, nil, false
	}
	turn, cancel := context.WithCancel(ctx)
	t.mu.Lock()
	t.yield = cancel
	t.mu.Unlock()
	if t.asked.Load() {
		cancel()
	}
	return turn, func() {
		t.mu.Lock()
		t.yield = nil
		t.mu.Unlock()
		cancel()
		<-t.held
	}, true
}
