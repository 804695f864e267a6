package strong

import (
	"context"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// Contract is the same for every path.
func (t *Tier) Contract(string) tiers.Contract {
	return tiers.Contract{
		Tier: "strong", Linearizable: true, Conditional: true, Multi: true, Sequential: true, Ephemeral: true,
		Expiring: true, ACLs: true, ReplicatedZxids: true,
	}
}

// Submit queues txn. One that is wrong by itself is refused at once, and takes no place in the log. Errors besides those of its ops: ErrTooLarge, ErrUnavailable, ErrNoSpace, ErrUnknownOutcome, ErrClosed.
func (t *Tier) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	size := txnSize(&txn)
	if size > t.cfg.MaxTxn {
		return tiers.Completed(tiers.Receipt{Zxid: t.tree.Zxid()}, &tiers.OpError{Op: "submit", Path: firstPath(&txn), Err: tiers.ErrTooLarge})
	}
	now := time.Now()
	if err := t.refuse(now); err != nil {
		return tiers.Completed(tiers.Receipt{Zxid: t.tree.Zxid()}, &tiers.OpError{Op: "submit", Path: firstPath(&txn), Err: err})
	}
	if err := t.noRoom(&txn); err != nil {
		return tiers.Completed(tiers.Receipt{Zxid: t.tree.Zxid()}, &tiers.OpError{Op: "submit", Path: firstPath(&txn), Err: err})
	}
	if r, err := t.tree.Refusal(t.origin(), &txn, false); err != nil {
		return tiers.Completed(r, err)
	}
	p := t.outbox.add(txn, size, now, t.origin())
	if t.cfg.flaw == flawEarlyAck {
		t.ackEarly(&txn, p)
	}
	endWith(ctx, p)
	return p
}

// Refusal is why this member's tree alone refuses a txn of one op, with its receipt: the op is wrong whatever the tree is like, or
// there is no such znode, or there is one, or its ACL forbids it. It is nil when the leader must decide: also while an earlier
// txn of the session waits for its answer.
func (t *Tier) Refusal(txn *tiers.Txn) (tiers.Receipt, error) {
	if t.outbox.unanswered(txn.Session) {
		return tiers.Receipt{}, nil
	}
	return t.tree.Refusal(t.origin(), txn, true)
}

// endWith completes p with ErrUnknownOutcome when ctx ends first.
func endWith(ctx context.Context, p *tiers.Pending) {
	if ctx.Done() == nil {
		return
	}
	stop := context.AfterFunc(ctx, func() {
		p.Complete(tiers.Receipt{}, p.Unknown(context.Cause(ctx)))
	})
	p.Then(func(tiers.Receipt, error) { stop() })
}

// refuse says no at once when there has been no leader, or none with a majority, for longer than anybody would wait; and when this
// member is no part of the cluster.
func (t *Tier) refuse(now time.Time) error {
	if t.removed.Load() {
		return t.unavailable()
	}
	leader := t.epoch().leader
	t.mu.Lock()
	switch {
	case leader != "":
		t.leaderless = time.Time{}
	case t.leaderless.IsZero():
		t.leaderless = now
	}
	since := t.leaderless
	t.mu.Unlock()
	if t.ReadOnly() {
		since = t.mode.silent()
	}
	if !since.IsZero() && now.Sub(since) >= t.cfg.Patience {
		return t.unavailable()
	}
	return nil
}

// Follow places q; see outbox.
func (t *Tier) Follow(ctx context.Context, q tiers.Query, after *tiers.Pending) *tiers.Pending {
	if q.Local && t.ReadOnly() && !t.removed.Load() {
		return t.followReadOnly(ctx, q, after)
	}
	now := time.Now()
	if err := t.refuse(now); err != nil {
		return tiers.Completed(tiers.Receipt{Zxid: t.tree.Zxid()}, &tiers.OpError{Op: "read", Path: q.Path, Err: err})
	}
	f := &follower{query: q, pending: new(tiers.Pending), queuedAt: now}
	if f.after, _ = t.outbox.placeOf(after, q.Session); t.cfg.flaw == flawOvertake {
		f.after = 0
	}
	t.followFresh(f, now)
	endWith(ctx, f.pending)
	return f.pending
}

// followFresh answers f at its place, at the latest when a round that begins now is applied here.
func (t *Tier) followFresh(f *follower, now time.Time) {
	if err := t.outbox.followLinear(f); err != nil {
		f.pending.Complete(tiers.Receipt{}, err)
		return
	}
	if f.query.Local && t.ReadOnly() { // it began before the read was placed
		t.releaseLocal()
	}
	t.rounds.join(now.Add(t.cfg.Patience), func(index uint64, begun time.Time, err error) {
		if err != nil {
			if t.outbox.takeUnlessShown(f) {
				f.pending.Complete(tiers.Receipt{Zxid: t.tree.Zxid()}, &tiers.OpError{Op: "read", Path: f.query.Path, Err: err})
			}
			return
		}
		if t.cfg.flaw == flawNoWait {
			index = 0
		}
		t.applied.then(index, func() {
			t.freshAt(begun)
			if waits, _ := t.outbox.followLocal(f); !waits {
				t.runPlaced(f)
			}
		})
	})
}

// runPlaced runs a read whose round is done, unless it ran already before a later txn.
func (t *Tier) runPlaced(f *follower) {
	t.outbox.place.Lock()
	if !t.outbox.take(f) {
		t.outbox.place.Unlock()
		return
	}
	fs := []*follower{f}
	as := t.readAll(fs)
	t.outbox.place.Unlock()
	completeReads(fs, as)
}

// Read is a Follow behind nothing.
func (t *Tier) Read(ctx context.Context, q tiers.Query) (tiers.View, error) {
	if q.AtLeast > 0 {
		if err := t.WaitZxid(ctx, q.AtLeast); err != nil {
			return tiers.View{}, &tiers.OpError{Op: "read", Path: q.Path, Err: err}
		}
	}
	r, err := t.Follow(ctx, q, nil).Wait(ctx)
	if r.View.Zxid == 0 {
		r.View.Zxid = r.Zxid
	}
	return r.View, err
}

// ReadLocal answers from this member's tree at once: a prefix of the commit order, of the age that Freshness tells.
func (t *Tier) ReadLocal(q tiers.Query) (tiers.View, error) { return t.tree.Read(q) }

// FollowLocal answers q from this member's tree once `after` is applied here, and before any later txn of this member.
func (t *Tier) FollowLocal(ctx context.Context, q tiers.Query, after *tiers.Pending) *tiers.Pending {
	f := &follower{query: q, pending: new(tiers.Pending), queuedAt: time.Now()}
	number, behindRead := t.outbox.placeOf(after, q.Session)
	f.after = number
	switch waits, err := false, error(nil); {
	case behindRead:
		t.followFresh(f, f.queuedAt)
	default:
		if waits, err = t.outbox.followLocal(f); err != nil {
			f.pending.Complete(tiers.Receipt{}, err)
		} else if !waits {
			fs := []*follower{f}
			completeReads(fs, t.readAll(fs))
		}
	}
	endWith(ctx, f.pending)
	return f.pending
}

// WaitZxid returns when this member has applied z.
func (t *Tier) WaitZxid(ctx context.Context, z tiers.Zxid) error { return t.zxid.wait(ctx, uint64(z)) }

// Freshness is how old this member's state may be: it holds everything that was committed that long ago. known is false until
// the member has caught up once. It is learnt from the rounds of reads, and by one of its own when those are too long ago.
func (t *Tier) Freshness() (age time.Duration, known bool) {
	at := t.fresh.Load()
	if at == nil {
		return 0, false
	}
	return time.Since(*at), true
}

func (t *Tier) freshAt(begun time.Time) {
	for {
		old := t.fresh.Load()
		if old != nil && !begun.After(*old) {
			return
		}
		if t.fresh.CompareAndSwap(old, &begun) {
			t.endReadOnly()
			return
		}
	}
}

// stayFresh keeps Freshness small while there is a leader.
func (t *Tier) stayFresh(ctx context.Context) {
	tick := time.NewTicker(t.cfg.FreshInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if age, known := t.Freshness(); known && age < t.cfg.FreshInterval {
				continue
			}
			t.rounds.join(now.Add(t.cfg.FreshInterval), func(index uint64, begun time.Time, err error) {
				if err == nil {
					t.applied.then(index, func() { t.freshAt(begun) })
				}
			})
		}
	}
}

// Touch notes that the session was heard of; it travels with the next batch.
func (t *Tier) Touch(id tiers.SessionID) { t.touches.touch(id, time.Now()) }

// AddWatch arms a watch from now on.
func (t *Tier) AddWatch(path string, scope tiers.Scope, w tiers.Watcher) error {
	t.tree.Hub().Add(path, scope, w)
	return nil
}

// HasWatch tells whether w watches path so.
func (t *Tier) HasWatch(w tiers.Watcher, path string, scope tiers.Scope) bool {
	return t.tree.Hub().Has(path, scope, w)
}

// Unwatch removes watches of w.
func (t *Tier) Unwatch(w tiers.Watcher, path string, scope tiers.Scope) bool {
	return t.tree.Hub().Remove(path, scope, w)
}

func firstPath(txn *tiers.Txn) string {
	if len(txn.Ops) == 0 {
		return ""
	}
	return txn.Ops[0].Path
}

// txnSize is about what txn takes in the log, in bytes.
func txnSize(txn *tiers.Txn) int {
	n := 32
	for _, c := range txn.Caller {
		n += len(c.Scheme) + len(c.ID) + 4
	}
	for i := range txn.Ops {
		op := &txn.Ops[i]
		n += 24 + len(op.Path) + len(op.Data)
		for _, a := range op.ACL {
			n += len(a.Who.Scheme) + len(a.Who.ID) + 8
		}
	}
	return n
}
