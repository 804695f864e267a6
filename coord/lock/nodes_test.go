package lock_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/internal/history"
	"github.com/strata-coord/strata/internal/simnet"
)

// inCluster runs f with a real cluster of three on fake time.
func inCluster(t *testing.T, f func(t *testing.T, nodes []*coord.Node, network *simnet.Net)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer func() { <-time.After(time.Minute) }() // memberlist does not wait for its last probe, which ends by its timeout
		network := simnet.New(2)
		var nodes []*coord.Node
		join := []string{ip(0) + ":7400", ip(1) + ":7400", ip(2) + ":7400"}
		for i, bind := range join {
			n, err := coord.Open(t.Context(), coord.Config{
				Name: fmt.Sprintf("m%d", i), Dir: t.TempDir(), Bind: bind, Join: join, BootstrapExpect: 3, Network: network.Host(ip(i)),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := n.Close(); err != nil {
					t.Error(err)
				}
			}()
			nodes = append(nodes, n)
		}
		for _, n := range nodes {
			if err := n.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		f(t, nodes, network)
	})
}

// TestRecipesInARealStorm lets contenders of all recipes work in a real cluster whose network is cut, frozen, one-way and slow in turns: no
// grant is made beside another, tokens grow, and nothing is left.
func TestRecipesInARealStorm(t *testing.T) {
	inCluster(t, func(t *testing.T, nodes []*coord.Node, network *simnet.Net) {
		seed := rand.Uint64()
		s := newStorm(nil)
		s.patience, s.hold = time.Minute, 20*time.Second // long enough to be lost
		recipes := map[string]claims{
			"/locks/mutex": mutexClaims(s, "/locks/mutex"), "/locks/rw": rwClaims(s, "/locks/rw"),
			"/locks/semaphore": semaphoreClaims(s, "/locks/semaphore"), "/locks/lease": leaseClaims(s, "/locks/lease"),
		}
		var work, weather sync.WaitGroup
		n := uint64(0)
		for path, claim := range recipes {
			for i, node := range nodes {
				n++
				dice := rand.New(rand.NewPCG(seed, n))
				work.Go(func() { s.contend(t, 3, node, fmt.Sprintf("%s of %d", path, i), dice, claim) })
			}
		}
		ctx, over := context.WithCancel(t.Context())
		weather.Go(func() { turbulent(ctx, network, rand.New(rand.NewPCG(seed, 0))) })
		work.Wait()
		over()
		weather.Wait()
		<-time.After(time.Minute)
		if err := s.rec.Check(history.Options{}); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		for _, path := range []string{"/locks/mutex", "/locks/rw", "/locks/semaphore", "/locks/semaphore-__lock__", "/locks/lease"} {
			nothingLeft(t, nodes[0].Tier(), path)
		}
		t.Logf("%d grants, %d of them lost", s.grants, s.lost)
		if s.grants < 10 {
			t.Errorf("seed %d: only %d grants", seed, s.grants)
		}
	})
}

// turbulent changes the network until ctx ends, and heals it.
func turbulent(ctx context.Context, network *simnet.Net, dice *rand.Rand) {
	for {
		a := dice.IntN(3)
		b, c := (a+1)%3, (a+2)%3
		heal := network.Heal
		switch dice.IntN(6) {
		case 0, 1:
			network.Partition([]string{ip(a)}, []string{ip(b), ip(c)})
		case 2:
			network.Cut(ip(a), ip(b))
			network.Cut(ip(a), ip(c))
		case 3:
			network.Bridge(ip(a), []string{ip(b)}, []string{ip(c)})
		case 4:
			network.Freeze(ip(a))
			heal = func() { network.Thaw(ip(a)) }
		case 5:
			network.SetDelay(50*time.Millisecond, 400*time.Millisecond)
			heal = func() { network.SetDelay(0, time.Millisecond) }
		}
		wait := func(longest int) {
			select {
			case <-time.After(time.Duration(dice.IntN(longest)) * time.Millisecond):
			case <-ctx.Done():
			}
		}
		wait(25_000)
		heal()
		if ctx.Err() != nil {
			return
		}
		wait(10_000)
	}
}

var _ lock.Node = (*coord.Node)(nil)
