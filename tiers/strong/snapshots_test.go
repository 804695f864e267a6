package strong

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/internal/simdisk"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// slowSnapshots writes a snapshot only as long as it is let.
type slowSnapshots struct {
	raft.SnapshotStore
	let chan struct{}
}

func (s slowSnapshots) Create(v raft.SnapshotVersion, index, term uint64, c raft.Configuration, ci uint64, tr raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(v, index, term, c, ci, tr)
	return slowSink{sink, s.let}, err
}

type slowSink struct {
	raft.SnapshotSink
	let chan struct{}
}

func (s slowSink) Write(b []byte) (int, error) {
	<-s.let
	return s.SnapshotSink.Write(b)
}

func TestASnapshotHoldsUpNothing(t *testing.T) {
	onDisks(t, 3, func(c *Config) {
		if open := c.Stores; c.Name == "m1" {
			c.Stores = func() (*Stores, error) {
				s, err := open()
				s.Snapshots = slowSnapshots{s.Snapshots, make(chan struct{})}
				return s, err
			}
		}
	}, func(t *testing.T, c *faultCluster) {
		m := c.members[0]
		m.write(t, "/before")
		f := m.now().raft.Snapshot()
		synctest.Wait()
		for i := range 100 {
			if took := m.write(t, fmt.Sprintf("/n%d", i)); took > 100*time.Millisecond {
				t.Fatalf("a write took %v while a snapshot is written", took)
			}
		}
		if n := len(m.children(t)); n != 101 {
			t.Errorf("%d znodes", n)
		}
		if s := m.now().Status(); s.Disk != "" {
			t.Errorf("a slow snapshot is trouble: %s", s.Disk)
		}
		if m.now().Figures().Snapshot.Count != 0 {
			t.Fatal("the snapshot is written already")
		}
		close(m.now().stores.Snapshots.(slowSnapshots).let)
		if err := f.Error(); err != nil {
			t.Fatal(err)
		}
		_, r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		back := tree.New()
		if err := back.Restore(r); err != nil {
			t.Fatal(err)
		}
		if _, err := back.Read(tiers.Query{Path: "/before"}); err != nil {
			t.Error(err)
		}
		if _, err := back.Read(tiers.Query{Path: "/n99"}); !errors.Is(err, tiers.ErrNoNode) {
			t.Errorf("it has what was written after it was taken: %v", err)
		}
	})
}

func TestASnapshotWithoutRoomIsTriedAgain(t *testing.T) {
	onDisks(t, 3, nil, func(t *testing.T, c *faultCluster) {
		m := c.members[0]
		for i := range 50 {
			m.write(t, fmt.Sprintf("/n%d", i))
		}
		m.disk.Set(simdisk.Faults{Capacity: m.disk.Used() + 1000})
		if err := m.now().raft.Snapshot().Error(); err == nil || !strings.Contains(err.Error(), "no space") {
			t.Fatalf("a snapshot without room: %v", err)
		}
		if ss, err := m.now().stores.Snapshots.List(); err != nil || len(ss) != 0 {
			t.Errorf("%d snapshots, %v", len(ss), err)
		}
		if err := m.now().disk.unfit(); err != nil {
			t.Errorf("it can't lead for want of a snapshot: %v", err)
		}
		m.disk.Set(simdisk.Faults{})
		if err := m.now().raft.Snapshot().Error(); err != nil {
			t.Errorf("with room: %v", err)
		}
	})
}

// fullSink can't be flushed.
type fullSink struct{ raft.SnapshotSink }

func (fullSink) ID() string    { return "1-2-3" }
func (fullSink) Cancel() error { return syscall.ENOSPC }

func TestAFailedSnapshotLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	half := filepath.Join(dir, "1-2-3.tmp")
	other := filepath.Join(dir, "4-5-6.tmp")
	for _, d := range []string{half, other, filepath.Join(dir, "1-1-1")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	disk := newDisk(time.Second, testLogger(), func() bool { return false })
	if err := (watchedSink{fullSink{}, disk, dir}).Cancel(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the half snapshot is still there: %v", err)
	}
	if err := removeUnfinished(dir); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "1-1-1" {
		t.Errorf("left: %v, %v", left, err)
	}
}

// The installation of a snapshot should remove the log before it. If that fails, or the member stops just then, entries of an old leader are left, and
// what follows the snapshot would not fit.
func TestLogBehindAnInstalledSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(time.Second, testLogger(), func() bool { return false })
		store, _, snapshots := simdisk.New(1, time.Millisecond).Open()
		l, err := newLogStore(&Stores{Log: store, Snapshots: snapshots}, disk, new(waterline), func(time.Duration) {}, func() bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		for i := uint64(1); i <= 10; i++ {
			if err := l.StoreLog(&raft.Log{Index: i, Term: 1}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.StoreLog(&raft.Log{Index: 51, Term: 2}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("a gap without a snapshot: %v", err)
		}
		sink, err := snapshots.Create(1, 50, 2, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		for i := uint64(51); i <= 60; i++ {
			if err := l.StoreLog(&raft.Log{Index: i, Term: 2}); err != nil {
				t.Fatal(err)
			}
		}
		if first, _ := l.FirstIndex(); first != 51 {
			t.Errorf("the log begins at %d", first)
		}
	})
}

// heapReader notes the live heap every few MiB.
type heapReader struct {
	io.Reader
	read, peak uint64
}

func (r *heapReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if r.read += uint64(n); r.read > 4<<20 || err != nil {
		r.read = 0
		r.peak = max(r.peak, liveHeap())
	}
	return n, err
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// What a member holds while it restores a snapshot is at most twice the state: it is not read into memory first.
func TestRestoreStreams(t *testing.T) {
	onDisks(t, 1, nil, func(t *testing.T, c *faultCluster) {
		m := c.members[0]
		const size = 50 << 20
		data := string(bytes.Repeat([]byte("x"), 100<<10))
		for i := range size / len(data) {
			if err := m.try(t, create(fmt.Sprintf("/n%d", i), data, tiers.Persistent)); err != nil {
				t.Fatal(err)
			}
		}
		raw, err := m.image()
		if err != nil {
			t.Fatal(err)
		}
		before := liveHeap()
		r := &heapReader{Reader: bytes.NewReader(raw)}
		back := tree.New()
		if err := back.Restore(r); err != nil {
			t.Fatal(err)
		}
		r.peak = max(r.peak, liveHeap())
		if took := r.peak - before; took > 2*size {
			t.Errorf("it held %d MiB for a state of %d", took>>20, size>>20)
		}
		if n := back.Stats().DataBytes; n < size*9/10 {
			t.Errorf("%d bytes came back", n)
		}
	})
}
