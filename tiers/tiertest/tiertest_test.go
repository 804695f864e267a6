package tiertest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/tiertest"
	"github.com/strata-coord/strata/tiers/tiertest/memtier"
)

// alone makes a memory tier as a cluster of one member; tables adds a session table.
func alone(o memtier.Options, tables bool) func(*testing.T, int) *tiertest.Cluster {
	return func(t *testing.T, _ int) *tiertest.Cluster {
		tier := memtier.New(o)
		t.Cleanup(tier.Close)
		return cluster(t, tier, tables)
	}
}

func cluster(t *testing.T, tier tiers.Tier, tables bool) *tiertest.Cluster {
	m := tiertest.Member{Tier: tier}
	if tables {
		s := memtier.NewSessions(tier, time.Millisecond, time.Hour)
		t.Cleanup(s.Stop)
		m = tiertest.Member{Tier: s.Tier(), Sessions: s}
	}
	return &tiertest.Cluster{Members: []tiertest.Member{m}}
}

// small is what the eventual tier offers.
var small = tiers.Contract{Tier: "small", Ephemeral: true, MinorityWritable: true}

func TestMemory(t *testing.T) {
	tiertest.Run(t, tiertest.Harness{New: alone(memtier.Options{}, false), Bubble: synctest.Test})
}

// Outside a bubble, on the real clock.
func TestMemoryInRealTime(t *testing.T) {
	tiertest.Run(t, tiertest.Harness{New: alone(memtier.Options{}, true), Base: "/", SessionTimeout: 100 * time.Millisecond})
}

func TestSessions(t *testing.T) {
	tiertest.Run(t, tiertest.Harness{New: alone(memtier.Options{}, true), Bubble: synctest.Test})
}

func TestSmallContract(t *testing.T) {
	o := memtier.Options{Contract: small, Mounts: []string{"/services"}}
	for name, tables := range map[string]bool{"Ops": false, "Sessions": true} {
		t.Run(name, func(t *testing.T) {
			tiertest.Run(t, tiertest.Harness{New: alone(o, tables), Base: "/services", Bubble: synctest.Test})
		})
	}
}

// A router is a tier: at each of its mounts it keeps the contract of the tier that is mounted there.
func TestRouter(t *testing.T) {
	routed := func(tables bool) func(*testing.T, int) *tiertest.Cluster {
		return func(t *testing.T, _ int) *tiertest.Cluster {
			root := memtier.New(memtier.Options{})
			services := memtier.New(memtier.Options{Contract: small, Mounts: []string{"/services"}})
			nested := memtier.New(memtier.Options{Mounts: []string{"/services/strict"}})
			for _, m := range []*memtier.Tier{root, services, nested} {
				t.Cleanup(m.Close)
			}
			r, err := tiers.NewRouter(root, tiers.Route{Prefix: "/services", Tier: services}, tiers.Route{Prefix: "/services/strict", Tier: nested})
			if err != nil {
				t.Fatal(err)
			}
			return cluster(t, r, tables)
		}
	}
	for name, base := range map[string]string{"Root": "/", "Services": "/services", "Nested": "/services/strict"} {
		t.Run(name, func(t *testing.T) {
			tiertest.Run(t, tiertest.Harness{New: routed(false), Base: base, Bubble: synctest.Test})
		})
		t.Run(name+"WithSessions", func(t *testing.T) {
			tiertest.Run(t, tiertest.Harness{New: routed(true), Base: base, Bubble: synctest.Test})
		})
	}
}
