package eventual

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

func TestRegistrationsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		a, b := c.members[0], c.members[1]
		heard := make(chan tiers.Event, 10)
		if err := b.tier.AddWatch("/services/api", tiers.ScopePersistent, watcher(heard)); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		a.do(t, 0, create("/services/api", tiers.Persistent))
		a.do(t, 9, open(10*time.Second))
		a.do(t, 9, create("/services/api/one", tiers.Ephemeral))
		for _, m := range c.members {
			c.until("everyone has it", func() bool { return m.has(t, "/services/api/one") })
		}
		if d := time.Since(begun); d > 50*time.Millisecond {
			t.Errorf("it took %v although nothing is in the way", d)
		}
		if e := <-heard; e.Type != tiers.NodeCreated {
			t.Errorf("first event %v", e)
		}
		if e := <-heard; e.Type != tiers.NodeChildrenChanged {
			t.Errorf("second event %v", e)
		}
		a.do(t, 9, tiers.Op{Kind: tiers.OpCloseSession})
		for _, m := range c.members {
			c.until("it is gone everywhere", func() bool { return !m.has(t, "/services/api/one") })
			if !m.has(t, "/services/api") {
				t.Errorf("%s lost the persistent parent", m.name)
			}
		}
	})
}

type watcher chan tiers.Event

func (w watcher) Notify(e tiers.Event) { w <- e }

// Both sides of a partition go on reading and writing, for longer than memberlist remembers anyone, and converge after it.
func TestLongPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		a, b, x := c.members[0], c.members[1], c.members[2]
		a.do(t, 1, open(time.Hour))
		a.do(t, 1, create("/services/before", tiers.Ephemeral))
		c.until("b has it", func() bool { return b.has(t, "/services/before") })

		c.net.Partition([]string{a.ip}, []string{b.ip, x.ip})
		<-time.After(5 * time.Minute)
		a.do(t, 1, create("/services/at-a", tiers.Ephemeral))
		b.do(t, 0, create("/services/at-b", tiers.Persistent))
		c.until("the majority converges", func() bool { return x.has(t, "/services/at-b") })
		for _, m := range c.members {
			if !m.has(t, "/services/before") {
				t.Errorf("%s lost what was there before the partition", m.name)
			}
		}
		if b.has(t, "/services/at-a") {
			t.Error("the network is not cut")
		}
		c.net.Heal()
		for _, m := range c.members {
			c.until("all converge", func() bool { return m.has(t, "/services/at-a") && m.has(t, "/services/at-b") })
		}
	})
}

// A dead host's ephemerals stay for the session's timeout, then go; a member that cannot reach a majority keeps them.
func TestDeadHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		a, b, x := c.members[0], c.members[1], c.members[2]
		const timeout = 10 * time.Second
		for i, m := range []*member{a, b} {
			id := tiers.SessionID(1 + i)
			m.do(t, id, open(timeout))
			m.do(t, id, create("/services/by-"+m.name, tiers.Ephemeral))
			defer m.keep(id)()
		}
		for _, m := range c.members {
			c.until("all have both", func() bool { return m.has(t, "/services/by-m1") && m.has(t, "/services/by-m2") })
		}
		c.stop(a)
		died := time.Now()
		c.until("b gives a's up", func() bool { return !b.has(t, "/services/by-m1") })
		if d := time.Since(died); d < timeout || d > timeout+15*time.Second {
			t.Errorf("given up after %v", d)
		}
		c.stop(b)
		<-time.After(time.Minute)
		if !x.has(t, "/services/by-m2") {
			t.Error("the last member forgot what it cannot know to be gone")
		}
	})
}

// A client that moves to another member keeps its ephemerals, whoever hosted them.
func TestAdoption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		a, b := c.members[0], c.members[1]
		a.do(t, 1, open(10*time.Second))
		a.do(t, 1, create("/services/e", tiers.Ephemeral))
		c.until("b has it", func() bool { return b.has(t, "/services/e") })
		c.stop(a)
		b.do(t, 1, open(10*time.Second))
		defer b.keep(1)()
		<-time.After(2 * time.Minute)
		for _, m := range c.members[1:] {
			if !m.has(t, "/services/e") {
				t.Errorf("%s lost it", m.name)
			}
		}
		b.do(t, 1, tiers.Op{Kind: tiers.OpCloseSession})
		c.until("it ends with its session", func() bool { return !c.members[2].has(t, "/services/e") })
	})
}

// Znodes survive a restart of the only member.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		m := c.members[0]
		c.stop(m)
		m.dir = t.TempDir()
		c.start(m)
		m.do(t, 0, create("/services/kept", tiers.Persistent))
		m.do(t, 0, create("/services/deleted", tiers.Persistent))
		m.do(t, 0, tiers.Op{Kind: tiers.OpDelete, Path: "/services/deleted", Version: tiers.AnyVersion})
		m.do(t, 1, open(time.Second))
		m.do(t, 1, create("/services/e", tiers.Ephemeral))
		m.do(t, 2, open(time.Second))
		m.do(t, 2, create("/services/f", tiers.Ephemeral))
		first := m.tier.origin
		c.stop(m)
		c.start(m)
		if m.tier.origin.Incarnation <= first.Incarnation {
			t.Errorf("incarnation %d after %d", m.tier.origin.Incarnation, first.Incarnation)
		}
		// Ephemerals wait for their clients, for the timeouts of their sessions: one comes back, the other doesn't.
		if !m.has(t, "/services/kept") || m.has(t, "/services/deleted") || !m.has(t, "/services/e") || !m.has(t, "/services/f") {
			t.Error("not what was there before the restart")
		}
		m.do(t, 1, open(time.Hour))
		restarted := time.Now()
		c.until("who did not come back is given up", func() bool { return !m.has(t, "/services/f") })
		if d := time.Since(restarted); d < time.Second || d > 2*time.Second || !m.has(t, "/services/e") {
			t.Errorf("given up after %v", d)
		}
		c.stop(m)

		path := filepath.Join(m.dir, journalFile)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := appendFrame(nil, []*crdt.Record{{Path: "/services/late", Clock: 1, Origin: first, Seq: 99}})
		if err != nil {
			t.Fatal(err)
		}
		write := func(b []byte) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(append(append([]byte{}, whole...), frame[:len(frame)-3]...))
		c.start(m)
		if !m.has(t, "/services/kept") || m.has(t, "/services/late") {
			t.Error("a torn tail was not dropped")
		}
		c.stop(m)
		bad := append(append([]byte{}, whole...), frame...)
		bad[10] ^= 1
		write(bad)
		if _, err := Open(Config{Name: m.name, Port: m.port, Dir: m.dir}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("a corrupt journal: %v", err)
		}
		write(nil)
	})
}

// Everybody writes the same paths at once; all end with the same.
func TestConvergence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.net.SetDelay(time.Millisecond, 40*time.Millisecond)
		c.net.SetLoss(0.2)
		var work sync.WaitGroup
		for _, m := range c.members {
			work.Go(func() {
				for i := range 300 {
					path := "/services/" + string(rune('a'+i%7))
					op := create(path, tiers.Persistent)
					switch i % 3 {
					case 1:
						op = tiers.Op{Kind: tiers.OpSetData, Path: path, Data: []byte(m.name), Version: tiers.AnyVersion}
					case 2:
						op = tiers.Op{Kind: tiers.OpDelete, Path: path, Version: tiers.AnyVersion}
					}
					_, err := tiers.Do(t.Context(), m.tier, tiers.Txn{Ops: []tiers.Op{op}})
					if err != nil && !errors.Is(err, tiers.ErrNoNode) && !errors.Is(err, tiers.ErrNodeExists) {
						t.Error(err)
					}
					<-time.After(time.Millisecond)
				}
			})
		}
		work.Wait()
		dump := func(m *member) string {
			s := ""
			for i := range 7 {
				path := "/services/" + string(rune('a'+i))
				v, err := m.tier.Read(t.Context(), tiers.Query{Path: path, Want: tiers.WantData})
				if err == nil {
					s += path + "=" + string(v.Data) + " "
				}
			}
			return s
		}
		c.until("all are the same", func() bool {
			return dump(c.members[0]) == dump(c.members[1]) && dump(c.members[1]) == dump(c.members[2])
		})
	})
}
