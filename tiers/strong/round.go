package strong

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A round finds a commit index that covers everything acknowledged before the round began. It is shared by all reads that wait
// when it begins, costs no log entry and trusts no clock:
//
//   - The leader serves rounds only in a term whose term-start it has committed, so its commit index covers all earlier terms.
//   - It takes the commit index, then asks the voters for their current term. A voter persists a higher term before it votes,
//     and terms only grow: when a majority, the leader included, still is in the leader's own term after the question was sent,
//     no later leader had been elected at that moment, and nothing beyond the index had been acknowledged by anyone else.
//   - Only voters count, of the leader's latest configuration.
//
// A follower asks the leader for the result of such a round, and answers from its own tree once it has applied the index.
type rounds struct {
	mu      sync.Mutex
	waiting []roundWaiter // guarded by mu
	wake    chan struct{} // capacity 1
}

type roundWaiter struct {
	deadline time.Time
	f        func(index uint64, begun time.Time, err error) // must not block
}

func newRounds() *rounds { return &rounds{wake: make(chan struct{}, 1)} }

// join calls f with the outcome of a round that begins after this call.
func (r *rounds) join(deadline time.Time, f func(index uint64, begun time.Time, err error)) {
	r.mu.Lock()
	r.waiting = append(r.waiting, roundWaiter{deadline, f})
	r.mu.Unlock()
	r.signal()
}

func (r *rounds) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *rounds) take() []roundWaiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	ws := r.waiting
	r.waiting = nil
	return ws
}

// putBack keeps those that still have time, in front, and returns the others.
func (r *rounds) putBack(ws []roundWaiter, now time.Time) (late []roundWaiter) {
	var keep []roundWaiter
	for _, w := range ws {
		if w.deadline.After(now) {
			keep = append(keep, w)
		} else {
			late = append(late, w)
		}
	}
	r.mu.Lock()
	r.waiting = append(keep, r.waiting...)
	r.mu.Unlock()
	return late
}

// runRounds runs one round after the other while somebody waits.
func (t *Tier) runRounds(ctx context.Context) {
	moved := t.lead.changed()
	tenure, end := t.tenure(ctx, moved)
	defer func() { end(nil) }()
	for {
		select {
		case <-ctx.Done():
			for _, w := range t.rounds.take() {
				w.f(0, time.Time{}, errClosed)
			}
			return
		case <-t.rounds.wake:
		}
		ws := t.rounds.take()
		if len(ws) == 0 {
			continue
		}
		if now := t.lead.changed(); now != moved {
			end(nil)
			moved = now
			tenure, end = t.tenure(ctx, moved)
		}
		begun := time.Now()
		index, err := t.readIndex(tenure)
		if err == nil {
			t.mode.confirmed()
			for _, w := range ws {
				w.f(index, begun, nil)
			}
			continue
		}
		for _, w := range t.rounds.putBack(ws, time.Now()) {
			w.f(0, begun, fmt.Errorf("%w (%w)", t.unavailable(), err))
		}
		select {
		case <-ctx.Done():
		case <-moved:
		case <-time.After(t.cfg.Heartbeat / 4):
		}
		t.rounds.signal()
	}
}

var errMoved = errors.New("the leader has changed")

// tenure is a context that ends with moved: a leader that has fallen silent is not waited for once there is another.
func (t *Tier) tenure(ctx context.Context, moved <-chan struct{}) (context.Context, context.CancelCauseFunc) {
	ctx, end := context.WithCancelCause(ctx)
	t.work.Go(func() {
		select {
		case <-moved:
			end(errMoved)
		case <-ctx.Done():
		}
	})
	return ctx, end
}

// readIndex runs one round, here or at the leader.
func (t *Tier) readIndex(ctx context.Context) (uint64, error) {
	if t.raft.State() == raft.Leader {
		return t.confirm(ctx)
	}
	leader := t.epoch().leader
	if leader == "" || leader == t.cfg.Name {
		return 0, errNoLeader
	}
	ctx, cancel := context.WithTimeout(ctx, 10*t.cfg.Heartbeat)
	defer cancel()
	b, err := t.peers.get(leader).Call(ctx, methodReadIndex, nil)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, errors.New("malformed read index")
	}
	return binary.BigEndian.Uint64(b), nil
}

// confirm is the leader's round.
func (t *Tier) confirm(ctx context.Context) (uint64, error) {
	term := t.leads()
	if term == 0 {
		return 0, errNoLeader
	}
	index := t.raft.CommitIndex()
	if t.cfg.flaw == flawNoRound {
		return index, nil
	}
	if err := t.majority(ctx, methodTerm, nil, func(_ string, b []byte) bool {
		return len(b) == 8 && binary.BigEndian.Uint64(b) == term
	}); err != nil {
		return 0, err
	}
	if t.leads() != term {
		return 0, errNoLeader
	}
	return index, nil
}

// majority calls method at every other voter and returns nil as soon as, with this member if it is a voter, a majority of the
// voters has given an answer that ok accepts. ok runs in one goroutine at a time.
func (t *Tier) majority(ctx context.Context, method byte, body []byte, ok func(from string, b []byte) bool) error {
	voters, self := t.voters()
	need := (len(voters)+boolInt(self))/2 + 1
	have := boolInt(self)
	if have >= need {
		return nil
	}
	type reply struct {
		from string
		body []byte
		err  error
	}
	replies := make(chan reply, len(voters))
	for _, v := range voters {
		t.peers.get(v).Go(method, body, func(b []byte, err error) { replies <- reply{v, b, err} })
	}
	timeout := time.NewTimer(10 * t.cfg.Heartbeat)
	defer timeout.Stop()
	var last error
	for range voters {
		select {
		case r := <-replies:
			switch {
			case r.err != nil:
				last = fmt.Errorf("%s: %w", r.from, r.err)
			case ok(r.from, r.body):
				if have++; have >= need {
					return nil
				}
			default:
				last = fmt.Errorf("%s has moved on to another term", r.from)
			}
		case <-timeout.C:
			return fmt.Errorf("%d of %d voters answered in time, %d are needed", have, len(voters)+boolInt(self), need)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return fmt.Errorf("%d of %d voters confirmed, %d are needed: %w", have, len(voters)+boolInt(self), need, last)
}

// voters are the names of the other voters, and whether this member is one.
func (t *Tier) voters() (others []string, self bool) {
	f := t.raft.GetConfiguration()
	if f.Error() != nil {
		return nil, false
	}
	for _, s := range f.Configuration().Servers {
		switch {
		case s.Suffrage != raft.Voter:
		case string(s.ID) == t.cfg.Name:
			self = true
		default:
			others = append(others, string(s.ID))
		}
	}
	return others, self
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
