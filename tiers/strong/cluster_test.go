package strong

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/internal/simnet"
	"github.com/strata-coord/strata/tiers"
)

// cluster is a strong tier of several members on a simulated network, for tests in synctest bubbles.
type cluster struct {
	t       *testing.T
	net     *simnet.Net
	members []*member
	tune    func(*Config) // nil: the defaults; called at each start
}

type member struct {
	name   string
	ip     string
	port   *peernet.Port
	tier   *Tier
	stores *Stores       // survive a restart
	touch  time.Duration // Config.TouchInterval of the next start
}

func newCluster(t *testing.T, n int) *cluster { return tunedCluster(t, n, nil) }

func tunedCluster(t *testing.T, n int, tune func(*Config)) *cluster {
	c := &cluster{t: t, net: simnet.New(1), tune: tune}
	for i := range n {
		log := raft.NewInmemStore()
		c.members = append(c.members, &member{
			name: fmt.Sprintf("m%d", i+1), ip: fmt.Sprintf("10.0.0.%d", i+1),
			stores: &Stores{Log: log, Stable: log, Snapshots: raft.NewInmemSnapshotStore()},
		})
	}
	for _, m := range c.members {
		c.start(m)
	}
	t.Cleanup(func() {
		for _, m := range c.members {
			c.stop(m)
		}
	})
	return c
}

func (c *cluster) addr(name string) (string, bool) {
	for _, m := range c.members {
		if m.name == name {
			return m.ip + ":7400", true
		}
	}
	return "", false
}

func testLogger() *slog.Logger {
	level := slog.LevelError
	if os.Getenv("STRATA_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

func (c *cluster) start(m *member) {
	c.t.Helper()
	port, err := peernet.Open(c.net.Host(m.ip), m.ip+":7400", peernet.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	m.port = port
	m.stores.Incarnation++
	cfg := Config{
		Name: m.name, Identity: [16]byte{byte(m.ip[len(m.ip)-1])}, Port: port, Resolve: c.addr,
		Logger: testLogger().With("member", m.name), TouchInterval: m.touch,
		Stores: func() (*Stores, error) { return m.stores, nil },
	}
	if c.tune != nil {
		c.tune(&cfg)
	}
	m.tier, err = Open(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
}

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

// form bootstraps the cluster of all members and waits until each is ready.
func (c *cluster) form() {
	c.t.Helper()
	var voters []Server
	for _, m := range c.members {
		a, _ := c.addr(m.name)
		voters = append(voters, Server{Name: m.name, Address: a, Voter: true})
	}
	if err := c.members[0].tier.Bootstrap(voters); err != nil {
		c.t.Fatal(err)
	}
	for _, m := range c.members {
		c.ready(m)
	}
}

func (c *cluster) ready(m *member) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	if err := m.tier.Wait(ctx); err != nil {
		c.t.Fatalf("%s is not ready: %v", m.name, err)
	}
}

// leader waits until some running member leads, other than the one named.
func (c *cluster) leader(other string) *member {
	c.t.Helper()
	for range 2000 {
		for _, m := range c.members {
			if m.tier != nil && m.name != other && m.tier.Leads() {
				return m
			}
		}
		<-time.After(5 * time.Millisecond)
	}
	c.t.Fatal("no leader")
	return nil
}

func (c *cluster) others(than *member) (ms []*member) {
	for _, m := range c.members {
		if m != than && m.tier != nil {
			ms = append(ms, m)
		}
	}
	return ms
}

func create(path, data string, mode tiers.CreateMode) tiers.Op {
	return tiers.Op{Kind: tiers.OpCreate, Path: path, Data: []byte(data), Mode: mode, ACL: tiers.OpenACL}
}

func set(path, data string) tiers.Op {
	return tiers.Op{Kind: tiers.OpSetData, Path: path, Data: []byte(data), Version: tiers.AnyVersion}
}

func (m *member) do(t *testing.T, s tiers.SessionID, ops ...tiers.Op) tiers.Receipt {
	t.Helper()
	r, err := tiers.Do(t.Context(), m.tier, tiers.Txn{Session: s, Ops: ops})
	if err != nil {
		t.Fatalf("at %s: %v", m.name, err)
	}
	return r
}

func (m *member) get(t *testing.T, path string) string {
	t.Helper()
	v, err := m.tier.Read(t.Context(), tiers.Query{Path: path, Want: tiers.WantData})
	if err != nil {
		t.Fatalf("at %s: %v", m.name, err)
	}
	return string(v.Data)
}
