package strong

import (
	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// flaw is a known bug that tests of this package plant to show that the fault kit finds it: see TestPlanted. The zero value is none,
// and nothing outside the tests can set another.
type flaw uint8

const (
	flawNone        flaw = iota
	flawNoRound          // a leader answers reads without asking a majority whether it still leads
	flawNoWait           // a member answers reads before it has applied what the round says
	flawEarlyAck         // a write is acknowledged when it is sent to the leader
	flawExpireAlone      // a leader expires sessions by what it has heard itself
	flawLeaderHears      // only the leader remembers touches, and the next leader allows nothing for that
	flawWallClock        // sessions are timed by the wall clock
	flawNeverExpire      // no session expires
	flawOvertake         // a read behind a session's own write does not wait for it
	flawReorder          // a session's txn may go before the one submitted just before it
	flawShortLog         // a log that has lost its end is taken as it is at the start
	flawForgetVote       // term and vote are kept in memory only
	flawRepeat           // see tree.Flaw, as all below
	flawGap              // and the txns of the gap are answered as done
	flawOrphan
	flawForgetZxid
	flawRestoreEvent
	flawSessionEvent
	flawLeakySnapshot
	flaws // how many there are
)

// tree is the tree's part of it.
func (f flaw) tree() tree.Flaw {
	switch f {
	case flawRepeat:
		return tree.FlawRepeat
	case flawGap:
		return tree.FlawGap
	case flawOrphan:
		return tree.FlawOrphan
	case flawForgetZxid:
		return tree.FlawForgetZxid
	case flawRestoreEvent:
		return tree.FlawRestoreEvent
	case flawSessionEvent:
		return tree.FlawSessionEvent
	case flawLeakySnapshot:
		return tree.FlawLeakySnapshot
	}
	return tree.FlawNone
}

// ackEarly answers p before anything is committed, with what the ops would do.
func (t *Tier) ackEarly(txn *tiers.Txn, p *tiers.Pending) {
	r := tiers.Receipt{Zxid: t.tree.Zxid() + 1, Results: make([]tiers.Result, len(txn.Ops))}
	for i, op := range txn.Ops {
		if op.Mode.IsSequential() || op.Kind == tiers.OpOpenSession {
			return // nothing sensible to say
		}
		r.Results[i].Path = op.Path
	}
	p.Complete(r, nil)
}

// ackUpTo answers the own txns before n as done.
func (t *Tier) ackUpTo(n uint64, r tiers.Receipt) {
	t.outbox.mu.Lock()
	var before []*tiers.Pending
	for i := range t.outbox.own {
		if t.outbox.own[i].number < n {
			before = append(before, t.outbox.own[i].pending)
		}
	}
	t.outbox.mu.Unlock()
	for _, p := range before {
		p.Complete(r, nil)
	}
}

// swapLast lets the last txn overtake the one before it, of the same session. Callers hold mu.
func (o *outbox) swapLast() {
	n := len(o.own)
	if n < 2 || o.own[n-1].txn.Session == 0 || o.own[n-1].txn.Session != o.own[n-2].txn.Session || !o.own[n-2].sentAt.IsZero() {
		return
	}
	a, b := &o.own[n-2], &o.own[n-1]
	*a, *b = *b, *a
	a.number, b.number = b.number, a.number
}

// hears tells whether this member remembers touches: each does, but for flawLeaderHears.
func (t *Tier) hears() bool { return t.cfg.flaw != flawLeaderHears || t.leads() != 0 }

// votes is where raft keeps its term and vote.
func votes(s raft.StableStore, f flaw) raft.StableStore {
	if f != flawForgetVote {
		return s
	}
	return &forgetful{s, raft.NewInmemStore()}
}

// forgetful keeps raft's term and vote in memory only.
type forgetful struct {
	raft.StableStore
	memory *raft.InmemStore
}

func (s *forgetful) of(key []byte) raft.StableStore {
	if k := string(key); k == "CurrentTerm" || k == "LastVoteTerm" || k == "LastVoteCand" {
		return s.memory
	}
	return s.StableStore
}

func (s *forgetful) Set(key, value []byte) error          { return s.of(key).Set(key, value) }
func (s *forgetful) Get(key []byte) ([]byte, error)       { return s.of(key).Get(key) }
func (s *forgetful) SetUint64(key []byte, v uint64) error { return s.of(key).SetUint64(key, v) }
func (s *forgetful) GetUint64(key []byte) (uint64, error) { return s.of(key).GetUint64(key) }
