//go:build foreign

package faults

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/strata-coord/strata/e2e/wire"
	"github.com/strata-coord/strata/zkcompat/jute"
)

var (
	electionTrials = flag.Int("elections.trials", 3, "how often TestElections ends each leader in each way")
	electionLoad   = flag.Duration("elections.load", 5*time.Second, "how long TestElections loads the cluster")
	electionStrict = flag.Bool("elections.strict", false, "fail if what TestElections measures is more than the project promises: for a machine that does nothing else")
)

// TestElections measures, with the settings of `strata serve` alone, for how long no write is acknowledged when the leader ends or hangs, and
// whether a full load makes the members elect without need.
func TestElections(t *testing.T) {
	c := newCluster(t, 3, nil, "--tick", "2s")
	if r := c.members[0].try(t, jute.NodeOp{Op: jute.OpCreate, Path: "/gap", ACL: open}); !r.OK() {
		t.Fatalf("create /gap: %v", &r)
	}
	for _, x := range []struct {
		name          string
		end           func(*member) error
		again         func(*member) error
		median, worst time.Duration // promised
	}{
		{"SIGKILL", func(m *member) error { return m.stop(syscall.SIGKILL) }, (*member).start, 200 * time.Millisecond, 350 * time.Millisecond},
		{"SIGTERM", func(m *member) error { return m.stop(syscall.SIGTERM) }, (*member).start, 100 * time.Millisecond, 100 * time.Millisecond},
		{"SIGSTOP", func(m *member) error { m.signal(syscall.SIGSTOP); return nil }, func(m *member) error { m.signal(syscall.SIGCONT); return nil },
			600 * time.Millisecond, time.Second},
	} {
		t.Run(x.name, func(t *testing.T) {
			var gaps []time.Duration
			for range *electionTrials {
				gaps = append(gaps, c.gap(t, x.end, x.again))
			}
			slices.Sort(gaps)
			median, worst := gaps[len(gaps)/2], gaps[len(gaps)-1]
			t.Logf("%s of the leader: longest time without an acknowledged write at the others: median %v, worst %v, of %v; %s", x.name, median, worst, gaps, loadAverage())
			if *electionStrict && (median > x.median || worst > x.worst) {
				t.Errorf("promised are %v and %v", x.median, x.worst)
			}
		})
	}
	t.Run("load", func(t *testing.T) { fullLoad(t, c) })
}

// loadAverage is what else the machine did.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err.Error()
	}
	return "load average " + strings.Join(strings.Fields(string(b))[:3], " ")
}

// try sends one request over a connection of its own.
func (m *member) try(t *testing.T, op jute.NodeOp) (r wire.Reply) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := m.connect(ctx, wire.Session{Timeout: sessionTimeout})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.Do(ctx, op)
}

// gap ends the leader under a writer at each other member, and returns the longest time that one of those waited from one acknowledged
// write to the next. The cluster is whole again when it returns.
func (c *cluster) gap(t *testing.T, end, again func(*member) error) time.Duration {
	t.Helper()
	c.ready()
	leader := c.leader()
	ctx, stop := context.WithCancel(t.Context())
	var (
		work    sync.WaitGroup
		longest = make([]time.Duration, len(c.members))
		acks    = make([]atomic.Int64, len(c.members))
	)
	defer work.Wait()
	defer stop()
	for _, m := range c.without(leader) {
		conn, err := m.connect(ctx, wire.Session{Timeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		work.Go(func() {
			defer conn.Close()
			last := time.Now()
			for n := 0; ctx.Err() == nil; n++ {
				// The last write is waited for too.
				r := conn.Do(context.WithoutCancel(ctx), jute.NodeOp{Op: jute.OpSetData, Path: "/gap", Data: fmt.Appendf(nil, "%s.%d", m.name, n), Version: -1})
				if conn.Lost() != nil {
					t.Errorf("the connection to %s, which lives, is lost: %v", m.name, &r)
					return
				}
				if r.OK() {
					now := time.Now()
					longest[m.i], last = max(longest[m.i], now.Sub(last)), now
					acks[m.i].Add(1)
				}
			}
		})
	}
	more := func(n int64) {
		for _, m := range c.without(leader) {
			want := acks[m.i].Load() + n
			until(t, "writes at "+m.name, func() error {
				if have := acks[m.i].Load(); have < want {
					return fmt.Errorf("%d are still to come", want-have)
				}
				return nil
			})
		}
	}
	more(50)
	if err := end(leader); err != nil {
		t.Fatal(err)
	}
	more(50)
	stop()
	work.Wait()
	if err := again(leader); err != nil {
		t.Fatal(err)
	}
	return slices.Max(longest).Round(100 * time.Microsecond)
}

// fullLoad keeps the cluster as busy as it can be, and counts elections.
func fullLoad(t *testing.T, c *cluster) {
	const conns, window = 4, 64 // at each member
	c.ready()
	leader := c.leader()
	before, err := leader.status()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), *electionLoad)
	defer stop()
	var (
		work       sync.WaitGroup
		done, lost atomic.Int64
	)
	for _, m := range c.members {
		for range conns {
			conn, err := m.connect(ctx, wire.Session{Timeout: 20 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			work.Go(func() {
				defer conn.Close()
				op := jute.NodeOp{Op: jute.OpSetData, Path: "/gap", Data: make([]byte, 100), Version: -1}
				free := make(chan struct{}, window)
				for ctx.Err() == nil {
					free <- struct{}{}
					conn.Send(op.Op, op.Append(nil), func(r wire.Reply) {
						if r.OK() {
							done.Add(1)
						} else {
							lost.Add(1)
						}
						<-free
					})
				}
				for range window { // the last ones
					free <- struct{}{}
				}
			})
		}
	}
	work.Wait()
	c.ready()
	after, err := c.leader().status()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("full load for %v: %d writes acknowledged (%.0f a second), %d not; %d elections; %s",
		*electionLoad, done.Load(), float64(done.Load())/electionLoad.Seconds(), lost.Load(), after.Term-before.Term, loadAverage())
	if *electionStrict && after.Term != before.Term {
		t.Errorf("led by %s in term %d, and then by %s in term %d", before.Leader, before.Term, after.Leader, after.Term)
	}
}
