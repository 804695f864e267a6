package eventual

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

const id = tiers.SessionID(1)

// record is what a member holds for a path.
func (m *member) record(path string) (r crdt.Record) {
	m.tier.view.mu.RLock()
	defer m.tier.view.mu.RUnlock()
	if x := m.tier.view.records.Get(path); x != nil {
		r = *x
	}
	return r
}

// A client moves to the other side of a partition; its former host ends the session there, later and with a faster clock.
func TestMoveInAPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		a, b, x := c.members[0], c.members[1], c.members[2]
		a.do(t, id, open(10*time.Second))
		a.do(t, id, create("/services/e", tiers.Ephemeral))
		for _, m := range c.members {
			c.until("all have it", func() bool { return m.has(t, "/services/e") })
		}
		c.net.Partition([]string{a.ip}, []string{b.ip, x.ip})
		b.do(t, id, open(10*time.Second))
		b.do(t, id, create("/services/f", tiers.Ephemeral))
		defer b.keep(id)()
		c.until("a ends it", func() bool { return !a.has(t, "/services/e") })
		<-time.After(time.Minute)
		c.net.Heal()
		for _, m := range c.members {
			c.until("all have what the new host holds", func() bool {
				return m.has(t, "/services/e") && m.has(t, "/services/f") && m.record("/services/e").Host == b.tier.origin
			})
		}
		// It may go back, too, although it has once ended there.
		a.do(t, id, open(10*time.Second))
		defer a.keep(id)()
		for _, m := range c.members {
			c.until("all have it at a", func() bool { return m.record("/services/f").Host == a.tier.origin })
		}
		c.until("b knows that it has gone", func() bool {
			_, err := tiers.Do(t.Context(), b.tier, tiers.Txn{Session: id, Ops: []tiers.Op{create("/services/g", tiers.Ephemeral)}})
			return errors.Is(err, tiers.ErrSessionExpired)
		})
		a.do(t, id, tiers.Op{Kind: tiers.OpCloseSession})
		for _, m := range c.members {
			c.until("all is gone", func() bool { return !m.has(t, "/services/e") && !m.has(t, "/services/f") })
		}
	})
}

// What a session left at its former host, unseen by the new one, goes with the session.
func TestLateRecords(t *testing.T) {
	for name, end := range map[string]bool{"live": false, "ended": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				a, b := c.members[0], c.members[1]
				a.do(t, id, open(time.Hour))
				c.net.Partition([]string{a.ip}, []string{b.ip, c.members[2].ip})
				a.do(t, id, create("/services/late", tiers.Ephemeral))
				b.do(t, id, open(time.Hour))
				if end {
					b.do(t, id, tiers.Op{Kind: tiers.OpCloseSession})
				}
				c.net.Heal()
				for _, m := range c.members {
					c.until("all agree", func() bool {
						if r := m.record("/services/late"); end {
							return r.Deleted && !m.has(t, "/services/late")
						} else {
							return r.Host == b.tier.origin && m.has(t, "/services/late")
						}
					})
				}
			})
		})
	}
}

// A new start of a member does not hold what its last one did: it goes after the session's timeout, unless the session comes back.
func TestRestartedHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		a, b := c.members[0], c.members[1]
		const timeout = 20 * time.Second
		for i, path := range []string{"/services/lost", "/services/back"} {
			s := tiers.SessionID(1 + i)
			a.do(t, s, open(timeout))
			a.do(t, s, create(path, tiers.Ephemeral))
			c.until("b has it", func() bool { return b.has(t, path) })
		}
		c.stop(a)
		c.start(a)
		begun := time.Now()
		c.until("a has them again", func() bool { return a.has(t, "/services/lost") && a.has(t, "/services/back") })
		a.do(t, 2, open(timeout))
		defer a.keep(2)()
		for _, m := range c.members {
			c.until("the lost one goes", func() bool { return !m.has(t, "/services/lost") })
		}
		if d := time.Since(begun); d < timeout || d > timeout+10*time.Second {
			t.Errorf("given up after %v", d)
		}
		<-time.After(timeout)
		for _, m := range c.members {
			if !m.has(t, "/services/back") {
				t.Errorf("%s lost what came back", m.name)
			}
		}
	})
}

// A host that was given up and comes back says again what is its own.
func TestHostComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		a, b, x := c.members[0], c.members[1], c.members[2]
		a.do(t, id, open(5*time.Second))
		a.do(t, id, create("/services/e", tiers.Ephemeral))
		defer a.keep(id)()
		c.until("b has it", func() bool { return b.has(t, "/services/e") })
		heard := make(chan tiers.Event, 10)
		if err := b.tier.AddWatch("/services/e", tiers.ScopePersistent, watcher(heard)); err != nil {
			t.Fatal(err)
		}
		c.net.Partition([]string{a.ip}, []string{b.ip, x.ip})
		c.until("b gives it up", func() bool { return !b.has(t, "/services/e") })
		if !a.has(t, "/services/e") {
			t.Error("the host gives its own up")
		}
		c.net.Heal()
		c.until("b has it again", func() bool { return b.has(t, "/services/e") })
		for _, want := range []tiers.EventType{tiers.NodeDeleted, tiers.NodeCreated} {
			if e := <-heard; e.Type != want {
				t.Errorf("heard %v, want %v", e.Type, want)
			}
		}
		// Even if somebody has buried it meanwhile.
		r := a.record("/services/e")
		buried := &crdt.Record{Path: r.Path, Epoch: r.Epoch, Clock: r.Clock + 1<<40, Origin: crdt.Origin{Name: "gone", Incarnation: 1}, Seq: 1,
			Deleted: true, Session: r.Session, Host: r.Host, Attached: r.Attached}
		x.tier.spread.take([]*crdt.Record{buried}, nil)
		if x.has(t, "/services/e") {
			t.Fatal("not buried")
		}
		for _, m := range c.members {
			c.until("the owner's word wins", func() bool { return m.has(t, "/services/e") && m.record("/services/e").Clock > buried.Clock })
		}
		// But what a client deletes stays deleted.
		x.do(t, 0, tiers.Op{Kind: tiers.OpDelete, Path: "/services/e", Version: tiers.AnyVersion})
		<-time.After(10 * time.Second)
		for _, m := range c.members {
			if m.has(t, "/services/e") {
				t.Errorf("%s still has what was deleted", m.name)
			}
		}
	})
}

// An ephemeral does not come back by the hand of somebody who did not know that its session had ended.
func TestSetAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		a, x := c.members[0], c.members[2]
		a.do(t, id, open(time.Hour))
		a.do(t, id, create("/services/e", tiers.Ephemeral))
		c.until("x has it", func() bool { return x.has(t, "/services/e") })
		c.net.Partition([]string{a.ip, c.members[1].ip}, []string{x.ip})
		a.do(t, id, tiers.Op{Kind: tiers.OpCloseSession})
		<-time.After(time.Second)
		x.do(t, 0, tiers.Op{Kind: tiers.OpSetData, Path: "/services/e", Data: []byte("late"), Version: tiers.AnyVersion})
		c.net.Heal()
		for _, m := range c.members {
			c.until("it is gone", func() bool { return !m.has(t, "/services/e") && string(m.record("/services/e").Origin.Name) == "m1" })
		}
		<-time.After(time.Minute)
		for _, m := range c.members {
			if m.has(t, "/services/e") {
				t.Errorf("%s has it again", m.name)
			}
		}
	})
}

// A session that moved back and forth leaves nothing in the tables of its former hosts.
func TestNothingIsKeptOfSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		a, b := c.members[0], c.members[1]
		for i := range 20 {
			s := tiers.SessionID(i + 1)
			a.do(t, s, open(time.Minute))
			a.do(t, s, create("/services/e", tiers.Ephemeral))
			c.until("b has it", func() bool { return b.has(t, "/services/e") })
			b.do(t, s, open(time.Minute))
			c.until("it has moved", func() bool { return a.record("/services/e").Host == b.tier.origin })
			b.do(t, s, tiers.Op{Kind: tiers.OpCloseSession})
			c.until("it is gone", func() bool { return !a.has(t, "/services/e") })
		}
		<-time.After(endedKept + time.Minute)
		for _, m := range c.members {
			v, w := m.tier.view, m.tier.writer
			v.mu.Lock()
			if n := len(w.sessions) + len(w.ended) + len(w.moved) + len(v.owned) + len(v.hosted) + len(v.hidden); n != 0 {
				t.Errorf("%s keeps %v %v %v %v %v %v", m.name, w.sessions, w.ended, w.moved, v.owned, v.hosted, v.hidden)
			}
			v.mu.Unlock()
		}
	})
}
