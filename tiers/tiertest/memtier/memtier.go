// Package memtier is a cluster of one member in memory: a [tiers.Tier] and a [tiers.Sessions] over the real state machine,
// without log, disk or network. It is what listeners, recipes and the conformance suite are tested with.
//
// Submit applies at once, so an answer is there when Submit returns, unless [Tier.Hold] keeps it back. Sessions end on the
// clock of package time, so everything works in testing/synctest bubbles. Close stops all timers.
package memtier

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// Options of a [Tier].
type Options struct {
	// Contract is what the tier promises; what it doesn't offer is refused. Zero: everything.
	Contract tiers.Contract
	// Mounts are znodes that exist from the start and can't be deleted, as the mount points of a tier with a tree of its own.
	Mounts []string
	// EnforceQuota refuses what is beyond a hard limit of a quota.
	EnforceQuota bool
}

// Full is the contract of a tier that offers everything.
var Full = tiers.Contract{
	Tier: "memory", Linearizable: true, Conditional: true, Multi: true, Sequential: true, Ephemeral: true,
	Expiring: true, ACLs: true, ReplicatedZxids: true, MinorityWritable: true,
}

// origin is the one member, in its one incarnation.
var origin = tree.Origin{Member: 1, Incarnation: 1}

var errForeign = fmt.Errorf("%w: a Follow behind a Pending of another tier", tiers.ErrBadArguments)

// Tier is one tree in memory.
type Tier struct {
	contract tiers.Contract
	mounts   map[string]bool
	tree     *tree.Tree

	mu       sync.Mutex                  // held while the tree changes, and while a read is placed
	number   uint64                      // of the last txn; guarded by mu
	closed   bool                        // guarded by mu
	down     error                       // why everything is refused; guarded by mu
	readOnly time.Time                   // since when only Local reads are answered; zero: all is. Guarded by mu
	held     int                         // holds that are not released yet; guarded by mu
	waiting  []func()                    // what was asked while held, in order; guarded by mu
	given    map[*tiers.Pending]struct{} // the unanswered Pendings; guarded by mu
	answers  []func()                    // completions due once mu is released; guarded by mu
	advanced chan struct{}               // closed and replaced when the zxid rises; guarded by mu

	timers  timers
	endMu   sync.Mutex
	endings []func(tiers.SessionID) // guarded by endMu
}

var _ tiers.Tier = (*Tier)(nil)

// New makes an empty tree.
func New(o Options) *Tier {
	if o.Contract == (tiers.Contract{}) {
		o.Contract = Full
	}
	t := &Tier{contract: o.Contract, mounts: make(map[string]bool), tree: tree.New(), given: make(map[*tiers.Pending]struct{}), advanced: make(chan struct{})}
	t.tree.EnforceQuota(o.EnforceQuota)
	t.timers.expired = t.expire
	t.tree.OnSessionMove(func(s tree.SessionInfo) { t.timers.start(s.ID, s.Timeout) })
	t.tree.OnSessionEnd(t.sessionEnded)
	for _, m := range o.Mounts {
		t.mounts[m] = true
		t.mount(m)
	}
	return t
}

// mount creates path and what is above it.
func (t *Tier) mount(path string) {
	for i := 1; i <= len(path); i++ {
		if i == len(path) || path[i] == '/' {
			// The parents may exist already: nothing else can be wrong.
			_, _ = t.apply(&tiers.Txn{Ops: []tiers.Op{{Kind: tiers.OpCreate, Path: path[:i], ACL: tiers.OpenACL}}})
		}
	}
}

// Close refuses everything from now on with ErrClosed and stops the timers. Sessions do not end.
func (t *Tier) Close() {
	t.timers.close()
	t.mu.Lock()
	t.closed = true
	waiting := t.waiting
	t.waiting = nil
	for _, f := range waiting {
		f()
	}
	t.unlock()
}

// SetUnavailable refuses reads and txns with err (as a member without a majority does) until it is called with nil.
func (t *Tier) SetUnavailable(err error) {
	t.mu.Lock()
	t.down = err
	t.mu.Unlock()
}

// SetReadOnly makes the tree answer as a member in read-only mode, or ends that.
func (t *Tier) SetReadOnly(on bool) {
	t.mu.Lock()
	t.readOnly = time.Time{}
	if on {
		t.readOnly = time.Now()
	}
	t.mu.Unlock()
}

// ReadOnly tells whether it does.
func (t *Tier) ReadOnly() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.readOnly.IsZero()
}

var errReadOnly = fmt.Errorf("%w: read-only mode", tiers.ErrUnavailable)

// Hold keeps back what is asked of Submit and Follow from now on, in order, until release is called.
func (t *Tier) Hold() (release func()) {
	t.mu.Lock()
	t.held++
	t.mu.Unlock()
	return sync.OnceFunc(func() {
		t.mu.Lock()
		t.held--
		if t.held == 0 {
			waiting := t.waiting
			t.waiting = nil
			for _, f := range waiting {
				f()
			}
		}
		t.unlock()
	})
}

// unlock releases mu and completes what was decided under it, as a Pending's followers may call the tier.
func (t *Tier) unlock() {
	answers := t.answers
	t.answers = nil
	t.mu.Unlock()
	for _, f := range answers {
		f()
	}
}

// answer completes p with what f says under mu, now or when the holds are released, unless ctx ends first.
func (t *Tier) answer(ctx context.Context, f func() (tiers.Receipt, error)) *tiers.Pending {
	p := new(tiers.Pending)
	step := func() {
		r, err := f()
		t.answers = append(t.answers, func() {
			p.Complete(r, err)
			t.mu.Lock()
			delete(t.given, p)
			t.mu.Unlock()
		})
	}
	t.mu.Lock()
	if t.held > 0 && !t.closed {
		t.given[p] = struct{}{}
		t.waiting = append(t.waiting, step)
	} else {
		step()
	}
	t.unlock()
	endWith(ctx, p)
	return p
}

// refusal is why nothing is answered, if so. Callers hold mu.
func (t *Tier) refusal() error {
	if t.closed {
		return tiers.ErrClosed
	}
	return t.down
}

// Submit applies txn.
func (t *Tier) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	return t.answer(ctx, func() (tiers.Receipt, error) { return t.submit(&txn) })
}

// submit is Submit under mu.
func (t *Tier) submit(txn *tiers.Txn) (tiers.Receipt, error) {
	err := t.refusal()
	if err == nil && !t.readOnly.IsZero() {
		err = errReadOnly
	}
	if err != nil {
		op := tiers.OpError{Op: "submit", Err: err}
		if len(txn.Ops) > 0 {
			op.Path = txn.Ops[0].Path
		}
		return tiers.Receipt{Zxid: t.tree.Zxid()}, &op
	}
	if i, err := t.offered(txn); err != nil {
		return tiers.Receipt{Zxid: t.tree.Zxid(), Results: failed(len(txn.Ops), i, err)}, err
	}
	return t.apply(txn)
}

// Refusal is why the tree refuses a txn of one op, where that is not for the version or the children; nil while something is held.
func (t *Tier) Refusal(txn *tiers.Txn) (tiers.Receipt, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refusal() != nil || len(t.waiting) > 0 {
		return tiers.Receipt{}, nil
	}
	return t.tree.Refusal(origin, txn, true)
}

// apply gives txn its number. Callers hold mu (or are New).
func (t *Tier) apply(txn *tiers.Txn) (tiers.Receipt, error) {
	t.number++
	r, err := t.tree.Apply(time.Now().UnixMilli(), origin, t.number, txn)
	if err == nil {
		t.advance()
	}
	return r, err
}

// advance wakes who waits for a zxid. Callers hold mu (or are New).
func (t *Tier) advance() {
	close(t.advanced)
	t.advanced = make(chan struct{})
}

func failed(n, at int, err error) []tiers.Result {
	rs := make([]tiers.Result, n)
	for i := range rs {
		switch {
		case i < at:
			rs[i].Err = tiers.ErrRolledBack
		case i == at:
			rs[i].Err = err
		default:
			rs[i].Err = tiers.ErrNotTried
		}
	}
	return rs
}

// Read answers q once AtLeast is applied.
func (t *Tier) Read(ctx context.Context, q tiers.Query) (tiers.View, error) {
	for {
		t.mu.Lock()
		if t.refusal() != nil || t.tree.Zxid() >= q.AtLeast {
			v, err := t.read(q)
			t.mu.Unlock()
			return v, err
		}
		advanced := t.advanced
		t.mu.Unlock()
		select {
		case <-advanced:
		case <-ctx.Done():
			return tiers.View{}, &tiers.OpError{Op: "read", Path: q.Path, Err: context.Cause(ctx)}
		}
	}
}

// read is Read under mu.
func (t *Tier) read(q tiers.Query) (tiers.View, error) {
	if err := t.refusal(); err != nil {
		return tiers.View{Zxid: t.tree.Zxid()}, &tiers.OpError{Op: "read", Path: q.Path, Err: err}
	}
	if t.readOnly.IsZero() {
		return t.tree.Read(q)
	}
	if !q.Local || q.Fresh || q.AtLeast > t.tree.Zxid() {
		return tiers.View{Zxid: t.tree.Zxid()}, &tiers.OpError{Op: "read", Path: q.Path, Err: errReadOnly}
	}
	v, err := t.tree.Read(q)
	v.Staleness = max(time.Since(t.readOnly), 1)
	return v, err
}

// Follow answers q at its place: behind all that was asked of this tier before. It refuses to follow an unanswered Pending that
// it did not give out, as another tier would not know that one's place.
func (t *Tier) Follow(ctx context.Context, q tiers.Query, after *tiers.Pending) *tiers.Pending {
	if after != nil {
		t.mu.Lock()
		_, ours := t.given[after]
		t.mu.Unlock()
		if _, _, done := after.Result(); !ours && !done {
			return tiers.Completed(tiers.Receipt{}, &tiers.OpError{Op: "read", Path: q.Path, Err: errForeign})
		}
	}
	return t.answer(ctx, func() (tiers.Receipt, error) {
		v, err := t.read(q)
		return tiers.Receipt{Zxid: v.Zxid, View: v}, err
	})
}

// endWith completes p with ErrUnknownOutcome when ctx ends first.
func endWith(ctx context.Context, p *tiers.Pending) {
	if _, _, done := p.Result(); done || ctx.Done() == nil {
		return
	}
	stop := context.AfterFunc(ctx, func() {
		p.Complete(tiers.Receipt{}, &tiers.UnknownOutcomeError{Cause: context.Cause(ctx)})
	})
	p.Then(func(tiers.Receipt, error) { stop() })
}

// AddWatch arms a watch from now on.
func (t *Tier) AddWatch(path string, scope tiers.Scope, w tiers.Watcher) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return &tiers.OpError{Op: "watch", Path: path, Err: tiers.ErrClosed}
	}
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

// Contract is the same for every path.
func (t *Tier) Contract(string) tiers.Contract { return t.contract }

// Stats are the figures that a listener reports about its tree.
func (t *Tier) Stats() tree.Stats { return t.tree.Stats() }

// Zxid is that of the last successful txn.
func (t *Tier) Zxid() tiers.Zxid { return t.tree.Zxid() }

// EachDataWatch calls f with the watches of data; see the hub's EachData for what f may do.
func (t *Tier) EachDataWatch(f func(w tiers.Watcher, path string)) { t.tree.Hub().EachData(f) }

// WatchStats counts watchers, watched paths and watches.
func (t *Tier) WatchStats() (watchers, paths, watches int) { return t.tree.Hub().Stats() }
