// Package tiertest is the conformance suite of package tiers: one set of tests that every tier, and the router, must pass.
//
// What is asked of a tier follows from its [tiers.Contract]: what it offers must work as in ZooKeeper, what it doesn't offer
// must be refused with a [tiers.ContractError]. The suite never sleeps: it waits for answers and events, so it runs in a
// testing/synctest bubble as well as outside.
package tiertest

import (
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// Harness makes the clusters that the suite runs on.
type Harness struct {
	// New makes a fresh cluster of n members that are ready, and cleans up with t. Each subtest makes one.
	New func(t *testing.T, n int) *Cluster
	// Members is the size of the largest cluster that New makes; 0 is 1. Tests of more members are left out.
	Members int
	// Base is an existing path to work under; empty for the root. Its contract is what is tested.
	Base string
	// Bubble runs a subtest; nil runs it plainly. Give synctest.Test for fake time.
	Bubble func(*testing.T, func(*testing.T))
	// SessionTimeout is that of the sessions that the suite lets expire; 0 is two seconds.
	SessionTimeout time.Duration
	// Patience bounds each wait; 0 is a minute.
	Patience time.Duration
}

// Cluster is what Harness.New made.
type Cluster struct {
	Members []Member
	// Partition cuts the first member off from the others, and Heal ends that. Nil: the harness can't, and the tests that need
	// it are left out.
	Partition, Heal func()
	// Kill ends a member without notice. Nil: the harness can't.
	Kill func(member int)
}

// Member is one member of a cluster.
type Member struct {
	Tier tiers.Tier
	// Sessions is the member's session table, when Tier opens its sessions by itself; nil: the suite opens sessions by ops.
	Sessions tiers.Sessions
}

// test is one subtest.
type test struct {
	name    string
	members int // how many it needs
	run     func(*env)
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	h.Members = max(h.Members, 1)
	if h.SessionTimeout == 0 {
		h.SessionTimeout = 2 * time.Second
	}
	if h.Patience == 0 {
		h.Patience = time.Minute
	}
	if h.Bubble == nil {
		h.Bubble = func(t *testing.T, f func(*testing.T)) { f(t) }
	}
	for _, tests := range [][]test{basics, overviews, refusals, stats, modes, versions, multis, acls, watches, orders, sessions, members} {
		for _, tt := range tests {
			if tt.members > h.Members {
				continue
			}
			t.Run(tt.name, func(t *testing.T) {
				h.Bubble(t, func(t *testing.T) { tt.run(newEnv(t, h, max(tt.members, 1))) })
			})
		}
	}
}
