package eventual

import (
	"testing"
	"testing/synctest"

	"github.com/strata-coord/strata/tiers/tiertest"
)

func TestConformance(t *testing.T) {
	tiertest.Run(t, tiertest.Harness{
		Members: 3, Bubble: synctest.Test, Base: "/services",
		New: func(t *testing.T, n int) *tiertest.Cluster {
			c := newCluster(t, n, numbers)
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
				x.Members = append(x.Members, tiertest.Member{Tier: m.tier})
			}
			return x
		},
	})
}
