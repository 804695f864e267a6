package lock_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/internal/history"
	"github.com/strata-coord/strata/internal/simnet"
)

// TestShardsInACluster cuts each member of a real cluster of three off in turn, on fake time: its shards go to the others, never to two at a time, and
// some come back to it.
func TestShardsInACluster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const count = 9
		ctx := t.Context()
		network := simnet.New(3)
		join := []string{ip(0) + ":7400", ip(1) + ":7400", ip(2) + ":7400"}
		var nodes []*coord.Node
		for i := range 3 {
			n, err := coord.Open(ctx, coord.Config{
				Name: fmt.Sprintf("m%d", i), Dir: t.TempDir(), Bind: join[i], Join: join, BootstrapExpect: 3, Network: network.Host(ip(i)),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			nodes = append(nodes, n)
		}
		for _, n := range nodes {
			if err := n.Ready(ctx); err != nil {
				t.Fatal(err)
			}
		}
		l := newLedger()
		var wg sync.WaitGroup
		joined, leave := context.WithCancel(ctx)
		for i, n := range nodes {
			wg.Go(func() {
				name := fmt.Sprint("m", i)
				if err := lock.NewShards(n, path, count, lock.Identifier(name)).Join(joined, 1, l.own(name, forever)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		shares := func() (all [3]int) {
			now := l.owned()
			for i := range all {
				all[i] = len(now[fmt.Sprint("m", i)])
			}
			return all
		}
		<-time.After(time.Minute)
		if got := shares(); got != [3]int{3, 3, 3} {
			t.Errorf("shares %v", got)
		}
		for i := range 3 {
			rest := []string{ip((i + 1) % 3), ip((i + 2) % 3)}
			network.Partition([]string{ip(i)}, rest)
			<-time.After(time.Minute)
			if got := shares(); got[i] != 0 || got[0]+got[1]+got[2] != count {
				t.Errorf("without m%d, shares %v", i, got)
			}
			network.Heal()
			<-time.After(time.Minute)
			if got := shares(); got != [3]int{3, 3, 3} {
				t.Errorf("with m%d again, shares %v", i, got)
			}
		}
		leave()
		wg.Wait()
		if err := l.rec.Check(history.Options{}); err != nil {
			t.Error(err)
		}
	})
}
