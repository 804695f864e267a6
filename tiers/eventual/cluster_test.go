package eventual

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/internal/simnet"
	"github.com/strata-coord/strata/tiers"
)

// cluster is an eventual tier of several members on a simulated network, for tests in synctest bubbles.
type cluster struct {
	t       *testing.T
	net     *simnet.Net
	members []*member
	tune    []func(*Config)
}

type member struct {
	name string
	ip   string
	dir  string
	// lonely is one that is told no seeds.
	lonely bool
	port   *peernet.Port
	tier   *Tier
}

func newCluster(t *testing.T, n int, tune ...func(*Config)) *cluster {
	c := &cluster{t: t, net: simnet.New(1), tune: tune}
	for i := range n {
		c.members = append(c.members, &member{name: fmt.Sprintf("m%d", i+1), ip: fmt.Sprintf("10.0.0.%d", i+1)})
	}
	for _, m := range c.members {
		c.start(m)
	}
	t.Cleanup(func() {
		for _, m := range c.members {
			c.stop(m)
		}
		// memberlist's Shutdown does not wait for a probe that is under way: it ends by its own timer.
		<-time.After(10 * time.Second)
	})
	c.until("everyone sees everyone", func() bool {
		for _, m := range c.members {
			if len(m.tier.gossip.reachable()) != n-1 {
				return false
			}
		}
		return true
	})
	return c
}

func testLogger() *slog.Logger {
	level := slog.LevelError
	if os.Getenv("STRATA_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

func newLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func (c *cluster) start(m *member) {
	c.t.Helper()
	port, err := peernet.Open(c.net.Host(m.ip), m.ip+":7400", peernet.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	m.port = port
	var seeds []string
	for _, x := range c.members {
		if !m.lonely {
			seeds = append(seeds, x.ip+":7400")
		}
	}
	cfg := Config{Name: m.name, Identity: [16]byte{m.name[1]}, Port: port, Seeds: seeds, Mounts: []string{"/services"}, Expire: true,
		Dir: m.dir, Zxid: func() tiers.Zxid { return 7 }, Logger: testLogger().With("member", m.name)}
	for _, f := range c.tune {
		f(&cfg)
	}
	if m.tier, err = Open(cfg); err != nil {
		c.t.Fatal(err)
	}
}

// stop ends a member without a goodbye.
func (c *cluster) stop(m *member) {
	c.t.Helper()
	if m.tier == nil {
		return
	}
	if err := m.tier.Close(); err != nil {
		c.t.Errorf("close %s: %v", m.name, err)
	}
	if err := m.port.Close(); err != nil {
		c.t.Errorf("close the port of %s: %v", m.name, err)
	}
	m.tier = nil
}

// until waits, for at most two minutes.
func (c *cluster) until(what string, ok func() bool) {
	c.t.Helper()
	for range 12000 {
		if ok() {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	c.t.Fatalf("it never came about that %s", what)
}

func (m *member) do(t *testing.T, s tiers.SessionID, op tiers.Op) {
	t.Helper()
	if _, err := tiers.Do(t.Context(), m.tier, tiers.Txn{Session: s, Ops: []tiers.Op{op}}); err != nil {
		t.Fatalf("at %s: %v", m.name, err)
	}
}

func (m *member) has(t *testing.T, path string) bool {
	t.Helper()
	_, err := m.tier.Read(t.Context(), tiers.Query{Path: path})
	return err == nil
}

func create(path string, mode tiers.CreateMode) tiers.Op {
	return tiers.Op{Kind: tiers.OpCreate, Path: path, Data: []byte(path), Mode: mode, ACL: tiers.OpenACL}
}

func open(timeout time.Duration) tiers.Op {
	return tiers.Op{Kind: tiers.OpOpenSession, Timeout: timeout}
}

// keep touches a session at m every second, until the returned function is called.
func (m *member) keep(id tiers.SessionID) (stop func()) {
	tier, done, over := m.tier, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Second):
				tier.Touch(id)
			}
		}
	}()
	return func() { close(done); <-over }
}
