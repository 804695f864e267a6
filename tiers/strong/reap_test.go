package strong

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

func expiring(path string, ttl time.Duration) tiers.Op {
	op := create(path, "", tiers.PersistentTTL)
	op.TTL = ttl
	return op
}

func remove(path string) tiers.Op {
	return tiers.Op{Kind: tiers.OpDelete, Path: path, Version: tiers.AnyVersion}
}

// told is a Watcher that passes on.
type told chan tiers.Event

func (c told) Notify(ev tiers.Event) { c <- ev }

func (m *member) has(t *testing.T, path string) bool {
	t.Helper()
	_, err := m.tier.Read(t.Context(), tiers.Query{Path: path})
	if err != nil && !errors.Is(err, tiers.ErrNoNode) {
		t.Fatal(err)
	}
	return err == nil
}

func TestReapsAtEveryMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 50 * time.Millisecond
		c := tunedCluster(t, 3, func(cfg *Config) { cfg.ReapInterval = interval })
		c.form()
		m := c.others(c.leader(""))[0]
		m.do(t, 0, create("/unused", "", tiers.Container))
		m.do(t, 0, create("/c", "", tiers.Container), create("/c/x", "", tiers.Persistent))
		m.do(t, 0, create("/kept", "", tiers.Container), create("/kept/x", "", tiers.Persistent))
		m.do(t, 0, expiring("/parent", time.Millisecond), create("/parent/x", "", tiers.Persistent))
		m.do(t, 0, expiring("/soon", time.Millisecond), expiring("/touched", 10*time.Second), expiring("/late", time.Hour))
		gone := make(told, 9)
		if err := m.tier.AddWatch("/c", tiers.ScopePersistent, gone); err != nil {
			t.Fatal(err)
		}
		m.do(t, 0, remove("/c/x"))
		<-gone // the child
		if ev := <-gone; ev.Type != tiers.NodeDeleted || ev.Path != "/c" {
			t.Errorf("%+v", ev)
		}
		for range 3 {
			<-time.After(5 * time.Second)
			m.do(t, 0, set("/touched", "again"))
		}
		for _, x := range c.members {
			for path, want := range map[string]bool{"/unused": true, "/c": false, "/kept": true, "/parent": true, "/soon": false, "/touched": true, "/late": true} {
				if got := x.has(t, path); got != want {
					t.Errorf("at %s, %s is there: %v", x.name, path, got)
				}
			}
		}
		// The next leader goes on with it.
		leader := c.leader("")
		c.net.Down(leader.ip)
		c.leader(leader.name)
		m.do(t, 0, remove("/kept/x"))
		<-time.After(11 * time.Second)
		if m.has(t, "/kept") || m.has(t, "/touched") || !m.has(t, "/late") {
			t.Errorf("after an election: %v %v %v", m.has(t, "/kept"), m.has(t, "/touched"), m.has(t, "/late"))
		}
	})
}

// What is reaped in a minute is bounded.
func TestReapsTenThousandAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := tunedCluster(t, 1, func(cfg *Config) { cfg.ReapInterval = time.Second })
		c.form()
		m := c.members[0]
		m.do(t, 0, create("/p", "", tiers.Persistent))
		const n = 2*reapedPerMinute + 500
		for i := 0; i < n; i += 500 {
			var ops []tiers.Op
			for j := range 500 {
				ops = append(ops, expiring(fmt.Sprintf("/p/%d", i+j), time.Millisecond))
			}
			m.do(t, 0, ops...)
		}
		left := func() int32 {
			v, err := m.tier.ReadLocal(tiers.Query{Path: "/p", Want: tiers.WantDescendants})
			if err != nil {
				t.Fatal(err)
			}
			return v.Count
		}
		for _, want := range []int32{n - reapedPerMinute, n - 2*reapedPerMinute, 0} {
			<-time.After(30 * time.Second)
			if got := left(); got != want {
				t.Errorf("%d are left, want %d", got, want)
			}
			<-time.After(31 * time.Second)
		}
	})
}
