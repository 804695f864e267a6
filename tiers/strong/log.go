package strong

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// logStore is raft's log over one that may fail. Raft goes on after an error with what it knew before; the store below may hold
// more by then, or be unusable. So here, before the next write:
//
//   - a store that has failed is opened again, where that is possible (Stores.Reopen): raft-wal refuses every write after a failed one;
//   - entries that raft does not know of, of a write that failed or was given up, are cut off;
//   - entries in front of a gap, which the installation of a snapshot should have removed, are.
//
// Nor does raft learn that its log is shorter when a write fails after entries of an old term were cut off: it would look for them for ever. It
// is given what can't match, so that it cuts them off once more: see GetLog.
type logStore struct {
	disk      *disk
	reopen    func() (raft.LogStore, error) // nil: it can't be
	stored    *waterline
	took      func(time.Duration) // is told how long a batch took
	leads     func() bool         // raft is the leader here
	snapshots raft.SnapshotStore

	writing chan struct{} // capacity 1; held by one write after the other, also by those that nobody waits for. Taken before mu
	torn    bool          // guarded by writing; the store below may be unusable
	loose   bool          // guarded by writing; it may hold entries that raft does not know of
	claimed atomic.Uint64 // what raft may take for its last entry

	mu    sync.RWMutex  // held for writing while inner is replaced
	inner raft.LogStore // guarded by mu
}

func newLogStore(s *Stores, d *disk, stored *waterline, took func(time.Duration), leads func() bool) (*logStore, error) {
	l := &logStore{disk: d, writing: make(chan struct{}, 1), inner: s.Log, reopen: s.Reopen, snapshots: s.Snapshots, stored: stored, took: took, leads: leads}
	last, err := s.Log.LastIndex()
	if err != nil {
		return nil, fmt.Errorf("strong: read the log: %w", err)
	}
	l.claimed.Store(last)
	return l, nil
}

// now is the store below, and what frees it.
func (l *logStore) now() (raft.LogStore, func()) {
	l.mu.RLock()
	return l.inner, l.mu.RUnlock
}

// IsMonotonic lets raft remove the whole log when it installs a snapshot: no entry of an old term is left behind it.
func (l *logStore) IsMonotonic() bool { return true }

func (l *logStore) FirstIndex() (uint64, error) {
	s, free := l.now()
	defer free()
	return s.FirstIndex()
}

func (l *logStore) LastIndex() (uint64, error) {
	s, free := l.now()
	defer free()
	return s.LastIndex()
}

// ghostMark is in Log.Extensions of a ghost.
var ghostMark = []byte("strata/ghost")

// isGhost tells an entry that only stands for one that is gone: it is never sent, nor stored.
func isGhost(x *raft.Log) bool { return bytes.Equal(x.Extensions, ghostMark) }

// snapshotTerm is the term of the entry with which a snapshot ends; 0 if none ends there.
func (l *logStore) snapshotTerm(index uint64) uint64 {
	metas, err := l.snapshots.List()
	if err != nil {
		return 0
	}
	for _, m := range metas {
		if m.Index == index {
			return m.Term
		}
	}
	return 0
}

// GetLog reads an entry. For one that was cut off and raft still counts it is a ghost, of term 0: it differs from whatever the leader has there.
// But the one with which a snapshot ends, that was installed in place of the whole log, is the leader's: what follows the snapshot follows it, and raft, which
// believes in a longer log than it has, would refuse that for ever.
func (l *logStore) GetLog(index uint64, to *raft.Log) error {
	s, free := l.now()
	defer free()
	err := s.GetLog(index, to)
	if errors.Is(err, raft.ErrLogNotFound) && index <= l.claimed.Load() && !l.leads() {
		if last, lastErr := s.LastIndex(); lastErr == nil && index > last {
			*to = raft.Log{Index: index, Term: l.snapshotTerm(index), Extensions: ghostMark}
			return nil
		}
	}
	return err
}

func (l *logStore) StoreLog(x *raft.Log) error { return l.StoreLogs([]*raft.Log{x}) }

func (l *logStore) StoreLogs(xs []*raft.Log) error {
	if len(xs) == 0 {
		return nil
	}
	begin := time.Now()
	err := l.write(true, func(s raft.LogStore) error {
		if err := l.fit(s, xs[0].Index); err != nil {
			return err
		}
		err := s.StoreLogs(xs)
		l.loose = l.loose && err != nil
		return err
	})
	l.took(time.Since(begin))
	if err == nil {
		last := xs[len(xs)-1].Index
		l.claimed.Store(last)
		l.stored.rise(last)
	}
	return err
}

func (l *logStore) DeleteRange(from, to uint64) error {
	return l.write(false, func(s raft.LogStore) error { return s.DeleteRange(from, to) })
}

// write runs f on a store that can be used.
func (l *logStore) write(bounded bool, f func(raft.LogStore) error) error {
	return l.disk.do(ofLog, bounded, func(at *flight) error {
		l.writing <- struct{}{}
		defer func() { <-l.writing }()
		if l.disk.given(at) {
			return errSkipped
		}
		if err := l.mend(); err != nil {
			return err
		}
		s, free := l.now()
		free() // only mend replaces it, and that is done by whoever holds writing
		err := f(s)
		if !l.disk.land(at) || err != nil {
			l.torn, l.loose = true, true
		}
		return err
	})
}

// mend opens a store again that has failed. Callers hold writing.
func (l *logStore) mend() error {
	if !l.torn || l.reopen == nil {
		return nil
	}
	next, err := l.reopen()
	if err != nil {
		return fmt.Errorf("open the log again: %w", err)
	}
	l.mu.Lock()
	l.inner = next
	l.mu.Unlock()
	l.torn = false
	return nil
}

// fit makes s end right before entry first, which is what raft takes it to do. Callers hold writing.
func (l *logStore) fit(s raft.LogStore, first uint64) error {
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	if last >= first && l.loose {
		if err := s.DeleteRange(first, last); err != nil {
			return fmt.Errorf("cut off what a failed write left: %w", err)
		}
		if last, err = s.LastIndex(); err != nil {
			return err
		}
	}
	if last+1 >= first {
		return nil
	}
	// What is missing must be in a snapshot: else acknowledged entries are lost.
	snapshots, err := l.snapshots.List()
	if err != nil {
		return fmt.Errorf("list the snapshots: %w", err)
	}
	if len(snapshots) == 0 || snapshots[0].Index+1 < first {
		return fmt.Errorf("%w: the log ends at entry %d, and entry %d is to follow: stop this member and start it with an empty directory, the cluster will fill it",
			ErrCorrupt, last, first)
	}
	if last == 0 {
		return nil
	}
	begin, err := s.FirstIndex()
	if err != nil {
		return err
	}
	return s.DeleteRange(begin, last)
}
