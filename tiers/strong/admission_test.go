package strong

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/tiers"
)

// wipe gives a member that is down empty stores, and another identity.
func (c *cluster) wipe(m *member) {
	log := raft.NewInmemStore()
	m.stores = &Stores{Log: log, Stable: log, Snapshots: raft.NewInmemSnapshotStore()}
}

// TestWipedVoterIsNoVoter: a write is acknowledged by the leader and a voter that then loses its disk. Started again under its name, it must not elect, with the
// one that never heard of the write, a leader that does not have it.
func TestWipedVoterIsNoVoter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wiped := make(map[string]byte)
		c := tunedCluster(t, 3, func(cfg *Config) {
			cfg.Guard = true
			cfg.Identity[1] = wiped[cfg.Name]
		})
		for _, m := range c.members { // as when they form a cluster
			m.tier.Admit()
		}
		c.form()
		leader := c.leader("")
		late, lost := c.others(leader)[0], c.others(leader)[1]
		c.stop(late)
		mustCreate(t, leader.tier, 0, "/acknowledged", tiers.Persistent)
		c.stop(lost)
		c.stop(leader)

		c.wipe(lost)
		wiped[lost.name] = 1
		c.start(late)
		c.start(lost)
		<-time.After(time.Minute)
		if late.tier.Leads() || lost.tier.Leads() {
			t.Fatal("a voter without its disk has elected a leader that lacks an acknowledged write")
		}
		c.start(leader)
		c.ready(leader)
		c.ready(late)
		if _, err := leader.tier.Read(t.Context(), tiers.Query{Path: "/acknowledged", Want: tiers.WantData, Fresh: true}); err != nil {
			t.Errorf("what was acknowledged: %v", err)
		}
		if lost.tier.raft.LastIndex() != 0 {
			t.Error("it takes part before its place is free")
		}

		// Its place is freed, it is known as a new one, and catches up before it has a vote.
		leader = c.leader("")
		for _, r := range leader.tier.Registered() {
			if r.Name == lost.name {
				if err := leader.tier.SetRank(r.Number, RankRemoved); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := leader.tier.Remove(lost.name); err != nil {
			t.Fatal(err)
		}
		if err := leader.tier.Enroll(lost.name, lost.tier.cfg.Identity); err != nil {
			t.Fatal(err)
		}
		addr, _ := c.addr(lost.name)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := leader.tier.Add(ctx, Server{Name: lost.name, Address: addr, Voter: true}); err != nil {
			t.Fatal(err)
		}
		c.ready(lost)
		if err := lost.tier.WaitZxid(ctx, leader.tier.tree.Zxid()); err != nil || imageOf(t, lost) != imageOf(t, leader) {
			t.Errorf("it has not caught up: %v", err)
		}
	})
}

// TestVoteOnlyWhenCaughtUp: a new voter that can't catch up stays without a vote, so the cluster does not wait for it.
func TestVoteOnlyWhenCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		joining := c.members[3]
		var voters []Server
		for _, m := range c.members[:3] {
			a, _ := c.addr(m.name)
			voters = append(voters, Server{Name: m.name, Address: a, Voter: true})
		}
		if err := c.members[0].tier.Bootstrap(voters); err != nil {
			t.Fatal(err)
		}
		for _, m := range c.members[:3] {
			c.ready(m)
		}
		leader := c.leader("")
		c.stop(joining)
		addr, _ := c.addr(joining.name)
		add := func(patience time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			return leader.tier.Add(ctx, Server{Name: joining.name, Address: addr, Voter: true})
		}
		if err := add(10 * time.Second); err == nil {
			t.Error("a member that is not there was given a vote")
		}
		votes := func() (yes bool) {
			for _, s := range leader.tier.Servers() {
				yes = yes || s.Name == joining.name && s.Voter
			}
			return yes
		}
		if votes() {
			t.Fatal("it has a vote")
		}
		mustCreate(t, leader.tier, 0, "/meanwhile", tiers.Persistent)
		c.start(joining)
		if err := add(time.Minute); err != nil || !votes() {
			t.Fatalf("once it is there: %v", err)
		}
		if _, err := joining.tier.ReadLocal(tiers.Query{Path: "/meanwhile", Want: tiers.WantData}); err != nil {
			t.Errorf("it had its vote before it had caught up: %v", err)
		}
	})
}
