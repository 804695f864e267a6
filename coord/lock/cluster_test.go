package lock_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/tiertest/memtier"
)

const path = "/locks/db/users/shards/00"

// cluster is a tree in memory, and the members that contend in it.
type cluster struct {
	*memtier.Tier
	t        *testing.T
	sessions *memtier.Sessions
}

// inBubble runs f on fake time. At its end no goroutine and no watch may be left.
func inBubble(t *testing.T, f func(t *testing.T, c *cluster)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tier := memtier.New(memtier.Options{})
		c := &cluster{Tier: tier, t: t, sessions: memtier.NewSessions(tier, time.Second, time.Minute)}
		defer tier.Close()
		defer c.sessions.Stop()
		f(t, c)
		synctest.Wait()
		if _, _, watches := tier.WatchStats(); watches != 0 {
			t.Errorf("%d watches are left", watches)
		}
	})
}

// member is a lock.Node: like a coord.Node, it opens a session at first use and after a loss.
type member struct {
	tier     tiers.Tier
	sessions tiers.Sessions
	renewals *renewals // the same, if this member counts them

	mu      sync.Mutex
	session *coord.Session // guarded by mu
}

// member joins one, with a tier between it and the tree if between is not nil.
func (c *cluster) member(between func(tiers.Tier) tiers.Tier) *member {
	m := &member{tier: c.sessions.Tier(), sessions: c.sessions}
	if between != nil {
		m.tier = between(m.tier)
	}
	return m
}

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

// timed joins a member that knows how long its session is safe, and can be cut off.
func (c *cluster) timed() *member {
	m := c.member(nil)
	m.renewals = &renewals{Sessions: c.sessions}
	m.sessions = m.renewals
	return m
}

// renewals is a session table that tells of one session how long it is safe.
type renewals struct {
	*memtier.Sessions
	mu   sync.Mutex
	off  bool      // renewals are lost. Guarded by mu
	last time.Time // guarded by mu
}

func (r *renewals) Open(ctx context.Context, timeout time.Duration, cut func(error)) (tiers.Lease, error) {
	r.mu.Lock()
	r.last = time.Now()
	r.mu.Unlock()
	return r.Sessions.Open(ctx, timeout, cut)
}

func (r *renewals) Touch(id tiers.SessionID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.off {
		r.last = time.Now()
		r.Sessions.Touch(id)
	}
}

func (r *renewals) SafeUntil(tiers.SessionID) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last.Add(10 * time.Second)
}

// cut loses the renewals from now on, or no longer.
func (r *renewals) cut(off bool) {
	r.mu.Lock()
	r.off = off
	r.mu.Unlock()
}

// leave ends the member's session.
func (m *member) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session != nil {
		_ = m.session.Close(context.Background()) // what it has lost is looked at in the tree
	}
}

// contenders are the children of the lock, in the order of the queue.
func (c *cluster) contenders() []string {
	c.t.Helper()
	view, err := c.Read(c.t.Context(), tiers.Query{Path: path, Want: tiers.WantChildren})
	if err != nil && !errors.Is(err, tiers.ErrNoNode) {
		c.t.Fatal(err)
	}
	return slices.SortedFunc(slices.Values(view.Children), func(a, b string) int { return strings.Compare(a[len(a)-10:], b[len(b)-10:]) })
}

// waitFor waits until the queue is n long.
func (c *cluster) waitFor(n int) {
	c.t.Helper()
	synctest.Wait()
	if got := c.contenders(); len(got) != n {
		c.t.Fatalf("%d contenders, want %d: %q", len(got), n, got)
	}
}

func (c *cluster) do(session tiers.SessionID, ops ...tiers.Op) tiers.Receipt {
	c.t.Helper()
	r, err := tiers.Do(c.t.Context(), c.sessions.Tier(), tiers.Txn{Session: session, Ops: ops})
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *cluster) remove(path string) {
	c.t.Helper()
	c.do(0, tiers.Op{Kind: tiers.OpDelete, Path: path, Version: tiers.AnyVersion})
}
