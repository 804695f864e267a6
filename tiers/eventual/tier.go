package eventual

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

// Tier is one member's part of the eventual tier. It implements tiers.Tier; its methods may be called concurrently.
type Tier struct {
	cfg    Config
	log    *slog.Logger
	origin crdt.Origin
	view   *view
	writer *writer
	disk   *journal // nil without a directory
	spread *spread
	gossip *gossip

	started time.Time
	stop    context.CancelFunc
	work    sync.WaitGroup
	once    sync.Once
	err     error // of the stop; set by once
}

var _ tiers.Tier = (*Tier)(nil)

// Open starts this member's part. It does not wait for other members. Errors: bad Config, a directory that can't be read or is corrupt.
func Open(cfg Config) (_ *Tier, err error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	t := &Tier{cfg: cfg, log: cfg.Logger, started: time.Now()}
	t.origin = crdt.Origin{Name: cfg.Name, Incarnation: uint64(t.started.UnixMilli())}
	records := crdt.New()
	if cfg.Dir != "" {
		if t.disk, err = openJournal(cfg.Dir, records, t.log); err != nil {
			return nil, err
		}
		t.origin.Incarnation = t.disk.incarnation
	}
	t.view = newView(records, cfg.Mounts, cfg.Zxid)
	if t.writer, err = newWriter(t); err != nil {
		return nil, errors.Join(err, t.disk.close())
	}
	t.disk.start(t.durable)
	if t.gossip, err = newGossip(t); err != nil {
		return nil, errors.Join(err, t.disk.close())
	}
	t.spread = newSpread(t)
	if err := t.gossip.start(); err != nil {
		return nil, errors.Join(err, t.spread.close(), t.disk.close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.stop = cancel
	for _, f := range []func(context.Context){t.followMembers, t.compareForever, t.rejoinForever, t.watchHosts} {
		t.work.Go(func() { f(ctx) })
	}
	return t, nil
}

// Leave tells the others that this member goes on purpose: they don't count it any more when they look for a majority. Close is
// still to be called. Ephemerals hosted here stay for their sessions' timeouts, so that their clients can move.
func (t *Tier) Leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	t.spread.farewell(ctx)
	return t.gossip.leave(ctx)
}

// Close stops this member's part. Later calls return the same error.
func (t *Tier) Close() error {
	t.once.Do(func() {
		t.stop()
		t.gossip.interrupt()
		t.work.Wait()
		t.err = errors.Join(t.gossip.close(), t.spread.close(), t.disk.close())
	})
	return t.err
}

// Contract is the same for every path.
func (t *Tier) Contract(string) tiers.Contract {
	return tiers.Contract{Tier: "eventual", Ephemeral: true, MinorityWritable: true, SequentialPerMember: t.cfg.Number != nil}
}

// Read answers from this member's memory, at once: neither q.Fresh nor q.AtLeast can hold it, as others' writes may be behind a
// partition. View.Staleness is the time since the last comparison with the member for which that is longest, of those that are alive;
// 0 for a member alone.
func (t *Tier) Read(_ context.Context, q tiers.Query) (tiers.View, error) {
	v, err := t.view.read(q)
	v.Staleness = t.spread.staleness()
	return v, err
}

// Submit applies txn at once, or refuses it. Errors: ErrContract, ErrSessionExpired and those of its op.
func (t *Tier) Submit(_ context.Context, txn tiers.Txn) *tiers.Pending {
	r, err := t.writer.write(&txn)
	return tiers.Completed(r, err)
}

// Follow answers q once `after` is answered.
func (t *Tier) Follow(ctx context.Context, q tiers.Query, after *tiers.Pending) *tiers.Pending {
	p := new(tiers.Pending)
	run := func() {
		v, err := t.Read(ctx, q)
		p.Complete(tiers.Receipt{Zxid: v.Zxid, View: v}, err)
	}
	if after == nil {
		run()
	} else {
		after.Then(func(tiers.Receipt, error) { run() })
	}
	return p
}

// Touch notes that a session hosted here was heard of; only Config.Expire needs it.
func (t *Tier) Touch(id tiers.SessionID) {
	if !t.cfg.Expire {
		return
	}
	now := time.Now()
	t.view.mu.Lock()
	if s := t.writer.sessions[id]; s != nil {
		s.touched = now
	}
	t.view.mu.Unlock()
}

// AddWatch arms a watch from now on.
func (t *Tier) AddWatch(path string, s tiers.Scope, w tiers.Watcher) error {
	t.view.hub.Add(path, s, w)
	return nil
}

// HasWatch tells whether w watches path so.
func (t *Tier) HasWatch(w tiers.Watcher, path string, s tiers.Scope) bool {
	return t.view.hub.Has(path, s, w)
}

// Unwatch removes watches of w.
func (t *Tier) Unwatch(w tiers.Watcher, path string, s tiers.Scope) bool {
	return t.view.hub.Remove(path, s, w)
}

// Stats counts what this member holds.
type Stats struct {
	Znodes  int `json:"znodes"`
	Records int `json:"records"` // tombstones included
	Watches int `json:"watches"`
}

// Stats may be called at any time.
func (t *Tier) Stats() Stats {
	_, _, watches := t.view.hub.Stats()
	t.view.mu.RLock()
	defer t.view.mu.RUnlock()
	return Stats{Znodes: len(t.view.znodes), Records: t.view.records.Len(), Watches: watches}
}

func refuse(txn *tiers.Txn, what, hint string) error {
	path := ""
	if len(txn.Ops) > 0 {
		path = txn.Ops[0].Path
	}
	return &tiers.ContractError{Tier: "eventual", Path: path, What: what, Hint: hint}
}

const strongHint = "route the path to the strong tier"

// check holds txn against the contract.
func (w *writer) check(txn *tiers.Txn) error {
	if len(txn.Ops) == 0 {
		return nil
	}
	if len(txn.Ops) > 1 {
		return refuse(txn, fmt.Sprintf("a txn of %d ops", len(txn.Ops)), "send the ops one by one, or "+strongHint)
	}
	op := &txn.Ops[0]
	switch op.Kind {
	case tiers.OpCreate:
		switch {
		case op.Mode.IsContainer() || op.Mode.IsTTL():
			return refuse(txn, "a container or TTL create", "use an ephemeral, or "+strongHint)
		case op.Mode.IsSequential() && w.t.cfg.Number == nil:
			return refuse(txn, "a sequential create", "name the znode by something unique, or "+strongHint)
		case op.Mode < tiers.Persistent || op.Mode > tiers.EphemeralSequential:
			return fmt.Errorf("%w: create mode %d", tiers.ErrBadArguments, op.Mode)
		case len(op.ACL) == 0:
			return tiers.ErrInvalidACL
		case len(op.ACL) != 1 || op.ACL[0] != tiers.OpenACL[0]:
			return refuse(txn, "an ACL", "create with the open ACL, or "+strongHint)
		}
	case tiers.OpDelete, tiers.OpSetData:
		if op.Version != tiers.AnyVersion {
			return refuse(txn, "a conditional "+op.Kind.String(), "use version -1, or "+strongHint)
		}
	case tiers.OpSetACL:
		return refuse(txn, "a setACL", strongHint)
	case tiers.OpCheck:
		return refuse(txn, "a check", strongHint)
	case tiers.OpOpenSession, tiers.OpCloseSession:
	default:
		return fmt.Errorf("%w: op %d", tiers.ErrBadArguments, op.Kind)
	}
	return nil
}

// durable are the records that are kept on disk.
func (t *Tier) durable() (rs []*crdt.Record) {
	t.view.mu.RLock()
	defer t.view.mu.RUnlock()
	t.view.records.All(func(r *crdt.Record) bool {
		rs = append(rs, r)
		return true
	})
	return rs
}

// followMembers keeps a peer for each member that is alive.
func (t *Tier) followMembers(ctx context.Context) {
	for {
		t.spread.follow(t.gossip.reachable())
		select {
		case <-ctx.Done():
			return
		case <-t.gossip.moved:
		}
	}
}

// compareForever has what is known compared about every SyncInterval, and drops old tombstones.
func (t *Tier) compareForever(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	forgotten := t.started
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-timer.C:
			t.spread.compareNext()
			if now.Sub(forgotten) > min(time.Minute, t.cfg.TombstoneAge/10) {
				forgotten = now
				t.forget(now)
			}
			timer.Reset(t.cfg.SyncInterval/2 + rand.N(t.cfg.SyncInterval))
		}
	}
}

// forget drops what is older than TombstoneAge: tombstones, and members that nobody has heard of since.
func (t *Tier) forget(now time.Time) {
	before := now.Add(-t.cfg.TombstoneAge)
	t.view.mu.Lock()
	t.view.records.Forget(clock(before.UnixMilli()))
	t.view.mu.Unlock()
	for _, m := range t.Members() {
		last := m.LastAlive
		if last.IsZero() {
			last = t.started
		}
		if last.Before(before) {
			t.Forget(m.Name)
		}
	}
}

// Join makes this member and the one at addr know each other, with all that they know. It returns when they have spoken.
func (t *Tier) Join(addr string) error {
	if _, err := t.gossip.list.Join([]string{addr}); err != nil {
		return fmt.Errorf("eventual: join %s: %w", addr, err)
	}
	return nil
}

// Forget drops what this member knows of one that is gone for good: it is no longer tried, and does not count when a majority is
// looked for. A member that is alive is not forgotten.
func (t *Tier) Forget(name string) {
	if t.gossip.forget(name) {
		t.spread.forget(name)
	}
}
