package strong

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// mode is whether this member is in read-only mode: for Config.ReadOnlyAfter no round (round.go) has shown it that a leader with
// a majority is there. stayFresh sees to it that there is a round several times a second, whoever leads.
//
// It begins by silence and ends by the first round whose index is applied here: then writes find a leader, and a linearizable
// read has no past to catch up with. It is about who may be answered without the majority: nothing is decided by it.
type mode struct {
	readOnly atomic.Bool // written under mu

	mu      sync.Mutex
	heard   bool          // a round was confirmed since the last tick of watchMode; guarded by mu
	since   time.Time     // when the silence of the present mode began; zero: there is none. Guarded by mu
	changed chan struct{} // closed, and replaced, when readOnly changes; guarded by mu
}

func newMode() *mode { return &mode{changed: make(chan struct{})} }

// confirmed notes a round.
func (m *mode) confirmed() {
	m.mu.Lock()
	m.heard = true
	m.mu.Unlock()
}

func (m *mode) takeHeard() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.heard
	m.heard = false
	return was
}

// begin returns whether that is a change. Nothing begins when a round was confirmed meanwhile.
func (m *mode) begin(since time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.heard || m.readOnly.Load() {
		return false
	}
	m.change(true, since)
	return true
}

// end returns whether that is a change.
func (m *mode) end() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.readOnly.Load() {
		return false
	}
	m.change(false, time.Time{})
	return true
}

// change is for callers that hold mu.
func (m *mode) change(readOnly bool, since time.Time) {
	m.readOnly.Store(readOnly)
	m.since = since
	close(m.changed)
	m.changed = make(chan struct{})
}

// silent is since when there has been silence, in read-only mode; else zero.
func (m *mode) silent() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.since
}

// ReadOnly tells that this member has not been able to confirm a majority for Config.ReadOnlyAfter. Queries with Local are then
// answered from its own tree. A member that has not caught up since its start is not in read-only mode: it has nothing to show.
func (t *Tier) ReadOnly() bool { return t.mode.readOnly.Load() }

// ReadOnlyChanged is closed at the next change of ReadOnly.
func (t *Tier) ReadOnlyChanged() <-chan struct{} {
	t.mode.mu.Lock()
	defer t.mode.mu.Unlock()
	return t.mode.changed
}

// quiet adds up for how long nothing was heard. Time in which this process did not run, and could not hear, does not count.
type quiet struct {
	every time.Duration // between two ticks
	last  time.Time     // the last tick
	sum   time.Duration
}

// tick is to be called every s.every; heard tells whether there was something since the last call.
func (s *quiet) tick(now time.Time, heard bool) time.Duration {
	s.sum += min(now.Sub(s.last), 2*s.every)
	s.last = now
	if heard {
		s.sum = 0
	}
	return s.sum
}

// watchMode begins the mode.
func (t *Tier) watchMode(ctx context.Context) {
	s := quiet{every: t.cfg.ReadOnlyAfter / 8, last: time.Now()}
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		silent := s.tick(now, t.mode.takeHeard() || t.fresh.Load() == nil)
		if silent >= t.cfg.ReadOnlyAfter && t.mode.begin(now.Add(-silent)) {
			t.log.Warn("read-only mode begins: no majority could be confirmed", "for", silent.Round(time.Millisecond), "why", t.unavailable(), "zxid", t.tree.Zxid())
			t.releaseLocal()
		}
	}
}

// endReadOnly is called when a round's index is applied here.
func (t *Tier) endReadOnly() {
	if t.mode.readOnly.Load() && t.mode.end() {
		t.log.Info("read-only mode ends: a majority is back, and this member has caught up", "zxid", t.tree.Zxid())
		t.touches.sendNow()
	}
}

// releaseLocal answers the reads with Local that still wait for a round.
func (t *Tier) releaseLocal() {
	for _, f := range t.outbox.locals() {
		if err := t.beyondLocal(&f.query); err != nil {
			if t.outbox.take(f) {
				f.pending.Complete(tiers.Receipt{Zxid: t.tree.Zxid()}, err)
			}
			continue
		}
		t.outbox.show(f)
		if waits, _ := t.outbox.followLocal(f); !waits {
			t.runPlaced(f)
		}
	}
}

// beyondLocal says why q, with Local, can't be answered in read-only mode; nil if it can.
func (t *Tier) beyondLocal(q *tiers.Query) error {
	switch {
	case q.Fresh:
		return &tiers.OpError{Op: "read", Path: q.Path, Err: t.unavailable()}
	case q.AtLeast > t.tree.Zxid():
		err := fmt.Errorf("%w: at %v, not %v", t.unavailable(), t.tree.Zxid(), q.AtLeast)
		return &tiers.OpError{Op: "read", Path: q.Path, Err: err}
	}
	return nil
}

// followReadOnly is Follow of a query with Local in read-only mode: it waits for the txn before it, and never for a majority.
func (t *Tier) followReadOnly(ctx context.Context, q tiers.Query, after *tiers.Pending) *tiers.Pending {
	if err := t.beyondLocal(&q); err != nil {
		return tiers.Completed(tiers.Receipt{Zxid: t.tree.Zxid()}, err)
	}
	f := &follower{query: q, pending: new(tiers.Pending), queuedAt: time.Now(), shown: true}
	f.after, _ = t.outbox.placeOf(after, q.Session)
	switch waits, err := t.outbox.followLocal(f); {
	case err != nil:
		f.pending.Complete(tiers.Receipt{}, err)
	case !waits:
		fs := []*follower{f}
		completeReads(fs, t.readAll(fs))
	}
	endWith(ctx, f.pending)
	return f.pending
}
