package simdisk

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// errNotFound has the text that raft looks for.
var errNotFound = errors.New("not found")

// logStore is a raft.LogStore that takes no gaps.
type logStore struct{ m *mount }

var (
	_ raft.LogStore          = (*logStore)(nil)
	_ raft.MonotonicLogStore = (*logStore)(nil)
)

// IsMonotonic tells raft that gaps are refused.
func (s *logStore) IsMonotonic() bool { return true }

// FirstIndex is 0 of an empty log.
func (s *logStore) FirstIndex() (uint64, error) {
	s.m.d.mu.Lock()
	defer s.m.d.mu.Unlock()
	if len(s.m.entries) == 0 {
		return 0, nil
	}
	return s.m.first, nil
}

// LastIndex is 0 of an empty log.
func (s *logStore) LastIndex() (uint64, error) {
	s.m.d.mu.Lock()
	defer s.m.d.mu.Unlock()
	return s.m.last(), nil
}

// last is for callers that hold d.mu.
func (m *mount) last() uint64 {
	if len(m.entries) == 0 {
		return 0
	}
	return m.first + uint64(len(m.entries)) - 1
}

// GetLog fails with raft.ErrLogNotFound.
func (s *logStore) GetLog(index uint64, to *raft.Log) error {
	s.m.d.mu.Lock()
	defer s.m.d.mu.Unlock()
	if len(s.m.entries) == 0 || index < s.m.first || index > s.m.last() {
		return raft.ErrLogNotFound
	}
	*to = s.m.entries[index-s.m.first].log
	return nil
}

// StoreLog is StoreLogs of one.
func (s *logStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries that follow each other and the last one. Errors: a gap, ENOSPC, EIO.
func (s *logStore) StoreLogs(ls []*raft.Log) error {
	if len(ls) == 0 {
		return nil
	}
	w := &write{}
	var size int64
	for _, l := range ls {
		x := *l
		x.Data, x.Extensions = bytes.Clone(l.Data), bytes.Clone(l.Extensions)
		w.entries = append(w.entries, x)
		size += logSize(l)
	}
	d := s.m.d
	d.mu.Lock()
	next := ls[0].Index
	if last := s.m.last(); last > 0 {
		next = last + 1
	}
	for i, l := range ls {
		if l.Index != next+uint64(i) {
			d.mu.Unlock()
			return fmt.Errorf("simdisk: entry %d stored where %d comes next", l.Index, next+uint64(i))
		}
	}
	lies := d.faults.Lies
	d.mu.Unlock()
	w.apply = func(to *mount, n int) {
		if len(to.entries) == 0 && n > 0 {
			to.first = w.entries[0].Index
		}
		var safe time.Time
		if lies > 0 {
			safe = time.Now().Add(lies)
		}
		for _, l := range w.entries[:n] {
			to.entries = append(to.entries, entry{l, safe})
		}
	}
	return s.m.commit(w, size, true)
}

// DeleteRange cuts the log at its beginning or at its end.
func (s *logStore) DeleteRange(low, high uint64) error {
	w := &write{apply: func(to *mount, _ int) {
		if len(to.entries) == 0 || low > to.last() || high < to.first {
			return
		}
		low, high := max(low, to.first), min(high, to.last())
		switch {
		case low == to.first:
			to.entries = slices.Clone(to.entries[high-to.first+1:])
			to.first = high + 1
		case high == to.last():
			to.entries = slices.Clip(to.entries[:low-to.first])
		}
	}}
	return s.m.commit(w, 0, false)
}

// stableStore is a raft.StableStore.
type stableStore struct{ m *mount }

var _ raft.StableStore = (*stableStore)(nil)

// Set returns when the value is fsynced.
func (s *stableStore) Set(key, value []byte) error {
	k, v := string(key), bytes.Clone(value)
	return s.m.commit(&write{apply: func(to *mount, _ int) { to.stable[k] = v }}, int64(len(k)+len(v)), false)
}

// Get fails with what raft takes for a missing value.
func (s *stableStore) Get(key []byte) ([]byte, error) {
	s.m.d.mu.Lock()
	defer s.m.d.mu.Unlock()
	v, ok := s.m.stable[string(key)]
	if !ok {
		return nil, errNotFound
	}
	return bytes.Clone(v), nil
}

// SetUint64 is Set.
func (s *stableStore) SetUint64(key []byte, v uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, v))
}

// GetUint64 is Get.
func (s *stableStore) GetUint64(key []byte) (uint64, error) {
	b, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("simdisk: %q holds %d bytes, not a number", key, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// snapshotsKept is as many as the real store keeps.
const snapshotsKept = 2

// snapshot is a finished one. It is not changed.
type snapshot struct {
	meta raft.SnapshotMeta
	data []byte
}

// snapshotStore is a raft.SnapshotStore.
type snapshotStore struct{ m *mount }

var _ raft.SnapshotStore = (*snapshotStore)(nil)

// Create begins a snapshot; nothing of it is there before its Close.
func (s *snapshotStore) Create(v raft.SnapshotVersion, index, term uint64, c raft.Configuration, cIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sink{m: s.m, meta: raft.SnapshotMeta{
		Version: v, ID: fmt.Sprintf("%d-%d-%d", term, index, time.Now().UnixMilli()), Index: index, Term: term, Configuration: c, ConfigurationIndex: cIndex,
	}}, nil
}

// List is newest first.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	s.m.d.mu.Lock()
	defer s.m.d.mu.Unlock()
	var ms []*raft.SnapshotMeta
	for _, x := range s.m.snapshots {
		meta := x.meta
		ms = append(ms, &meta)
	}
	return ms, nil
}

// Open reads a finished snapshot.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.m.d.mu.Lock()
	defer s.m.d.mu.Unlock()
	for _, x := range s.m.snapshots {
		if x.meta.ID == id {
			meta := x.meta
			return &meta, io.NopCloser(bytes.NewReader(x.data)), nil
		}
	}
	return nil, nil, fmt.Errorf("simdisk: no snapshot %s", id)
}

// sink is a snapshot that is being written; for one goroutine.
type sink struct {
	m    *mount
	meta raft.SnapshotMeta
	data []byte
	done bool
}

func (s *sink) ID() string { return s.meta.ID }

// Write fails with ENOSPC when the disk is full; it waits only while the disk stalls.
func (s *sink) Write(b []byte) (int, error) {
	nothing := &write{apply: func(*mount, int) {}}
	if err := s.m.commit(nothing, int64(len(s.data)+len(b)), false); err != nil {
		return 0, err
	}
	s.data = append(s.data, b...)
	return len(b), nil
}

// Close makes the snapshot durable and lets the oldest go.
func (s *sink) Close() error {
	if s.done {
		return nil
	}
	s.done = true
	s.meta.Size = int64(len(s.data))
	w := &write{apply: func(to *mount, _ int) {
		all := append([]*snapshot{{s.meta, s.data}}, to.snapshots...)
		slices.SortStableFunc(all, func(a, b *snapshot) int { return cmp.Compare(b.meta.Index, a.meta.Index) })
		to.snapshots = all[:min(len(all), snapshotsKept)]
	}}
	return s.m.commit(w, s.meta.Size, false)
}

// Cancel drops it.
func (s *sink) Cancel() error {
	s.done = true
	return nil
}
