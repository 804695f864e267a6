package strong

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/tiers"
)

// gap writes at m, one at a time, and returns the longest time without an answer during f.
func gap(t *testing.T, m *member, f func()) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	longest := make(chan time.Duration)
	go func() {
		var worst time.Duration
		last := time.Now()
		for ctx.Err() == nil {
			_, err := tiers.Do(ctx, m.tier, tiers.Txn{Ops: []tiers.Op{set("/x", "v")}})
			now := time.Now()
			if err == nil || ctx.Err() != nil {
				worst, last = max(worst, now.Sub(last)), now
			}
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
			}
		}
		longest <- worst
	}()
	<-time.After(time.Second)
	f()
	<-time.After(5 * time.Second)
	cancel()
	return <-longest
}

func (c *cluster) elections() (terms uint64) {
	for _, m := range c.members {
		if m.tier != nil {
			terms = max(terms, m.tier.raft.CurrentTerm())
		}
	}
	return terms
}

func TestSuccession(t *testing.T) {
	for _, test := range []struct {
		name    string
		members int
		fault   func(c *cluster, leader *member)
		within  time.Duration // writes are answered again
	}{
		{"killed", 3, func(c *cluster, leader *member) { c.stop(leader) }, 100 * time.Millisecond},
		{"killed of five", 5, func(c *cluster, leader *member) { c.stop(leader) }, 100 * time.Millisecond},
		{"hung", 3, func(c *cluster, leader *member) {
			for _, m := range c.others(leader) {
				c.net.Partition([]string{leader.ip}, []string{m.ip})
			}
		}, 450 * time.Millisecond},
		{"hung of five, with a dead one", 5, func(c *cluster, leader *member) {
			c.stop(c.others(leader)[3])
			for _, m := range c.others(leader) {
				c.net.Partition([]string{leader.ip}, []string{m.ip})
			}
		}, 450 * time.Millisecond},
		{"handed over", 3, func(c *cluster, leader *member) {
			if err := leader.tier.Handover(c.t.Context()); err != nil {
				c.t.Error(err)
			}
		}, 100 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, test.members)
				c.net.SetDelay(100*time.Microsecond, time.Millisecond)
				c.form()
				leader := c.leader("")
				m := c.others(leader)[0]
				m.do(t, 0, create("/x", "", tiers.Persistent))
				before := c.elections()
				worst := gap(t, m, func() { test.fault(c, leader) })
				if worst > test.within {
					t.Errorf("%v without an acknowledged write, want at most %v", worst, test.within)
				}
				if n := c.elections() - before; n != 1 {
					t.Errorf("%d terms for one succession", n)
				}
				if now := c.leader(""); now == leader && test.name != "handed over" {
					t.Error("the old leader leads")
				}
			})
		})
	}
}

// Who alone does not hear the leader deposes nobody, by whatever way it does not.
func TestALoneMemberDeposesNobody(t *testing.T) {
	for _, test := range []struct {
		name string
		cut  func(c *cluster, leader, alone, other *member)
	}{
		{"cut off", func(c *cluster, leader, alone, other *member) {
			c.net.Partition([]string{alone.ip}, []string{leader.ip, other.ip})
		}},
		{"cut from the leader", func(c *cluster, leader, alone, _ *member) { c.net.Partition([]string{alone.ip}, []string{leader.ip}) }},
		{"deaf to the leader", func(c *cluster, leader, alone, _ *member) { c.net.Cut(leader.ip, alone.ip) }},
		{"unheard by the leader", func(c *cluster, leader, alone, _ *member) { c.net.Cut(alone.ip, leader.ip) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				c.form()
				leader := c.leader("")
				others := c.others(leader)
				leader.do(t, 0, create("/x", "", tiers.Persistent))
				before := c.elections()
				worst := gap(t, others[1], func() {
					test.cut(c, leader, others[0], others[1])
					<-time.After(20 * time.Second)
				})
				c.net.Heal()
				<-time.After(5 * time.Second)
				if worst > 100*time.Millisecond {
					t.Errorf("%v without an acknowledged write", worst)
				}
				if n := c.elections() - before; n != 0 {
					t.Errorf("%d elections", n)
				}
			})
		})
	}
}

// Three sites with 40 ms between them: the patience follows the round trips, nobody is deposed, and a hung leader is still replaced.
func TestSuccessionAcrossSites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.net.SetDelay(18*time.Millisecond, 40*time.Millisecond)
		c.form()
		leader := c.leader("")
		m := c.others(leader)[0]
		m.do(t, 0, create("/x", "", tiers.Persistent))
		before := c.elections()
		if worst := gap(t, m, func() { <-time.After(time.Minute) }); worst > 500*time.Millisecond {
			t.Errorf("%v without an acknowledged write while nothing happened", worst)
		}
		if n := c.elections() - before; n != 0 {
			t.Errorf("%d elections while nothing happened", n)
		}
		if bound, rtt := m.tier.detector.figures(); rtt < 40*time.Millisecond || bound < 4*rtt || bound > 500*time.Millisecond {
			t.Errorf("bound %v with round trips of at most %v", bound, rtt)
		}
		worst := gap(t, m, func() { c.net.Partition([]string{leader.ip}, []string{c.others(leader)[0].ip, c.others(leader)[1].ip}) })
		if worst > 1200*time.Millisecond {
			t.Errorf("%v without an acknowledged write after the leader's site was lost", worst)
		}
	})
}

func TestDetector(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	now := time.Now()
	d := newDetector(200*ms, 2*time.Second, now)
	e := epoch{"m1", 3}
	gone := func() bool { g, _ := d.gone(now); return g }
	pass := func(by time.Duration, answer func(sent time.Time)) {
		for end := now.Add(by); now.Before(end); {
			now = now.Add(d.every)
			if d.tick(e, now) && answer != nil {
				answer(now)
			}
		}
	}
	yes := func(sent time.Time) { d.answered(e, sent, sent.Add(ms), true, false, nil) }
	pass(time.Second, yes)
	if gone() {
		t.Error("a leader that answers is gone")
	}
	pass(280*ms, nil)
	if gone() {
		t.Error("gone before the bound")
	}
	pass(60*ms, nil)
	if !gone() {
		t.Error("not gone after the bound")
	}
	// A pause of this process is not a silence of the leader.
	pass(100*ms, yes)
	now = now.Add(time.Minute)
	pass(200*ms, nil)
	if gone() {
		t.Error("gone because this process was paused")
	}
	d.answered(e, now.Add(-30*time.Second), now, true, false, nil)
	if _, rtt := d.figures(); rtt != ms {
		t.Errorf("round trip %v because this process was paused", rtt)
	}
	pass(100*ms, yes)
	// An answer from an old leader says nothing about the new one.
	old := e
	e = epoch{"m2", 4}
	pass(20*ms, nil)
	d.answered(old, now.Add(-time.Second), now, true, false, nil)
	if bound, rtt := d.figures(); bound != 300*ms || rtt != ms {
		t.Errorf("bound %v, round trip %v after a late answer of an old leader", bound, rtt)
	}
	d.answered(e, now, now, false, true, errors.New("refused"))
	if !gone() {
		t.Error("a leader whose address refuses is not gone")
	}
	pass(20*ms, yes)
	if gone() {
		t.Error("still gone after an answer")
	}
	d.answered(e, now, now, false, false, nil)
	if !gone() {
		t.Error("a leader that says no is not gone")
	}
	// Long round trips stretch the bound, up to its own.
	pass(20*ms, func(now time.Time) { d.answered(e, now.Add(-200*ms), now, true, false, nil) })
	if bound, _ := d.figures(); bound != 800*ms {
		t.Errorf("bound %v with round trips of 200 ms", bound)
	}
	pass(40*time.Second, yes)
	if bound, _ := d.figures(); bound != 300*ms {
		t.Errorf("bound %v long after", bound)
	}
	e = epoch{"", 4}
	pass(200*ms, nil)
	if !gone() {
		t.Error("no leader, and not gone")
	}
}

// A member that comes back after a minute is at once one that the cluster can stand on.
func TestAReturnedMemberCountsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		leader := c.leader("")
		others := c.others(leader)
		leader.do(t, 0, create("/x", "", tiers.Persistent))
		c.stop(others[0])
		for range 60 {
			leader.do(t, 0, set("/x", "v"))
			<-time.After(time.Second)
		}
		c.start(others[0])
		<-time.After(500 * time.Millisecond)
		c.stop(others[1])
		begin := time.Now()
		leader.do(t, 0, set("/x", "w"))
		if d := time.Since(begin); d > 200*time.Millisecond {
			t.Errorf("a write took %v", d)
		}
	})
}

// Where an election takes longer than raft's timeout at first, as the disks are slow, the cluster still finds a leader.
func TestElectionsOnSlowDisks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		for _, m := range c.members {
			c.stop(m)
			m.stores.Stable = slowStable{m.stores.Stable, 400 * time.Millisecond}
			c.start(m)
		}
		c.form()
		m := c.others(c.leader(""))[0]
		m.do(t, 0, create("/x", "", tiers.Persistent))
		if worst := gap(t, m, func() { c.stop(c.leader("")); <-time.After(20 * time.Second) }); worst > 15*time.Second {
			t.Errorf("%v without an acknowledged write", worst)
		}
	})
}

// slowStable takes its time for each write.
type slowStable struct {
	raft.StableStore
	d time.Duration
}

func (s slowStable) Set(k, v []byte) error {
	<-time.After(s.d)
	return s.StableStore.Set(k, v)
}

func (s slowStable) SetUint64(k []byte, v uint64) error {
	<-time.After(s.d)
	return s.StableStore.SetUint64(k, v)
}
