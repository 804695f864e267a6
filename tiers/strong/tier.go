package strong

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

var (
	errNoLeader = errors.New("no leader")
	errClosed   = fmt.Errorf("strong tier: %w", tiers.ErrClosed)
)

// Tier is one member's part of the strong tier. It implements tiers.Tier; its methods may be called concurrently.
type Tier struct {
	cfg       Config
	log       *slog.Logger
	stores    *Stores
	raft      *raft.Raft    // set before started is closed
	started   chan struct{} // raft's apply goroutine waits for it
	ended     chan struct{} // closed when raft has ended
	transport *transport
	disk      *disk
	space     *space
	raftLog   *logStore
	stable    stableStore
	server    *peernet.Server
	peers     *peers

	tree      *tree.Tree
	stored    waterline // raft index; it does not fall when entries that never were committed are cut off
	applied   waterline // raft index
	zxid      waterline
	outbox    *outbox
	proposer  *proposer
	rounds    *rounds
	lead      *leadership
	touches   *touches
	beats     *beats
	mode      *mode
	detector  *detector
	restores  *restores
	admission *admission

	number    atomic.Uint32 // this member's number; 0 until registered
	hasNumber chan struct{} // closed when number is set
	once      sync.Once     // of hasNumber

	excesses map[tree.Excess]time.Time // when each was logged; see exceeded. Owned by the goroutine that applies

	reach atomic.Uint64             // noted in the stable store
	fresh atomic.Pointer[time.Time] // begin of the last round whose index is applied here

	installed atomic.Int32 // snapshots of the leader since the last entry was applied

	removed atomic.Bool // this member is no part of the cluster any more; see SetRemoved

	mu         sync.Mutex
	leaderless time.Time               // since when there has been no leader; zero: there is one. Guarded by mu
	onEnd      []func(tiers.SessionID) // guarded by mu
	onMove     []func(Session)         // guarded by mu

	figuresMu sync.Mutex
	figures   Figures // guarded by figuresMu

	stop context.CancelFunc
	work sync.WaitGroup
	done sync.Once
}

var _ tiers.Tier = (*Tier)(nil)

// Open starts this member's part. A fresh one waits until it is bootstrapped or added by the leader. Errors: bad Config, stores
// that can't be opened.
func Open(cfg Config) (*Tier, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	open := cfg.Stores
	if open == nil {
		open = func() (*Stores, error) { return openStores(&cfg) }
	}
	stores, err := open()
	if err != nil {
		return nil, err
	}
	if err := stores.begin(cfg.Dir, cfg.flaw); err != nil {
		return nil, errors.Join(err, stores.close())
	}
	t := &Tier{
		cfg: cfg, log: cfg.Logger, stores: stores,
		tree: tree.New(), outbox: newOutbox(cfg.flaw), proposer: newProposer(), rounds: newRounds(),
		lead: newLeadership(), touches: newTouches(), beats: newBeats(), mode: newMode(), detector: newDetector(cfg.Heartbeat, cfg.MaxHeartbeat, time.Now()), restores: new(restores),
		space: &space{reserve: cfg.DiskReserve, again: make(chan struct{}, 1), members: make(map[string]roomReport)}, hasNumber: make(chan struct{}), started: make(chan struct{}), ended: make(chan struct{}), leaderless: time.Now(),
		figures: Figures{LastProposal: -1, MinProposal: -1, MaxProposal: -1},
	}
	t.tree.Plant(cfg.flaw.tree())
	t.tree.OnSessionEnd(func(id tiers.SessionID) {
		t.touches.forget(id)
		t.mu.Lock()
		fs := t.onEnd
		t.mu.Unlock()
		for _, f := range fs {
			f(id)
		}
	})
	t.tree.OnExcess(t.exceeded)
	t.tree.OnSessionMove(func(s tree.SessionInfo) {
		t.touches.hear(s.ID, time.Now())
		t.mu.Lock()
		fs := t.onMove
		t.mu.Unlock()
		for _, f := range fs {
			f(Session{ID: s.ID, Timeout: s.Timeout, Host: s.Host.Member, Incarnation: s.Host.Incarnation, Ephemerals: s.Ephemerals})
		}
	})
	fresh, err := t.Fresh()
	if err != nil {
		return nil, errors.Join(err, stores.close())
	}
	t.admission = newAdmission(!fresh || !cfg.Guard)
	t.peers = &peers{clients: make(map[string]*peernet.Client), dial: t.dialPeer}
	if err := t.startRaft(); err != nil {
		return nil, errors.Join(err, stores.close())
	}
	t.server = peernet.Serve(cfg.Port.Listener(peernet.Strong), t.methods(), t.log)

	ctx, cancel := context.WithCancel(context.Background())
	t.stop = cancel
	for _, f := range []func(context.Context){
		t.lead.drain, t.watchLeader, t.leadTerms, t.register, t.send, t.propose, t.runRounds, t.sendTouches, t.expire, t.reap, t.janitor, t.stayFresh, t.watchMode, t.beat, t.succeed, t.seekAdmission, t.watchDisk, t.watchSpace, t.keepReach,
	} {
		t.work.Go(func() { f(ctx) })
	}
	return t, nil
}

func (t *Tier) startRaft() error {
	t.disk = newDisk(t.cfg.DiskDeadline, t.log, t.isLeader)
	var err error
	if t.raftLog, err = newLogStore(t.stores, t.disk, &t.stored, func(d time.Duration) { t.measure(&t.figures.Fsync, d) }, t.isLeader); err != nil {
		return err
	}
	t.stable = stableStore{votes(t.stores.Stable, t.cfg.flaw), t.disk}
	rc := t.cfg.raft()
	rc.NotifyCh = t.lead.notify
	t.transport = newTransport(&raft.NetworkTransportConfig{
		Stream:                &streamLayer{Listener: t.cfg.Port.Listener(peernet.Raft), port: t.cfg.Port, advertise: t.cfg.Advertise},
		ServerAddressProvider: addresses{t},
		MaxPool:               3,
		Timeout:               10 * time.Second,
		Logger:                rc.Logger.Named("transport"),
	}, t.cfg.Heartbeat, t.follows, t.disk.unfit, t.admission.admits, t.settled)
	r, err := raft.NewRaft(rc, fsm{t}, t.raftLog, t.stable, snapshotStore{t.stores.Snapshots, t.disk, t.stores.snapshots}, t.transport)
	if err != nil {
		return errors.Join(fmt.Errorf("strong: start raft from %s: %w", t.cfg.Dir, err), t.transport.Close())
	}
	t.raft = r
	close(t.started)
	return nil
}

// isLeader may be called before raft runs.
func (t *Tier) isLeader() bool {
	select {
	case <-t.started:
		return t.raft.State() == raft.Leader
	default:
		return false
	}
}

// Close stops this member's part: what waits is answered with ErrClosed (its outcome is unknown if it was sent). Leadership is
// not handed over: see Handover.
func (t *Tier) Close() error {
	var errs []error
	t.done.Do(func() {
		txns, reads := t.outbox.close(errClosed)
		for _, p := range txns {
			p.Complete(tiers.Receipt{}, p.Unknown(errClosed))
		}
		for _, f := range reads {
			f.pending.Complete(tiers.Receipt{}, errClosed)
		}
		t.stop()
		t.disk.close()
		errs = append(errs, t.raft.Shutdown().Error())
		close(t.ended)
		errs = append(errs, t.server.Close(), t.peers.close(), t.transport.Close())
		t.work.Wait()
		t.noteReach()
		errs = append(errs, t.disk.do(ofAll, true, func(*flight) error { return t.stores.close() }))
	})
	return errors.Join(errs...)
}

func (t *Tier) origin() tree.Origin {
	return tree.Origin{Member: t.number.Load(), Incarnation: t.stores.Incarnation}
}

// Number is this member's number in the cluster, for ever, and the number of this start. ok is false until it is registered.
func (t *Tier) Number() (member, incarnation uint32, ok bool) {
	n := t.number.Load()
	return n, t.stores.Incarnation, n != 0
}

func (t *Tier) registered(n uint32) {
	t.once.Do(func() {
		t.number.Store(n)
		close(t.hasNumber)
		t.outbox.signal()
	})
}

// Key is the cluster's secret, the same on every member for ever; nil until the first leader has drawn it.
func (t *Tier) Key() []byte { return t.tree.Key() }

// OnSessionEnd calls f at the end of each session of the replicated tree, from the goroutine that applies: it must not block.
func (t *Tier) OnSessionEnd(f func(tiers.SessionID)) {
	t.mu.Lock()
	t.onEnd = append(t.onEnd, f)
	t.mu.Unlock()
}

// Wait returns when this member is registered and has applied what was committed when it asked.
func (t *Tier) Wait(ctx context.Context) error {
	select {
	case <-t.hasNumber:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		moved := t.lead.changed()
		err := tiers.Sync(ctx, t, "/")
		if !errors.Is(err, tiers.ErrUnavailable) {
			return err
		}
		select {
		case <-moved:
		case <-time.After(t.cfg.Heartbeat):
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// unavailable says why nothing is answered.
func (t *Tier) unavailable() error {
	voters, self := t.voters()
	switch leader := t.epoch().leader; {
	case t.removed.Load():
		return fmt.Errorf("%w: this member was removed from the cluster: ask another one", tiers.ErrUnavailable)
	case len(voters) == 0 && !self:
		return fmt.Errorf("%w: this member does not belong to a cluster yet", tiers.ErrUnavailable)
	case t.disk.trouble() != nil:
		return fmt.Errorf("%w: the disk of this member is in trouble: %w: ask another one", tiers.ErrUnavailable, t.disk.trouble())
	case leader == "":
		return fmt.Errorf("%w: no leader: a majority of the %d voters must reach each other", tiers.ErrUnavailable, len(voters)+boolInt(self))
	default:
		return fmt.Errorf("%w: leader %s does not answer", tiers.ErrUnavailable, leader)
	}
}
