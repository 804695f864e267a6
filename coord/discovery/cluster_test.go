package discovery_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/discovery"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/tiertest/memtier"
)

const service = "/services/api"

// small is a contract without txns of several ops and without conditions, as the eventual tier's.
var small = tiers.Contract{Tier: "eventual", Ephemeral: true, MinorityWritable: true}

// cluster is a tree in memory, and the members that use it.
type cluster struct {
	*memtier.Tier
	t        *testing.T
	sessions *memtier.Sessions
}

// inBubble runs f on fake time, over a tier that offers everything and over a small one. At its end no goroutine and no watch may be left.
func inBubble(t *testing.T, f func(t *testing.T, c *cluster)) {
	t.Helper()
	t.Parallel()
	for _, o := range []memtier.Options{{Contract: memtier.Full}, {Contract: small, Mounts: []string{"/services"}}} {
		t.Run(o.Contract.Tier, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tier := memtier.New(o)
				c := &cluster{Tier: tier, t: t, sessions: memtier.NewSessions(tier, time.Second, time.Minute)}
				defer tier.Close()
				defer c.sessions.Stop()
				f(t, c)
				synctest.Wait()
				if _, _, watches := tier.WatchStats(); watches != 0 {
					t.Errorf("%d watches are left", watches)
				}
			})
		})
	}
}

// member is a discovery.Node: like a coord.Node, it opens a session at first use and after a loss.
type member struct {
	*cluster
	tier tiers.Tier

	mu      sync.Mutex
	session *coord.Session // guarded by mu
}

func (c *cluster) member() *member { return &member{cluster: c, tier: c.sessions.Tier()} }

func (m *member) Tier() tiers.Tier { return m.tier }

func (m *member) Session(ctx context.Context) (*coord.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session != nil && m.session.Context().Err() == nil {
		return m.session, nil
	}
	s, err := coord.NewSession(ctx, m.tier, m.sessions, 10*time.Second)
	m.session = s
	return s, err
}

// leave ends the member's session.
func (m *member) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session != nil {
		_ = m.session.Close(context.Background()) // what it has lost is looked at in the tree
	}
}

// pass lets d of fake time pass, and everything happen that is due.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (c *cluster) watch(t *testing.T) *discovery.Watcher {
	t.Helper()
	w, err := discovery.Watch(t.Context(), c.member(), service)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (m *member) register(t *testing.T, i discovery.Instance) *discovery.Registration {
	t.Helper()
	r, err := discovery.Register(t.Context(), m, service, i)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func unregister(t *testing.T, r *discovery.Registration) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// ids are what w knows, after everything that is due.
func ids(w *discovery.Watcher) string {
	synctest.Wait()
	var all []string
	for _, i := range w.Instances() {
		all = append(all, i.ID)
	}
	return strings.Join(all, " ")
}

// want checks what w knows.
func want(t *testing.T, w *discovery.Watcher, all string) {
	t.Helper()
	if got := ids(w); got != all {
		t.Errorf("instances %q, want %q", got, all)
	}
}

func (c *cluster) do(session tiers.SessionID, op tiers.Op) {
	c.t.Helper()
	if _, err := tiers.Do(c.t.Context(), c.sessions.Tier(), tiers.Txn{Session: session, Ops: []tiers.Op{op}}); err != nil {
		c.t.Fatal(err)
	}
}

// create makes a znode as a client of ZooKeeper does, and the service before it.
func (c *cluster) create(session tiers.SessionID, name, data string, mode tiers.CreateMode) {
	c.t.Helper()
	for _, p := range []string{"/services", service} {
		_, err := tiers.Do(c.t.Context(), c, tiers.Txn{Ops: []tiers.Op{{Kind: tiers.OpCreate, Path: p, ACL: tiers.OpenACL}}})
		if err != nil && !errors.Is(err, tiers.ErrNodeExists) {
			c.t.Fatal(err)
		}
	}
	c.do(session, tiers.Op{Kind: tiers.OpCreate, Path: service + "/" + name, Data: []byte(data), Mode: mode, ACL: tiers.OpenACL})
}

func (c *cluster) remove(name string) {
	c.t.Helper()
	c.do(0, tiers.Op{Kind: tiers.OpDelete, Path: service + "/" + name, Version: tiers.AnyVersion})
}
