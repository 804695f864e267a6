package strong

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// disk knows how this member's disk does: every write of raft's log, of its stable store and of snapshots passes here.
//
// Raft writes from its main loop, and has no bound on it. A leader whose disk hangs would stay leader for ever: its heartbeats come from other
// goroutines. So a leader's write to the log that takes longer than the deadline fails for raft, which then steps down; the others
// elect another one at once, as they ask the leader ten times per Heartbeat. What became of that write is seen to before the next one
// (log.go). All other writes are waited for until Close: a follower's main loop may hang, it holds up nobody.
//
// A member whose disk is in trouble does not stand for election, and says why in Status.
type disk struct {
	deadline time.Duration
	log      *slog.Logger
	leads    func() bool   // raft is the leader here; must not block
	closing  chan struct{} // closed by close: from now on nothing waits for longer than the deadline
	once     sync.Once

	mu      sync.Mutex
	flights map[*flight]struct{} // guarded by mu; the writes under way, those that nobody waits for any more too
	failed  *DiskError           // guarded by mu; what the last write that ended failed with, nil if it did not
	at      time.Time            // guarded by mu; when it did
}

// flight is one write under way.
type flight struct {
	what  string
	begun time.Time
	state flightState // guarded by disk.mu
}

type flightState uint8

const (
	flying flightState = iota
	landed
	abandoned // whoever asked for it was told that it failed
)

// DiskError is what is wrong with a member's disk.
type DiskError struct {
	What  string        // what was written: "the log", ...
	Hangs time.Duration // for how long a write has been hanging; 0: it failed
	Err   error         // what it failed with; nil while it hangs
}

func (e *DiskError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("the last write to %s failed: %v", e.What, e.Err)
	}
	return fmt.Sprintf("a write to %s has been hanging for %v", e.What, e.Hangs.Round(time.Millisecond))
}

func (e *DiskError) Unwrap() error { return e.Err }

func newDisk(deadline time.Duration, log *slog.Logger, leads func() bool) *disk {
	return &disk{deadline: deadline, log: log, leads: leads, closing: make(chan struct{}), flights: make(map[*flight]struct{})}
}

// do runs write and waits for it. A bounded write is given up after the deadline while this member leads, and every one once the
// disk is closing: then the error is a DiskError that hangs, and write goes on by itself. It asks given whether that has happened before it begins,
// and calls land when it is done: false says that nobody takes its result.
func (d *disk) do(what string, bounded bool, write func(f *flight) error) error {
	f := &flight{what: what, begun: time.Now()}
	d.mu.Lock()
	d.flights[f] = struct{}{}
	d.mu.Unlock()
	done := make(chan error, 1)
	go func() { // it can't be waited for by anybody: the system does not let go of a write that hangs
		err := write(f)
		d.land(f)
		d.ended(f, err)
		done <- err
	}()
	timer := time.NewTimer(d.deadline)
	defer timer.Stop()
	closing := d.closing
	for {
		select {
		case err := <-done:
			return err
		case <-closing:
			closing, bounded = nil, true
			timer.Reset(d.deadline)
			continue
		case <-timer.C:
		}
		select {
		case <-d.closing:
		default:
			if !bounded || !d.leads() {
				timer.Reset(d.deadline / 4)
				continue
			}
		}
		if !d.abandon(f) {
			return <-done
		}
		return &DiskError{What: what, Hangs: time.Since(f.begun)}
	}
}

// given tells whether f was given up.
func (d *disk) given(f *flight) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return f.state == abandoned
}

// land tells whether the result is taken.
func (d *disk) land(f *flight) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.state == flying {
		f.state = landed
	}
	return f.state == landed
}

func (d *disk) abandon(f *flight) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.state == flying {
		f.state = abandoned
	}
	return f.state == abandoned
}

func (d *disk) ended(f *flight, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.flights, f)
	if !f.counts() {
		return
	}
	d.failed = nil
	if err != nil && !errors.Is(err, errSkipped) {
		d.failed, d.at = &DiskError{What: f.what, Err: err}, time.Now()
	}
}

// What is written.
const (
	ofLog      = "the log"
	ofStable   = "the stable store"
	ofSnapshot = "a snapshot"
	ofRoom     = "nothing" // it is asked for its room
	ofAll      = "the stores, to close them,"
)

// counts tells whether it matters when it hangs or fails: no acknowledgement rests on a snapshot, and raft tries again.
func (f *flight) counts() bool { return f.what != ofSnapshot && f.what != ofRoom }

// errSkipped is the end of a write that was given up before it began.
var errSkipped = errors.New("given up before it began")

// trouble is what is wrong with the disk now: nil, or a *DiskError.
func (d *disk) trouble() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	var oldest *flight
	for f := range d.flights {
		if f.counts() && now.Sub(f.begun) > d.deadline && (oldest == nil || f.begun.Before(oldest.begun)) {
			oldest = f
		}
	}
	switch {
	case oldest != nil:
		return &DiskError{What: oldest.what, Hangs: now.Sub(oldest.begun)}
	case d.failed != nil:
		return d.failed
	}
	return nil
}

// unfit is why this member should not lead: trouble, but not for long after the last write that failed, as those who don't lead may have nothing to write.
func (d *disk) unfit() error {
	err := d.trouble()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil && err == error(d.failed) && time.Since(d.at) > 4*d.deadline {
		return nil
	}
	return err
}

// close lets go of what waits, after the deadline.
func (d *disk) close() { d.once.Do(func() { close(d.closing) }) }

// watchDisk says when trouble begins and ends.
func (t *Tier) watchDisk(ctx context.Context) {
	tick := time.NewTicker(t.disk.deadline / 2)
	defer tick.Stop()
	var since time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := t.disk.trouble()
		switch {
		case err != nil && since.IsZero():
			since = time.Now()
			t.log.Error("the disk is in trouble: this member does not lead until that is over", "why", err, "dir", t.cfg.Dir)
		case err == nil && !since.IsZero():
			t.log.Info("the disk is back", "after", time.Since(since).Round(time.Millisecond))
			since = time.Time{}
		}
	}
}

// DiskErr is what is wrong with this member's disk now: nil, or a *DiskError.
func (t *Tier) DiskErr() error { return t.disk.trouble() }

// diskTrouble is what is wrong with the disk, in words; empty for nothing.
func (t *Tier) diskTrouble() string {
	if err := t.disk.trouble(); err != nil {
		return err.Error()
	}
	return t.space.shortOfRoom()
}
