package simdisk

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

func entries(from, to uint64) (ls []*raft.Log) {
	for i := from; i <= to; i++ {
		ls = append(ls, &raft.Log{Index: i, Term: 1, Data: fmt.Append(nil, i)})
	}
	return ls
}

func last(t *testing.T, l raft.LogStore) uint64 {
	t.Helper()
	n, err := l.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhatACrashLeaves(t *testing.T) {
	for tail, want := range map[Tail]func(n uint64) bool{
		TailKept: func(n uint64) bool { return n == 20 },
		TailLost: func(n uint64) bool { return n == 10 },
		TailTorn: func(n uint64) bool { return n >= 10 && n <= 20 },
	} {
		seen := make(map[uint64]bool)
		for seed := range uint64(30) {
			synctest.Test(t, func(t *testing.T) {
				d := New(seed, time.Millisecond)
				log, stable, _ := d.Open()
				if err := log.StoreLogs(entries(1, 10)); err != nil {
					t.Fatal(err)
				}
				if err := stable.SetUint64([]byte("term"), 7); err != nil {
					t.Fatal(err)
				}
				d.Set(Faults{Stall: true})
				done := make(chan error)
				go func() { done <- log.StoreLogs(entries(11, 20)) }()
				synctest.Wait()
				d.Crash(tail)
				if err := <-done; err != nil {
					t.Errorf("the ghost's write: %v", err)
				}
				if err := log.StoreLogs(entries(21, 22)); err != nil {
					t.Errorf("another: %v", err)
				}
				log, stable, _ = d.Open()
				n := last(t, log)
				if seen[n] = true; !want(n) {
					t.Errorf("%v: the log ends at %d", tail, n)
				}
				if v, err := stable.GetUint64([]byte("term")); err != nil || v != 7 {
					t.Errorf("%v: the term is %d, %v", tail, v, err)
				}
				var l raft.Log
				if err := log.GetLog(n, &l); err != nil || string(l.Data) != fmt.Sprint(n) {
					t.Errorf("entry %d is %q, %v", n, l.Data, err)
				}
			})
		}
		if (len(seen) > 3) != (tail == TailTorn) {
			t.Errorf("%v: ends at %v", tail, seen)
		}
	}
}

func TestFullFailingAndSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(1, time.Millisecond)
		log, _, snapshots := d.Open()
		d.Set(Faults{FailWrites: 1})
		if err := log.StoreLogs(entries(1, 2)); !errors.Is(err, syscall.EIO) {
			t.Errorf("a failing write: %v", err)
		}
		begun := time.Now()
		d.Set(Faults{Slow: 50 * time.Millisecond})
		if err := log.StoreLogs(entries(1, 2)); err != nil || time.Since(begun) != 51*time.Millisecond {
			t.Errorf("a slow write took %v: %v", time.Since(begun), err)
		}
		d.Set(Faults{Capacity: d.Used() + 10})
		if err := log.StoreLogs(entries(3, 3)); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("a full disk: %v", err)
		}
		sink, err := snapshots.Create(1, 2, 1, raft.Configuration{}, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sink.Write(make([]byte, 100)); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("a snapshot on a full disk: %v", err)
		}
		if err := sink.Cancel(); err != nil {
			t.Error(err)
		}
		if err := log.StoreLogs(entries(4, 4)); err == nil {
			t.Error("a gap was taken")
		}
		if err := log.DeleteRange(1, 1); err != nil || last(t, log) != 2 {
			t.Errorf("cutting the log on a full disk: %v, it ends at %d", err, last(t, log))
		}
		d.Set(Faults{})
		if err := log.StoreLogs(entries(3, 3)); err != nil || last(t, log) != 3 {
			t.Errorf("with room again: %v", err)
		}
		d.Set(Faults{Lies: time.Minute})
		if err := log.StoreLogs(entries(4, 5)); err != nil {
			t.Fatal(err)
		}
		d.Crash(TailLost)
		if log, _, _ = d.Open(); last(t, log) != 3 {
			t.Errorf("a lying disk kept up to %d", last(t, log))
		}
	})
}

func TestSnapshotIsThereWholeOrNotAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(1, time.Millisecond)
		for i := range uint64(4) {
			_, _, snapshots := d.Open()
			sink, err := snapshots.Create(1, i+1, 1, raft.Configuration{}, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprintf(sink, "state %d", i); err != nil {
				t.Fatal(err)
			}
			if i == 2 { // crashes before the end
				d.Crash(TailKept)
			}
			if err := sink.Close(); err != nil {
				t.Fatal(err)
			}
		}
		_, _, snapshots := d.Open()
		ms, err := snapshots.List()
		if err != nil || len(ms) != 2 || ms[0].Index != 4 || ms[1].Index != 2 {
			t.Fatalf("%d snapshots, %v: %+v", len(ms), err, ms)
		}
		m, r, err := snapshots.Open(ms[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); err != nil || string(b) != "state 3" || m.Size != int64(len(b)) {
			t.Errorf("%q, %v, size %d", b, err, m.Size)
		}
	})
}
