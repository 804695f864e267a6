package strong

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/internal/faults"
	"github.com/strata-coord/strata/tiers"
)

var (
	faultSeeds = flag.Int("faults.seeds", 6, "how many seeds TestFaults runs")
	faultSeed  = flag.Uint64("faults.seed", 1, "the first seed of TestFaults")
	faultHours = flag.Float64("faults.hours", 0, "TestFaults goes on with new seeds until that many fake cluster-hours are done")
)

const faultRounds = 6 // of each seed

// outcome is what became of one seed.
type outcome struct {
	took   time.Duration // fake
	ops    int64
	report faults.Report
	wrong  []string
}

// TestFaults runs clusters under mixed faults, a seed each, and checks what their clients saw. See docs/faults.md.
func TestFaults(t *testing.T) {
	begun := time.Now()
	var hours float64
	var ops int64
	counts := make(map[string]int)
	said := time.Now()
	seeds := 0
	for seed := *faultSeed; ; seed++ {
		if *faultHours > 0 && hours >= *faultHours || *faultHours == 0 && seeds >= *faultSeeds {
			break
		}
		o := runSeed(t, seed)
		seeds++
		hours += o.took.Hours()
		ops += o.ops
		for k, n := range o.report.Counts {
			counts[k] += n
		}
		if len(o.wrong) > 0 {
			t.Errorf("%s\n%v", strings.Join(o.wrong, "\n"), o.report)
		}
		if *faultHours > 0 && time.Since(said) > 10*time.Second {
			said = time.Now()
			fmt.Printf("%.1f fake hours in %v: %d seeds, %d ops, faults %v\n", hours, time.Since(begun).Round(time.Second), seeds, ops, counts)
		}
	}
	t.Logf("%.2f fake cluster-hours in %v (%.0f times as fast): %d seeds, %d ops", hours, time.Since(begun).Round(time.Millisecond), hours*3600/time.Since(begun).Seconds(), seeds, ops)
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%6d %s", counts[k], k)
	}
}

// runSeed runs one cluster through its rounds.
func runSeed(t *testing.T, seed uint64) (o outcome) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		size := 3
		if seed%5 == 0 {
			size = 5
		}
		c := newFaultCluster(t, seed, size, nil)
		defer c.stop()
		n := faults.New(c, seed)
		o.wrong = runRounds(t.Context(), c, n, seed, &o.ops)
		o.took, o.report = time.Since(begun), n.Report()
	})
	return o
}

func runRounds(ctx context.Context, c *faultCluster, n *faults.Nemesis, seed uint64, ops *int64) (wrong []string) {
	bad := func(err error) []string { return append(wrong, err.Error()) }
	formCtx, cancel := context.WithTimeout(ctx, time.Minute)
	err := c.form(formCtx)
	cancel()
	if err != nil {
		return bad(fmt.Errorf("form the cluster: %w", err))
	}
	ops0 := []tiers.Op{create("/q", "", tiers.Persistent)}
	for i := range registers {
		ops0 = append(ops0, create(fmt.Sprintf("/r%d", i), "", tiers.Persistent))
	}
	if _, err := tiers.Do(ctx, c.members[0].now(), tiers.Txn{Ops: ops0}); err != nil {
		return bad(err)
	}
	l := &load{c: c, nemesis: n, written: make(map[string][]string)}
	loadCtx, stop := context.WithCancel(ctx)
	var clients sync.WaitGroup
	for i := range 4 {
		fc := &faultClient{l: l, name: fmt.Sprintf("c%d", i), rand: rand.New(rand.NewPCG(seed, uint64(i)))}
		clients.Go(func() { fc.run(loadCtx) })
	}
	defer func() {
		stop()
		clients.Wait()
		*ops = l.ops.Load()
	}()
	for round := range faultRounds {
		l.busy.Store(true)
		if err := n.Run(ctx, faults.Generate(n.Rand(), faults.Options{})); err != nil {
			return bad(err)
		}
		l.busy.Store(false)
		quiet, cancel := context.WithTimeout(ctx, time.Minute)
		err := ready(quiet, c)
		cancel()
		if err != nil {
			return bad(fmt.Errorf("round %d: %w", round, err))
		}
	}
	stop()
	clients.Wait()
	endCtx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := c.agree(endCtx); err != nil {
		wrong = append(wrong, err.Error())
	}
	return append(wrong, l.check(endCtx)...)
}

// ready waits until every member serves again.
func ready(ctx context.Context, c *faultCluster) error {
	var errs []error
	for _, m := range c.members {
		for m.now() == nil && ctx.Err() == nil {
			<-time.After(100 * time.Millisecond)
		}
		tier := m.now()
		if tier == nil {
			errs = append(errs, fmt.Errorf("%s does not start", m.name))
		} else if err := tier.Wait(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s does not serve a minute after everything was healed: %w", m.name, err))
		}
	}
	return errors.Join(errs...)
}
