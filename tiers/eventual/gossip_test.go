package eventual

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/tiers"
)

// sees is what m knows of a member.
func (m *member) sees(name string) (x Member) {
	for _, x := range m.tier.Members() {
		if x.Name == name {
			return x
		}
	}
	return x
}

func TestMembersAndMeta(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		a, b := c.members[0], c.members[1]
		m := b.sees("m1")
		if m.State != Alive || m.Addr != "10.0.0.1:7400" || m.Identity != a.tier.cfg.Identity || m.Incarnation != a.tier.origin.Incarnation {
			t.Errorf("b sees %+v", m)
		}
		for len(b.tier.Changed()) > 0 {
			<-b.tier.Changed()
		}
		if err := a.tier.SetMeta([]byte("voter")); err != nil {
			t.Fatal(err)
		}
		<-b.tier.Changed()
		if m := b.sees("m1"); string(m.Meta) != "voter" {
			t.Errorf("b sees %+v", m)
		}
		if err := a.tier.SetMeta(make([]byte, maxMeta+1)); err == nil {
			t.Error("took too much metadata")
		}
	})
}

// Who says goodbye does not count when a majority is looked for; who dies does.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		a, b, x := c.members[0], c.members[1], c.members[2]
		b.do(t, id, open(10*time.Second))
		b.do(t, id, create("/services/e", tiers.Ephemeral))
		c.until("a has it", func() bool { return a.has(t, "/services/e") })
		for _, m := range []*member{b, x} {
			if err := m.tier.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.stop(m)
			c.until("a sees that it left", func() bool { return a.sees(m.name).State == Left })
		}
		if !a.has(t, "/services/e") {
			t.Error("a record is gone before its session's timeout")
		}
		c.until("the record of a member that left is given up by the last one", func() bool { return !a.has(t, "/services/e") })
		if v, err := a.tier.Read(t.Context(), tiers.Query{Path: "/services"}); err != nil || v.Staleness != 0 {
			t.Errorf("alone: %v, %v", v.Staleness, err)
		}
		c.start(b)
		c.until("it is back", func() bool { return a.sees("m2").State == Alive && b.sees("m1").State == Alive })
		c.stop(b)
		c.until("it is dead", func() bool { return a.sees("m2").State == Dead })
		if err := a.tier.Close(); err != nil {
			t.Fatal(err)
		}
		if err := a.tier.Leave(t.Context()); err == nil {
			t.Error("left after Close")
		}
	})
}

// A member that has a new address comes back under its name.
func TestNewAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		a, b := c.members[0], c.members[1]
		c.stop(b)
		identity := [16]byte{'2'}
		b.ip = "10.0.1.2"
		c.start(b)
		c.until("a finds it", func() bool {
			m := a.sees("m2")
			return m.State == Alive && m.Addr == b.ip+":7400" && m.Identity == identity
		})
		b.do(t, 0, create("/services/from-there", tiers.Persistent))
		c.until("records come from there", func() bool { return a.has(t, "/services/from-there") })
	})
}

// Members find each other again without seeds, by what they keep on disk.
func TestRejoinWithoutSeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dirs := []string{t.TempDir(), t.TempDir()} // removed after the members have stopped
		c := newCluster(t, 2)
		for i, m := range c.members {
			c.stop(m)
			m.dir = dirs[i]
			c.start(m)
		}
		all := func() bool {
			return c.members[0].sees("m2").State == Alive && c.members[1].sees("m1").State == Alive
		}
		c.until("they meet", all)
		for _, m := range c.members {
			c.stop(m)
			m.lonely = true
		}
		for _, m := range c.members {
			c.start(m)
		}
		c.until("they meet again", all)
	})
}

// Who is gone for good is forgotten: after a while, or when told so.
func TestForgetMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const age = 10 * time.Minute
		c := newCluster(t, 4, func(c *Config) { c.TombstoneAge = age })
		a := c.members[0]
		if a.tier.Forget("m2"); a.sees("m2").State != Alive {
			t.Error("a live member is forgotten")
		}
		c.stop(c.members[1])
		c.stop(c.members[2])
		c.until("they are dead", func() bool { return a.sees("m2").State == Dead && a.sees("m3").State == Dead })
		if a.tier.hosts().majority {
			t.Error("two of four are a majority")
		}
		if a.tier.Forget("m2"); a.sees("m2").Name != "" {
			t.Error("not forgotten")
		}
		if !a.tier.hosts().majority {
			t.Error("two of three are no majority")
		}
		<-time.After(age + 5*time.Minute)
		if n := len(a.tier.Members()); n != 2 {
			t.Errorf("%d members are known", n)
		}
	})
}

// A member that comes late gets everything, in messages of bounded size; and what was too much for the queue follows, too.
func TestMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		a, b := c.members[0], c.members[1]
		c.stop(b)
		c.until("a is alone", func() bool { return len(a.tier.gossip.reachable()) == 0 })
		for i := range 3000 {
			a.do(t, 0, create(fmt.Sprintf("/services/small-%d", i), tiers.Persistent))
		}
		large := func(i int) {
			op := create(fmt.Sprintf("/services/large-%d", i), tiers.Persistent)
			op.Data = bytes.Repeat([]byte{byte(i)}, 3<<20)
			a.do(t, 0, op)
		}
		for i := range 3 {
			large(i)
		}
		c.start(b)
		count := func() int { return b.tier.Stats().Records }
		c.until("b has all", func() bool { return count() == 3003 })
		for i := 3; i < 12; i++ { // beyond maxOutbox
			large(i)
		}
		c.until("b has all", func() bool { return count() == 3012 })
		op := create("/services/larger", tiers.Persistent)
		op.Data = make([]byte, maxData+1)
		if _, err := tiers.Do(t.Context(), a.tier, tiers.Txn{Ops: []tiers.Op{op}}); !errors.Is(err, tiers.ErrTooLarge) {
			t.Errorf("data without bounds: %v", err)
		}
	})
}

func TestStaleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		a := c.members[0]
		staleness := func() time.Duration {
			v, err := a.tier.Read(t.Context(), tiers.Query{Path: "/services"})
			if err != nil {
				t.Fatal(err)
			}
			return v.Staleness
		}
		for range 50 {
			<-time.After(500 * time.Millisecond)
			if d := staleness(); d <= 0 || d > 2*time.Second {
				t.Fatalf("%v behind, all being well", d)
			}
		}
		c.net.Partition([]string{a.ip}, []string{c.members[1].ip, c.members[2].ip})
		<-time.After(2500 * time.Millisecond)
		if d := staleness(); d < 2*time.Second && len(a.tier.gossip.reachable()) > 0 {
			t.Errorf("%v behind who can't be heard", d)
		}
		c.until("a is alone, and behind nobody", func() bool { return len(a.tier.gossip.reachable()) == 0 && staleness() == 0 })
		<-time.After(time.Minute)
		c.net.Heal()
		c.until("somebody is back", func() bool { return len(a.tier.gossip.reachable()) > 0 })
		c.until("it is up to date", func() bool { return len(a.tier.gossip.reachable()) == 2 && staleness() < 2*time.Second })
	})
}

// Records of another label are refused, whoever sends them.
func TestLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		s := c.members[0].tier.spread
		x := sample()
		b, err := encode(x)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.handle(s.delta)(t.Context(), c.members[0].port.Addr(), b); err == nil || !strings.Contains(err.Error(), "label") {
			t.Errorf("records of label %q: %v", x.label, err)
		}
		if _, err := s.handle(s.delta)(t.Context(), c.members[0].port.Addr(), []byte("x")); err == nil {
			t.Error("took what is no message")
		}
		if n := c.members[0].tier.Stats().Records; n != 0 {
			t.Errorf("%d records", n)
		}
	})
}

// Open and Close, again and again, on one port of the real network, leave nothing behind.
func TestNoLeaks(t *testing.T) {
	running := goleak.IgnoreCurrent()
	var ports []*peernet.Port
	for range 2 {
		p, err := peernet.Open(peernet.System(), "127.0.0.1:0", peernet.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, p)
	}
	dir := t.TempDir()
	for i := range 10 {
		var ts []*Tier
		for j, p := range ports {
			x, err := Open(Config{Name: fmt.Sprint("m", j), Port: p, Seeds: []string{ports[1-j].Addr().String()}, Dir: fmt.Sprint(dir, j), Mounts: []string{"/services"},
				ProbeInterval: 100 * time.Millisecond, ProbeTimeout: 50 * time.Millisecond, JoinInterval: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			ts = append(ts, x)
		}
		a, b := &member{tier: ts[0]}, &member{tier: ts[1]}
		a.do(t, 0, create(fmt.Sprintf("/services/%d", i), tiers.Persistent))
		for deadline := time.Now().Add(20 * time.Second); b.tier.Stats().Records != i+1; <-time.After(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("round %d: b has %d records", i, b.tier.Stats().Records)
			}
		}
		for _, x := range ts {
			if err := errors.Join(x.Close(), x.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, p := range ports {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// memberlist's probes end by their own timers.
	for deadline := time.Now().Add(10 * time.Second); goleak.Find(running) != nil && time.Now().Before(deadline); {
		<-time.After(10 * time.Millisecond)
	}
	goleak.VerifyNone(t, running)
}
