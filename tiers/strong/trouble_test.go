package strong

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/internal/simdisk"
	"github.com/strata-coord/strata/tiers"
)

// onDisks runs f on a formed cluster of members with simulated disks, on fake time.
func onDisks(t *testing.T, size int, tune func(*Config), f func(t *testing.T, c *faultCluster)) {
	synctest.Test(t, func(t *testing.T) {
		c := newFaultCluster(t, 1, size, tune)
		defer c.stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.form(ctx); err != nil {
			t.Fatal(err)
		}
		f(t, c)
	})
}

// write creates path at a member and returns how long that took.
func (m *faultMember) write(t *testing.T, path string) time.Duration {
	t.Helper()
	begun := time.Now()
	if _, err := tiers.Do(t.Context(), m.now(), tiers.Txn{Ops: []tiers.Op{create(path, "x", tiers.Persistent)}}); err != nil {
		t.Fatalf("create %s at %s: %v", path, m.name, err)
	}
	return time.Since(begun)
}

// children are those of / but for /zookeeper.
func (m *faultMember) children(t *testing.T) (names []string) {
	t.Helper()
	v, err := m.now().Read(t.Context(), tiers.Query{Path: "/", Want: tiers.WantChildren})
	if err != nil {
		t.Fatalf("read at %s: %v", m.name, err)
	}
	for _, name := range v.Children {
		if name != "zookeeper" {
			names = append(names, name)
		}
	}
	return names
}

// until waits for a condition.
func until(t *testing.T, what string, limit time.Duration, is func() bool) {
	t.Helper()
	for begun := time.Now(); !is(); {
		if time.Since(begun) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		<-time.After(time.Millisecond)
	}
}

func (c *faultCluster) leads(t *testing.T) *faultMember {
	t.Helper()
	until(t, "a leader", time.Minute, func() bool { return c.Leader() != "" })
	return c.member(c.Leader())
}

func (c *faultCluster) others(than *faultMember) (ms []*faultMember) {
	for _, m := range c.members {
		if m != than {
			ms = append(ms, m)
		}
	}
	return ms
}

func TestLeaderWithHungDisk(t *testing.T) {
	for _, size := range []int{3, 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			onDisks(t, size, nil, func(t *testing.T, c *faultCluster) {
				old := c.leads(t)
				asked := c.others(old)[0]
				asked.write(t, "/before")
				electionTimeout := old.now().cfg.raft().ElectionTimeout

				old.disk.Set(simdisk.Faults{Stall: true})
				pending := old.now().Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{create("/at-the-hung-one", "x", tiers.Persistent)}})
				took := asked.write(t, "/after")
				if took > 2*electionTimeout {
					t.Errorf("a write took %v after the leader's disk began to hang; want at most %v", took, 2*electionTimeout)
				}
				t.Logf("a write took %v", took)
				next := c.leads(t)
				if next == old {
					t.Fatal("the member with the hung disk leads")
				}
				if s := old.now().Status(); !strings.Contains(s.Disk, "a write to the log has been hanging for") {
					t.Errorf("it says of its disk: %q", s.Disk)
				}
				for i := range 100 { // more than it could hold back
					asked.write(t, fmt.Sprintf("/n%d", i))
				}
				<-time.After(20 * time.Second)
				if now := c.leads(t); now != next {
					t.Errorf("the leadership went from %s to %s", next.name, now.name)
				}

				old.disk.Set(simdisk.Faults{})
				until(t, "the old leader follows", 5*time.Second, func() bool {
					s := old.now().Status()
					return s.State == "Follower" && s.Leader == next.name && s.Disk == "" && s.Zxid == next.now().Status().Zxid
				})
				if r, err := pending.Wait(t.Context()); err == nil && r.Zxid == 0 {
					t.Error("the write at the hung member was answered without a zxid")
				}
				if n := len(old.children(t)); n != 103 {
					t.Errorf("%d znodes, want 103: each write once", n)
				}
			})
		})
	}
}

func TestFollowerWithHungDisk(t *testing.T) {
	onDisks(t, 3, nil, func(t *testing.T, c *faultCluster) {
		leader := c.leads(t)
		hung, third := c.others(leader)[0], c.others(leader)[1]
		term := leader.now().Status().Term
		hung.disk.Set(simdisk.Faults{Stall: true})
		for i := range 50 {
			if took := third.write(t, fmt.Sprintf("/a%d", i)); took > 50*time.Millisecond {
				t.Errorf("a write took %v", took)
			}
			<-time.After(100 * time.Millisecond)
		}
		if s := hung.now().Status(); s.Disk == "" {
			t.Error("it does not say that its disk hangs")
		}
		if now := leader.now().Status(); now.Term != term || now.State != "Leader" {
			t.Errorf("the leadership moved: %s in term %d", now.State, now.Term)
		}
		// Its own log would be the least complete one; it must not stand even when it is asked to.
		if err := hung.now().handleStand(t.Context(), make([]byte, 8)); err == nil {
			t.Error("it would stand for election")
		}
		hung.disk.Set(simdisk.Faults{})
		until(t, "it catches up", 2*time.Second, func() bool {
			s := hung.now().Status()
			return s.Disk == "" && s.Zxid == leader.now().Status().Zxid
		})
		if now := leader.now().Status(); now.Term != term {
			t.Errorf("it came back with an election: term %d, was %d", now.Term, term)
		}
	})
}

func TestCloseWithHungDisk(t *testing.T) {
	onDisks(t, 3, nil, func(t *testing.T, c *faultCluster) {
		for _, m := range []*faultMember{c.leads(t), c.others(c.leads(t))[0]} {
			m.disk.Set(simdisk.Faults{Stall: true})
			m.now().Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{create("/"+m.name, "x", tiers.Persistent)}})
			<-time.After(200 * time.Millisecond)
		}
		for _, m := range c.members {
			begun := time.Now()
			c.net.Down(m.host)
			err := m.now().Close()
			if took := time.Since(begun); took > 8*time.Second {
				t.Errorf("%s took %v to close: %v", m.name, took, err)
			}
		}
	})
}

func TestFailedWriteMovesTheLeadership(t *testing.T) {
	onDisks(t, 3, nil, func(t *testing.T, c *faultCluster) {
		for i := range 20 {
			old := c.leads(t)
			old.disk.Set(simdisk.Faults{FailWrites: 1})
			for _, m := range c.members {
				if took := m.write(t, fmt.Sprintf("/%s-%d", m.name, i)); took > time.Second {
					t.Errorf("a write at %s took %v", m.name, took)
				}
			}
			for _, m := range c.members {
				if n := len(m.children(t)); n != 3*(i+1) {
					t.Errorf("round %d: %d znodes at %s", i, n, m.name)
				}
			}
		}
	})
}

// brokenLog is a log that is unusable after a failed write, as raft-wal's is, until it is opened again.
type brokenLog struct {
	raft.LogStore
	fail   bool
	broken bool
}

func (l *brokenLog) StoreLogs(xs []*raft.Log) error {
	if l.fail {
		l.fail, l.broken = false, true
		_ = l.LogStore.StoreLogs(xs) // it reached the disk all the same, or half of it
		return syscall.EIO
	}
	if l.broken {
		return fmt.Errorf("segment is broken: %w", syscall.EIO)
	}
	return l.LogStore.StoreLogs(xs)
}

func TestLogAfterAFailedWrite(t *testing.T) {
	disk := newDisk(time.Second, testLogger(), func() bool { return false })
	defer disk.close()
	mem := raft.NewInmemStore()
	broken := &brokenLog{LogStore: mem}
	stores := &Stores{Log: broken, Snapshots: raft.NewInmemSnapshotStore(), Reopen: func() (raft.LogStore, error) { broken.broken = false; return broken, nil }}
	l, err := newLogStore(stores, disk, new(waterline), func(time.Duration) {}, func() bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	entry := func(i, term uint64) []*raft.Log { return []*raft.Log{{Index: i, Term: term, Data: []byte("x")}} }
	termOf := func(i uint64) uint64 {
		t.Helper()
		var x raft.Log
		if err := l.GetLog(i, &x); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		return x.Term
	}
	for i := uint64(1); i <= 3; i++ {
		if err := l.StoreLogs(entry(i, 1)); err != nil {
			t.Fatal(err)
		}
	}
	broken.fail = true
	if err := l.StoreLogs(entry(4, 1)); err == nil {
		t.Fatal("the write did not fail")
	}
	if disk.trouble() == nil {
		t.Error("the disk is not in trouble")
	}
	if err := l.StoreLogs(entry(4, 2)); err != nil {
		t.Fatalf("the next write: %v", err)
	}
	if last, _ := l.LastIndex(); last != 4 || termOf(4) != 2 {
		t.Errorf("the log ends at %d, of term %d; want 4, of term 2", last, termOf(4))
	}
	if err := disk.trouble(); err != nil {
		t.Errorf("the disk is still in trouble: %v", err)
	}

	// A follower cuts off 3 and 4, and then can't write: raft still counts them, and asks for them.
	if err := l.DeleteRange(3, 4); err != nil {
		t.Fatal(err)
	}
	broken.fail = true
	if err := l.StoreLogs(entry(3, 3)); err == nil {
		t.Fatal("the write did not fail")
	}
	if err := l.DeleteRange(3, 4); err != nil { // of the half that reached the disk
		t.Fatal(err)
	}
	if got := termOf(4); got != 0 {
		t.Errorf("entry 4 is of term %d; want a ghost, of term 0", got)
	}
	var ghost raft.Log
	if err := l.GetLog(4, &ghost); err != nil || checkEntries([]*raft.Log{&ghost}) == nil {
		t.Errorf("a ghost would be sent: %v", err)
	}
	if err := l.StoreLogs(entry(3, 3)); err != nil {
		t.Fatal(err)
	}
	if err := l.GetLog(4, &ghost); err == nil {
		t.Error("entry 4 is still counted")
	}
	// A store that lost what was acknowledged is not written on.
	if err := mem.DeleteRange(2, 3); err != nil {
		t.Fatal(err)
	}
	if err := l.StoreLogs(entry(4, 3)); err == nil || !strings.Contains(err.Error(), ErrCorrupt.Error()) {
		t.Errorf("after a loss: %v; want ErrCorrupt", err)
	}
}

// failingStable fails that many writes.
type failingStable struct {
	raft.StableStore
	fails int
}

func (s *failingStable) SetUint64(key []byte, v uint64) error {
	if s.fails--; s.fails >= 0 {
		return syscall.ENOSPC
	}
	return s.StableStore.SetUint64(key, v)
}

// Raft panics when it can't note its term.
func TestTermThatCannotBeNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(time.Second, testLogger(), func() bool { return false })
		inner := &failingStable{raft.NewInmemStore(), 20}
		s := stableStore{inner, d}
		begun := time.Now()
		if err := s.SetUint64(currentTermKey, 7); err != nil {
			t.Fatal(err)
		}
		if n, err := s.GetUint64(currentTermKey); err != nil || n != 7 || time.Since(begun) < time.Second {
			t.Errorf("after %v the term is %d, %v", time.Since(begun), n, err)
		}
		inner.fails = 1
		if err := s.SetUint64([]byte("LastVoteTerm"), 7); err == nil {
			t.Error("a vote that is not noted would be given")
		}
		inner.fails = 1 << 30
		done := make(chan error, 1)
		go func() { done <- s.SetUint64(currentTermKey, 8) }()
		<-time.After(time.Minute)
		d.close()
		if err := <-done; err != nil {
			t.Errorf("at the end: %v", err)
		}
	})
}
