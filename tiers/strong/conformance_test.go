package strong

import (
	"testing"
	"testing/synctest"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/tiertest"
)

// conformance is a cluster for the suite; shown is what its members show of their tiers.
func conformance(shown func(*Tier) tiers.Tier) func(*testing.T, int) *tiertest.Cluster {
	return func(t *testing.T, n int) *tiertest.Cluster {
		c := newCluster(t, n)
		c.form()
		x := &tiertest.Cluster{
			Partition: func() {
				var rest []string
				for _, m := range c.members[1:] {
					rest = append(rest, m.ip)
				}
				c.net.Partition([]string{c.members[0].ip}, rest)
			},
			Heal: c.net.Heal,
			Kill: func(i int) { c.net.Down(c.members[i].ip) },
		}
		for _, m := range c.members {
			x.Members = append(x.Members, tiertest.Member{Tier: shown(m.tier)})
		}
		return x
	}
}

func TestConformance(t *testing.T) {
	tiertest.Run(t, tiertest.Harness{
		Members: 3, Bubble: synctest.Test, New: conformance(func(s *Tier) tiers.Tier { return s }),
	})
}
