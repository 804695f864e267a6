package strong

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/tiers/internal/tree"
)

// leadership is what this member knows of who leads.
type leadership struct {
	// notify is raft's NotifyCh: raft blocks on it, so one goroutine drains it and never calls raft from there.
	notify chan bool
	// gained has the latest word of notify; capacity 1.
	gained chan bool
	// startedTerm is the term whose term-start this member, as its leader, has committed and applied; 0 for none.
	startedTerm atomic.Uint64

	mu sync.Mutex
	// moved is closed, and replaced, whenever a leader is gained or lost. Guarded by mu.
	moved chan struct{}
}

func newLeadership() *leadership {
	return &leadership{notify: make(chan bool, 16), gained: make(chan bool, 1), moved: make(chan struct{})}
}

func (l *leadership) started(term uint64) { l.startedTerm.Store(term) }

// changed is closed at the next change of leader.
func (l *leadership) changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.moved
}

func (l *leadership) move() {
	l.mu.Lock()
	close(l.moved)
	l.moved = make(chan struct{})
	l.mu.Unlock()
}

// drain passes on the last word only.
func (l *leadership) drain(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case is := <-l.notify:
			select {
			case <-l.gained:
			default:
			}
			l.gained <- is
		}
	}
}

// epoch names one leadership: a new one means that what was sent may be lost.
type epoch struct {
	leader string
	term   uint64
}

func (t *Tier) epoch() epoch {
	_, id := t.raft.LeaderWithID()
	return epoch{string(id), t.raft.CurrentTerm()}
}

// leads tells whether this member is the leader of a term that it has started: the term, or 0.
func (t *Tier) leads() uint64 {
	term := t.lead.startedTerm.Load()
	if term == 0 || t.raft.State() != raft.Leader || t.raft.CurrentTerm() != term {
		return 0
	}
	return term
}

// watchLeader turns raft's observations into wake-ups of who waits for a leader.
func (t *Tier) watchLeader(ctx context.Context) {
	ch := make(chan raft.Observation, 64)
	obs := raft.NewObserver(ch, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	t.raft.RegisterObserver(obs)
	defer t.raft.DeregisterObserver(obs)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ch:
			t.lead.move()
			t.outbox.signal()
		}
	}
}

// lead starts each term that this member wins.
func (t *Tier) leadTerms(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case is := <-t.lead.gained:
			if is {
				t.startTerm(ctx)
			} else {
				t.proposer.drop()
			}
			t.lead.move()
			t.outbox.signal()
		}
	}
}

// startTerm commits the term-start command. Only then are reads of this term served: all that earlier leaders committed is
// below it. The first leader of all also draws the cluster's key.
func (t *Tier) startTerm(ctx context.Context) {
	for ctx.Err() == nil && t.raft.State() == raft.Leader {
		e := &tree.Entry{TermStart: &tree.TermStart{Member: t.cfg.Name}}
		if len(t.tree.Key()) == 0 {
			e.Key = make([]byte, 32)
			rand.Read(e.Key)
		}
		err := t.commit(e)
		if err == nil {
			t.log.Info("leads", "term", t.lead.startedTerm.Load(), "zxid", t.tree.Zxid())
			return
		}
		if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipLost) || errors.Is(err, raft.ErrRaftShutdown) {
			return
		}
		t.log.Warn("could not start the term; trying again", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(t.cfg.Heartbeat):
		}
	}
}

// commit puts a control entry into the log and waits until it is applied here. Leaders only.
func (t *Tier) commit(e *tree.Entry) error {
	e.At = t.cfg.Clock().UnixMilli()
	return t.await(t.raft.Apply(tree.AppendEntry(nil, e), t.cfg.Patience))
}
