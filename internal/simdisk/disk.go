// Package simdisk is a member's disk in memory, for whole clusters in testing/synctest bubbles: raft's three stores with the
// semantics of fsync, and the faults of real disks. It does no I/O: only timers and mutexes, so a bubble's fake time moves when everyone waits.
package simdisk

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

// Tail is what a crash leaves of the writes that were not fsynced.
type Tail uint8

const (
	TailKept Tail = iota // everything, in whole
	TailLost             // nothing
	TailTorn             // of the write under way the first few entries, by the seed: none of them up to all; of a single value all or nothing
)

func (t Tail) String() string { return [...]string{"tail kept", "tail lost", "tail torn"}[t] }

// Faults are what is wrong with a disk. The zero value is a healthy disk.
type Faults struct {
	// Stall makes writes and fsyncs hang until a later Set ends it. Reads go on, as from the page cache.
	Stall bool
	// Slow is added to each fsync.
	Slow time.Duration
	// Capacity bounds what the disk holds, in bytes; beyond it writes fail with ENOSPC and store nothing. What is deleted gives room. 0: no bound.
	Capacity int64
	// FailWrites is how many of the next writes fail with EIO and store nothing: of those to the log, unless FailAny.
	FailWrites int
	FailAny    bool // any write counts for FailWrites: to the log, the stable store, a snapshot, and the cutting of the log
	// Lies is for how long a write to the log that was acknowledged may still be lost in a crash: a disk that does not keep its promise.
	// No schedule uses it, as nothing can be safe on such a disk: it shows that the kit finds the loss.
	Lies time.Duration
}

// Disk is one disk. It outlives the processes that use it. Its methods may be called concurrently.
type Disk struct {
	latency time.Duration // of an fsync

	mu      sync.Mutex
	rand    *rand.Rand
	faults  Faults        // guarded by mu
	changed chan struct{} // guarded by mu; closed and replaced when faults change, and at a crash
	mounted *mount        // guarded by mu; who has the disk now
	fsyncs  int64         // guarded by mu
}

// New returns an empty disk whose fsyncs take latency, and whose torn writes come from seed.
func New(seed uint64, latency time.Duration) *Disk {
	d := &Disk{latency: latency, rand: rand.New(rand.NewPCG(seed, 0xd15c)), changed: make(chan struct{})}
	d.mounted = newMount(d)
	return d
}

// Set makes this what is wrong with the disk.
func (d *Disk) Set(f Faults) {
	d.mu.Lock()
	d.faults = f
	d.wake()
	d.mu.Unlock()
}

// Faults are those of the last Set; FailWrites is what is left of them.
func (d *Disk) Faults() Faults {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults
}

// Used is how much of Faults.Capacity is taken, in bytes.
func (d *Disk) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mounted.size()
}

// Fsyncs counts the fsyncs so far.
func (d *Disk) Fsyncs() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fsyncs
}

// Flying counts the writes that were begun and are not acknowledged.
func (d *Disk) Flying() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.mounted.flying)
}

// wake lets everyone who waits look again. Callers hold mu.
func (d *Disk) wake() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// Crash takes the disk away from the process that uses it, and leaves of its unfinished writes what tail says. The process keeps
// the stores that it has, over a copy of its own: it may still be stopped in the usual way, and nothing that it does reaches the disk any more.
func (d *Disk) Crash(tail Tail) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.mounted
	next := newMount(d)
	next.first = old.first
	next.entries = slices.Clone(old.entries)
	next.stable = maps.Clone(old.stable)
	next.snapshots = slices.Clone(old.snapshots)
	if tail != TailKept {
		now := time.Now()
		for n := len(next.entries); n > 0 && next.entries[n-1].safe.After(now); n-- {
			next.entries = next.entries[:n-1]
		}
	}
	for _, w := range old.flying {
		switch {
		case tail == TailLost:
		case w.entries == nil:
			if tail == TailKept || d.rand.IntN(2) == 0 {
				w.apply(next, 0)
			}
		default:
			n := len(w.entries)
			if tail == TailTorn {
				n = d.rand.IntN(n + 1)
			}
			w.apply(next, n)
		}
	}
	for i := range next.entries {
		next.entries[i].safe = time.Time{}
	}
	old.ghost = true
	d.mounted = next
	d.wake()
}

// Open returns the stores of the process that has the disk from now on. There is one at a time: before the next, Crash or the end of that process.
func (d *Disk) Open() (raft.LogStore, raft.StableStore, raft.SnapshotStore) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.mounted
	return &logStore{m}, &stableStore{m}, &snapshotStore{m}
}

// mount is what one process sees of the disk.
type mount struct {
	d *Disk

	// All guarded by d.mu.
	ghost     bool // the process has crashed: what it writes goes nowhere
	first     uint64
	entries   []entry // first, first+1, ...
	stable    map[string][]byte
	snapshots []*snapshot // newest first
	flying    []*write    // under way: not acknowledged
}

type entry struct {
	log  raft.Log
	safe time.Time // when it is really on the disk, if that lies
}

// write is one write under way.
type write struct {
	entries []raft.Log                // of a write to the log
	apply   func(to *mount, some int) // the first entries of it, or the value
}

func newMount(d *Disk) *mount { return &mount{d: d, stable: make(map[string][]byte)} }

// size is for callers that hold d.mu.
func (m *mount) size() (n int64) {
	for i := range m.entries {
		n += logSize(&m.entries[i].log)
	}
	for _, s := range m.snapshots {
		n += int64(len(s.data))
	}
	return n
}

func logSize(l *raft.Log) int64 { return int64(len(l.Data)+len(l.Extensions)) + 32 }

// commit does a write of that many bytes, to the log or elsewhere: it returns when the write is fsynced, or has failed. Of a ghost it returns at once.
func (m *mount) commit(w *write, size int64, toLog bool) error {
	d := m.d
	d.mu.Lock()
	if (toLog || d.faults.FailAny) && d.faults.FailWrites > 0 && !m.ghost {
		d.faults.FailWrites--
		d.mu.Unlock()
		return fmt.Errorf("simdisk: write: %w", syscall.EIO)
	}
	if d.faults.Capacity > 0 && size > 0 && !m.ghost && m.size()+size > d.faults.Capacity {
		d.mu.Unlock()
		return fmt.Errorf("simdisk: write: %w", syscall.ENOSPC)
	}
	m.flying = append(m.flying, w)
	d.fsyncs++
	until := time.Now().Add(d.latency + d.faults.Slow)
	for !m.ghost {
		wait, changed := time.Until(until), d.changed
		if !d.faults.Stall && wait <= 0 {
			break
		}
		stalled := d.faults.Stall
		d.mu.Unlock()
		if stalled {
			<-changed
		} else {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-changed:
			}
			timer.Stop()
		}
		d.mu.Lock()
	}
	m.flying = slices.DeleteFunc(m.flying, func(x *write) bool { return x == w })
	w.apply(m, len(w.entries))
	d.mu.Unlock()
	return nil
}
