package strong

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// fsm is the tier as raft sees it. Its methods run on raft's one apply goroutine, so they are the only writer of the tree.
type fsm struct{ *Tier }

var _ raft.ConfigurationStore = fsm{}

// Apply applies one entry. What can't be decoded is the same on every member, so it is skipped on every member.
func (t fsm) Apply(l *raft.Log) any {
	<-t.started
	t.installed.Store(0)
	e, err := tree.DecodeEntry(l.Data)
	if err != nil {
		t.log.Error("skipped an entry of the log that this version cannot read: is a newer version running elsewhere?",
			"index", l.Index, "term", l.Term, "err", err)
	} else {
		t.apply(l, e)
	}
	t.publish(l.Index)
	t.beatAfter(l)
	return nil
}

// StoreConfiguration lets the applied index reach configuration entries too: with it, every index up to the commit index of a
// leader that has committed its term-start arrives here.
func (t fsm) StoreConfiguration(index uint64, _ raft.Configuration) { t.publish(index) }

func (t *Tier) publish(index uint64) {
	t.zxid.rise(uint64(t.tree.Zxid()))
	t.applied.rise(index)
}

func (t *Tier) apply(l *raft.Log, e *tree.Entry) {
	own := t.origin()
	t.tree.EnforceQuota(e.EnforceQuota)
	for i := range e.Batches {
		b := &e.Batches[i]
		if b.Origin == own && own.Member != 0 {
			t.applyOwn(e.At, b)
		} else {
			applyBatch(t.tree, e.At, b)
		}
	}
	applyRest(t.tree, e)
	if r := e.Register; r != nil {
		if n := t.tree.Register(r.Name, r.Identity); r.Name == t.cfg.Name && r.Identity == t.cfg.Identity {
			t.registered(n)
		}
	}
	if e.Stage != nil {
		t.applyStage(e.At, e.Stage)
	}
	if e.TermStart != nil {
		t.tree.StartTerm()
		t.restores.tell(nil, stepDone{lost: true})
	}
	if s := e.TermStart; s != nil && s.Member == t.cfg.Name {
		t.lead.started(l.Term)
		t.beginsToLead()
		t.outbox.signal()
	}
}

// applyRest applies what no member waits for.
func applyRest(t *tree.Tree, e *tree.Entry) {
	if len(e.Expire) > 0 {
		t.Expire(e.At, e.Expire)
	}
	if len(e.Reap) > 0 {
		t.Reap(e.At, e.Reap)
	}
	if len(e.Standings) > 0 {
		t.SetStandings(e.Standings)
	}
	if len(e.Config) > 0 {
		t.Configure(e.At, e.Config)
	}
	if len(e.Seal) > 0 {
		t.Seal(e.Seal)
	}
	if len(e.Key) > 0 {
		t.SetKey(e.Key)
	}
}

// applyBatch applies what another member sent.
func applyBatch(t *tree.Tree, at int64, b *tree.Batch) {
	for i := range b.Txns {
		if _, err := t.Apply(at, b.Origin, b.First+uint64(i), &b.Txns[i]); errors.Is(err, tree.ErrGap) || errors.Is(err, tree.ErrOldIncarnation) {
			return
		}
	}
}

// applyOwn applies what this member sent, runs the reads placed between its txns, and answers.
func (t *Tier) applyOwn(at int64, b *tree.Batch) {
	for i := range b.Txns {
		n := b.First + uint64(i)
		inc, last := t.tree.Last(b.Origin.Member)
		if inc < b.Origin.Incarnation {
			last = 0
		}
		switch {
		case n <= last && inc == b.Origin.Incarnation && t.cfg.flaw != flawRepeat: // a repeat
			continue
		case n > last+1 && t.cfg.flaw != flawGap: // a gap: what came before was lost with a leader
			t.outbox.rewind()
			return
		}
		t.outbox.place.Lock()
		before := t.outbox.placedBefore(n)
		views := t.readAll(before)
		receipt, err := t.tree.Apply(at, b.Origin, n, &b.Txns[i])
		t.outbox.place.Unlock()

		completeReads(before, views)
		if errors.Is(err, tree.ErrRepeat) {
			continue
		}
		if t.cfg.flaw == flawGap {
			t.ackUpTo(n, receipt)
		}
		pending, after := t.outbox.answer(n)
		if pending != nil {
			pending.Complete(receipt, err)
		}
		completeReads(after, t.readAll(after))
	}
}

type answer struct {
	view tiers.View
	err  error
}

func (t *Tier) readAll(fs []*follower) []answer {
	if len(fs) == 0 {
		return nil
	}
	as := make([]answer, len(fs))
	for i, f := range fs {
		age, _ := t.Freshness() // before the read, so that it holds for what the read sees
		as[i].view, as[i].err = t.tree.Read(f.query)
		if f.shown {
			as[i].view.Staleness = age
		}
	}
	return as
}

func completeReads(fs []*follower, as []answer) {
	for i, f := range fs {
		f.pending.Complete(tiers.Receipt{Zxid: as[i].view.Zxid, View: as[i].view}, as[i].err)
	}
}

// Snapshot is O(1): the tree goes on while Persist streams the state of this moment.
func (t fsm) Snapshot() (raft.FSMSnapshot, error) {
	if t.tree.Staging() {
		return nil, errors.New("strong: no snapshot is taken while a backup is being restored: later")
	}
	s, err := t.tree.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("strong: take a snapshot: %w", err)
	}
	return &snapshot{t.Tier, s, t.tree.Zxid()}, nil
}

type snapshot struct {
	t *Tier
	s *tree.Snapshot
	z tiers.Zxid
}

func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	begin := time.Now()
	if _, err := s.s.WriteTo(sink); err != nil {
		return errors.Join(fmt.Errorf("strong: write snapshot %s: %w", sink.ID(), err), sink.Cancel())
	}
	err := sink.Close()
	if err == nil {
		s.t.snapshotted(s.z, time.Since(begin))
	}
	return err
}

func (s *snapshot) Release() { s.s.Release() }

// Restore replaces the tree, at start and when this member was too far behind for the log.
func (t fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	select {
	case <-t.started:
		if n := t.installed.Add(1); n > 1 {
			t.log.Error("the leader sends one snapshot after the other, and no entry follows: compare the logs of both members, and start this one with an empty directory if it goes on", "snapshots", n)
		}
	default: // the member's own, at its start
	}
	if err := t.tree.Restore(r); err != nil {
		return fmt.Errorf("strong: restore a snapshot: %w", err)
	}
	for n, m := range t.tree.Members() {
		if m.Name == t.cfg.Name && m.Identity == t.cfg.Identity {
			t.registered(n)
		}
	}
	if own := t.origin(); own.Member != 0 {
		if inc, last := t.tree.Last(own.Member); inc == own.Incarnation {
			unknown, reads := t.outbox.skipTo(last)
			for _, p := range unknown {
				p.Complete(tiers.Receipt{}, p.Unknown(errors.New("the answer was lost when this member caught up by a snapshot")))
			}
			completeReads(reads, t.readAll(reads))
		}
	}
	t.publish(indexOf(r)) // no entry may follow it for long, and readers wait for it
	return nil
}
