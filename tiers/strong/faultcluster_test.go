package strong

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/internal/faults"
	"github.com/strata-coord/strata/internal/history"
	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/internal/simdisk"
	"github.com/strata-coord/strata/internal/simnet"
	"github.com/strata-coord/strata/tiers"
)

// faultCluster is a strong tier on a simulated network and simulated disks, for a faults.Nemesis. To be used in a synctest bubble.
type faultCluster struct {
	t       *testing.T
	net     *simnet.Net
	members []*faultMember
	tune    func(*Config)
	rec     *history.Recorder // is told of the ends of sessions; nil: nobody is
	starts  sync.WaitGroup    // the goroutines that start and stop members
}

var _ faults.Cluster = (*faultCluster)(nil)

type faultMember struct {
	c     *faultCluster
	name  string
	host  string
	disk  *simdisk.Disk
	clock *faults.Clock

	mu      sync.Mutex
	tier    *Tier         // guarded by mu; nil while it is dead or starting
	running bool          // guarded by mu
	start   uint64        // guarded by mu; counts starts
	stopped chan struct{} // guarded by mu; closed when the last process has left its port
}

func newFaultCluster(t *testing.T, seed uint64, size int, tune func(*Config)) *faultCluster {
	c := &faultCluster{t: t, net: simnet.New(seed), tune: tune}
	for i := range size {
		gone := make(chan struct{})
		close(gone)
		c.members = append(c.members, &faultMember{
			c: c, name: fmt.Sprintf("m%d", i+1), host: fmt.Sprintf("10.0.0.%d", i+1),
			disk: simdisk.New(seed*16+uint64(i), 300*time.Microsecond), clock: faults.NewClock(), stopped: gone,
		})
	}
	return c
}

// form starts all members and makes them one cluster.
func (c *faultCluster) form(ctx context.Context) error {
	var voters []Server
	for _, m := range c.members {
		voters = append(voters, Server{Name: m.name, Address: m.host + ":7400", Voter: true})
		if err := c.Start(m.name); err != nil {
			return err
		}
	}
	c.starts.Wait()
	if err := c.members[0].now().Bootstrap(voters); err != nil {
		return err
	}
	for _, m := range c.members {
		if err := m.now().Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *faultCluster) member(name string) *faultMember {
	for _, m := range c.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

// now is the tier of the running process; nil while there is none.
func (m *faultMember) now() *Tier {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tier
}

func (c *faultCluster) Members() (names []string) {
	for _, m := range c.members {
		names = append(names, m.name)
	}
	return names
}

func (c *faultCluster) Leader() string {
	var term uint64
	var leader string
	for _, m := range c.members {
		if t := m.now(); t != nil && t.Leads() && t.raft.CurrentTerm() > term {
			term, leader = t.raft.CurrentTerm(), m.name
		}
	}
	return leader
}

func (c *faultCluster) Running(name string) bool {
	m := c.member(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running
}

func (c *faultCluster) Host(name string) string         { return c.member(name).host }
func (c *faultCluster) Net() *simnet.Net                { return c.net }
func (c *faultCluster) Disk(name string) *simdisk.Disk  { return c.member(name).disk }
func (c *faultCluster) Clock(name string) *faults.Clock { return c.member(name).clock }
func (c *faultCluster) addr(name string) (string, bool) {
	if m := c.member(name); m != nil {
		return m.host + ":7400", true
	}
	return "", false
}

// Kill takes network and disk away from the process at once; what is left of it is stopped beside.
func (c *faultCluster) Kill(name string, tail simdisk.Tail) {
	m := c.member(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.running {
		return
	}
	m.running = false
	c.net.Down(m.host)
	m.disk.Crash(tail)
	m.stop()
}

// stop stops the process, if there is one. Callers hold m.mu.
func (m *faultMember) stop() {
	tier := m.tier
	m.tier = nil
	if tier == nil {
		return
	}
	stopped := make(chan struct{})
	m.stopped = stopped
	m.c.starts.Go(func() {
		defer close(stopped)
		if err := errors.Join(tier.Close(), tier.cfg.Port.Close()); err != nil {
			m.c.t.Logf("stopping %s: %v", m.name, err)
		}
	})
}

// Stop hands the leadership over and closes the member, as a planned stop does.
func (c *faultCluster) Stop(name string) {
	m := c.member(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.running {
		return
	}
	m.running = false
	tier := m.tier
	m.tier = nil
	if tier == nil {
		return
	}
	stopped := make(chan struct{})
	m.stopped = stopped
	c.starts.Go(func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := tier.Handover(ctx); err != nil {
			c.t.Logf("%s does not hand over: %v", name, err)
		}
		if err := errors.Join(tier.Close(), tier.cfg.Port.Close()); err != nil {
			c.t.Logf("stopping %s: %v", name, err)
		}
	})
}

// Handover hands the leadership over beside.
func (c *faultCluster) Handover(name string) {
	tier := c.member(name).now()
	if tier == nil {
		return
	}
	c.starts.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := tier.Handover(ctx); err != nil {
			c.t.Logf("%s does not hand over: %v", name, err)
		}
	})
}

// Start begins to start the member; a process that can't start is started again every second, as a supervisor would.
func (c *faultCluster) Start(name string) error {
	m := c.member(name)
	m.mu.Lock()
	m.running = true
	m.start++
	start, stopped := m.start, m.stopped
	m.mu.Unlock()
	c.starts.Go(func() {
		<-stopped
		for first := true; ; first = false {
			m.mu.Lock()
			current := m.running && m.start == start
			if current && first {
				c.net.Up(m.host)
			}
			m.mu.Unlock()
			if !current {
				return
			}
			tier, err := m.open()
			if err == nil {
				m.mu.Lock()
				if m.tier = tier; !m.running || m.start != start {
					m.stop() // killed meanwhile
				}
				m.mu.Unlock()
				return
			}
			if first {
				c.t.Logf("%s does not start: %v", name, err)
			}
			<-time.After(time.Second)
		}
	})
	return nil
}

// faultLogger says nothing, as errors are what is asked for, unless everything is asked for.
func faultLogger() *slog.Logger {
	if os.Getenv("STRATA_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return testLogger()
}

func (m *faultMember) open() (*Tier, error) {
	port, err := peernet.Open(m.c.net.Host(m.host), m.host+":7400", peernet.Options{})
	if err != nil {
		return nil, err
	}
	cfg := Config{
		Name: m.name, Identity: [16]byte{m.host[len(m.host)-1]}, Port: port, Resolve: m.c.addr, Clock: m.clock.Now,
		Logger: faultLogger().With("member", m.name),
		Stores: func() (*Stores, error) {
			log, stable, snapshots := m.disk.Open()
			return &Stores{Log: log, Stable: stable, Snapshots: snapshots}, nil
		},
		tune: func(rc *raft.Config) {
			rc.SnapshotInterval, rc.SnapshotThreshold, rc.TrailingLogs = 5*time.Second, 200, 100
		},
	}
	if m.c.tune != nil {
		m.c.tune(&cfg)
	}
	tier, err := Open(cfg)
	if err != nil {
		return nil, errors.Join(err, port.Close())
	}
	if m.c.rec != nil {
		tier.OnSessionEnd(m.c.rec.SessionEnded)
	}
	return tier, nil
}

// stop ends everything.
func (c *faultCluster) stop() {
	for _, m := range c.members {
		m.disk.Set(simdisk.Faults{})
		m.mu.Lock()
		m.running = false
		m.stop()
		m.mu.Unlock()
	}
	c.starts.Wait()
}

// agree waits until all members have applied the same, and tells in what their trees differ.
func (c *faultCluster) agree(ctx context.Context) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	for {
		var zxids []tiers.Zxid
		for _, m := range c.members {
			zxids = append(zxids, m.now().tree.Zxid())
		}
		if slices.Max(zxids) == slices.Min(zxids) {
			break
		}
		if !pause(ctx, 50*time.Millisecond) {
			return fmt.Errorf("the members stay apart: zxids %v", zxids)
		}
	}
	var first []byte
	for i, m := range c.members {
		b, err := m.image()
		if err != nil {
			return err
		}
		if i == 0 {
			first = b
		} else if !bytes.Equal(first, b) {
			return fmt.Errorf("the trees of %s and %s differ at the same zxid", c.members[0].name, m.name)
		}
	}
	return nil
}

// image is the member's tree as a snapshot.
func (m *faultMember) image() ([]byte, error) {
	for {
		s, err := m.now().tree.Snapshot()
		if err != nil { // raft takes one just now
			<-time.After(10 * time.Millisecond)
			continue
		}
		var b bytes.Buffer
		_, err = s.WriteTo(&b)
		s.Release()
		return b.Bytes(), err
	}
}

// ready waits until every member serves again.
func (c *faultCluster) ready(ctx context.Context) error {
	var errs []error
	for _, m := range c.members {
		for m.now() == nil && pause(ctx, 100*time.Millisecond) {
		}
		if tier := m.now(); tier == nil {
			errs = append(errs, fmt.Errorf("%s does not start", m.name))
		} else if err := tier.Wait(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s does not serve a minute after everything was healed: %w", m.name, err))
		}
	}
	if len(errs) > 0 {
		for _, m := range c.members {
			if tier := m.now(); tier != nil {
				s := tier.Status()
				errs = append(errs, fmt.Errorf("%s: %s, leader %q, term %d, commit %d, applied %d, last %d, zxid %v, leads %v, read-only %v",
					m.name, s.State, s.Leader, s.Term, s.CommitIndex, s.Applied, s.LastIndex, s.Zxid, tier.Leads(), tier.ReadOnly()))
			}
		}
	}
	return errors.Join(errs...)
}
