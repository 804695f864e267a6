package lock

import (
	"context"
	"iter"
	"time"
)

// Phase is how sure a holder can be of what it holds.
type Phase uint8

const (
	// Safe: a majority of the cluster has heard of the holder lately.
	Safe Phase = iota
	// InJeopardy: renewals are not heard as they should be. Nobody else can be granted the lock before State.Until.
	InJeopardy
	// Lost: it is not held any more, without a Release. State.Lost says why.
	Lost
	// Released: by Release.
	Released
)

func (p Phase) String() string {
	switch p {
	case Safe:
		return "safe"
	case InJeopardy:
		return "in jeopardy"
	case Lost:
		return "lost"
	case Released:
		return "released"
	}
	return "unknown phase"
}

// State is how a hold stands. Times are of this process's clock, with its monotonic reading.
type State struct {
	Phase Phase
	// Since is when the phase began.
	Since time.Time
	// Renewed is when the last renewal was sent that a majority has heard; zero where the session table does not tell.
	Renewed time.Time
	// Until is when Context ends if no later renewal is heard; earlier where the policy or a lease's term says so. Zero where that is not known.
	Until time.Time
	// Lost is why; nil in other phases.
	Lost *LostError
}

// State tells how the hold stands at this moment: also right after this process was stopped for a while, when Context may not have
// ended yet because nothing has run that could end it.
func (h *Held) State() State {
	c := h.claim
	standing := c.session.Standing() // first: it may end the hold
	c.checkTerm()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := State{Phase: c.phase, Since: c.since, Renewed: standing.Renewed, Until: standing.Until, Lost: c.lost}
	for _, at := range []time.Time{c.yieldsAt, c.termEnds} {
		if !at.IsZero() && (s.Until.IsZero() || at.Before(s.Until)) {
			s.Until = at
		}
	}
	if c.phase == Lost || c.phase == Released {
		s.Until = time.Time{}
	}
	return s
}

// Changed is closed at the next change of State's phase; nil after the last one.
func (h *Held) Changed() <-chan struct{} {
	h.claim.mu.Lock()
	defer h.claim.mu.Unlock()
	return h.claim.changed
}

// Watch yields the state now and after each change of its phase, until it is Lost or Released, or ctx ends. Who is slow sees the
// latest one.
func (h *Held) Watch(ctx context.Context) iter.Seq[State] {
	return func(yield func(State) bool) {
		for {
			changed := h.Changed()
			if !yield(h.State()) || changed == nil {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}
