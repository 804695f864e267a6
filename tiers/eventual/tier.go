package eventual

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

	stop context.CancelFunc
	work sync.WaitGroup
	once sync.Once
	err  error // of the stop; set by once
}

var _ tiers.Tier = (*Tier)(nil)

// Open starts this member's part. It does not wait for other members. Errors: bad Config, a directory that can't be read or is corrupt.
func Open(cfg Config) (_ *Tier, err error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	t := &Tier{cfg: cfg, log: cfg.Logger, origin: crdt.Origin{Name: cfg.Name, Incarnation: uint64(time.Now().UnixMilli())}}
	records := crdt.New()
	if cfg.Dir != "" {
		if t.disk, err = openJournal(cfg.Dir, records, t.log); err != nil {
			return nil, err
		}
		t.origin.Incarnation = t.disk.incarnation
	}
	t.view = newView(records, cfg.Mounts, cfg.Zxid)
	t.writer = newWriter(t)
	t.spread = newSpread(t)
	if t.gossip, err = openGossip(t); err != nil {
		t.spread.close()
		return nil, errors.Join(err, t.disk.close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.stop = cancel
	for _, f := range []func(context.Context){t.syncForever, t.rejoinForever, t.watchHosts} {
		t.work.Go(func() { f(ctx) })
	}
	return t, nil
}

// Leave tells the others that this member goes on purpose; Close is still to be called.
func (t *Tier) Leave(ctx context.Context) error { return t.gossip.leave(ctx) }

// Close stops this member's part. Later calls return the same error.
func (t *Tier) Close() error {
	t.once.Do(func() {
		t.stop()
		t.work.Wait()
		t.err = errors.Join(t.gossip.close(), t.spread.close(), t.disk.close())
	})
	return t.err
}

// Contract is the same for every path.
func (t *Tier) Contract(string) tiers.Contract {
	return tiers.Contract{Tier: "eventual", Ephemeral: true, MinorityWritable: true}
}

// Read answers from this member's memory. View.Staleness is the time since the last comparison with another member, 0 for a member
// alone: what others wrote meanwhile may be missing.
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
func check(txn *tiers.Txn) error {
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
		case op.Mode.IsSequential():
			return refuse(txn, "a sequential create", "name the znode by something unique, or "+strongHint)
		case op.Mode == tiers.Container || op.Mode.IsTTL():
			return refuse(txn, "a container or TTL create", "use an ephemeral, or "+strongHint)
		case op.Mode != tiers.Persistent && op.Mode != tiers.Ephemeral:
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
