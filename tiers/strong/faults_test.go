package strong

import (
	"cmp"
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

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/internal/faults"
	"github.com/strata-coord/strata/internal/history"
	"github.com/strata-coord/strata/tiers"
)

var (
	faultSeeds = flag.Int("faults.seeds", 5, "how many seeds TestFaults runs")
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
func runSeed(t *testing.T, seed uint64) outcome {
	size := 3
	if seed%5 == 0 {
		size = 5
	}
	x := trial{seed: seed, size: size, rounds: faultRounds, tune: slowTimers, pace: pace{150 * time.Millisecond, 2 * time.Second}}
	switch seed % 4 {
	case 0: // as members have them who are near
		x.tune = nil
	case 1: // everything is twice as slow, the faults too
		x.tune = slowerTimers
		x.pace = pace{200 * time.Millisecond, 4 * time.Second}
		x.faults = func(r *rand.Rand) faults.Schedule {
			return faults.Generate(r, faults.Options{Length: time.Minute, Gap: 7 * time.Second, Longest: 20 * time.Second})
		}
	}
	if tune := x.tune; seed%3 == 0 { // and those who were away catch up by snapshots
		x.tune = func(c *Config) {
			if tune != nil {
				tune(c)
			}
			snapshotOften(c)
		}
	}
	return x.run(t)
}

// slowTimers are those of a cluster whose members are far from each other: more fake time passes for the same work.
func slowTimers(c *Config) { timers(c, 500*time.Millisecond) }

func slowerTimers(c *Config) { timers(c, time.Second) }

func timers(c *Config, heartbeat time.Duration) {
	c.Heartbeat, c.TouchInterval, c.FreshInterval = heartbeat, 500*time.Millisecond, 2*heartbeat
	tune := c.tune
	c.tune = func(rc *raft.Config) {
		tune(rc)
		rc.CommitTimeout = heartbeat
	}
}

// trial is one cluster and what is done to it.
type trial struct {
	seed   uint64
	size   int
	rounds int
	tune   func(*Config)
	pace   pace
	crowd  int // clients; 0: four
	bulk   int // znodes of 8 KiB that nobody touches
	// faults makes a round's schedule; nil: anything.
	faults func(*rand.Rand) faults.Schedule
	// prepare is called before the first member starts; nil: nothing.
	prepare func(*faultCluster)
}

func (x trial) run(t *testing.T) (o outcome) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		c := newFaultCluster(t, x.seed, x.size, x.tune)
		defer c.stop()
		if x.prepare != nil {
			x.prepare(c)
		}
		l := &load{c: c, rec: history.New(), nemesis: faults.New(c, x.seed), pace: x.pace}
		c.rec = l.rec
		l.nemesis.Note = l.rec.Note
		if err := x.rush(t.Context(), l); err != nil {
			o.wrong = append(o.wrong, err.Error())
		}
		o.took, o.report, o.ops = time.Since(begun), l.nemesis.Report(), l.ops.Load()
	})
	return o
}

// rush runs the rounds and returns what was wrong.
func (x trial) rush(ctx context.Context, l *load) error {
	c := l.c
	formCtx, cancel := context.WithTimeout(ctx, time.Minute)
	err := c.form(formCtx)
	cancel()
	if err != nil {
		return fmt.Errorf("form the cluster: %w", err)
	}
	loadCtx, stop := context.WithCancel(ctx)
	var clients sync.WaitGroup
	defer clients.Wait()
	defer stop()
	for round := range x.rounds {
		if err := l.furnish(ctx, round); err != nil {
			return fmt.Errorf("round %d: prepare: %w", round, err)
		}
		if round == 0 {
			if err := l.fill(ctx, x.bulk); err != nil {
				return fmt.Errorf("fill the tree: %w", err)
			}
			for i := range cmp.Or(x.crowd, 4) {
				fc := &faultClient{l: l, name: fmt.Sprintf("c%d", i), rand: rand.New(rand.NewPCG(x.seed, uint64(i)))}
				clients.Go(func() { fc.run(loadCtx) })
			}
		}
		schedule := faults.Generate(l.nemesis.Rand(), faults.Options{})
		if x.faults != nil {
			schedule = x.faults(l.nemesis.Rand())
		}
		if err := l.nemesis.Run(ctx, schedule); err != nil {
			return err
		}
		quiet, cancel := context.WithTimeout(ctx, time.Minute)
		err := c.ready(quiet)
		cancel()
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		pause(ctx, 15*time.Second)
	}
	stop()
	clients.Wait()
	return l.check(ctx)
}

// furnish makes the znodes of a round.
func (l *load) furnish(ctx context.Context, round int) error {
	l.round.Store(int64(round))
	var ops []tiers.Op
	if round == 0 {
		ops = append(ops, create("/lock", "", tiers.Persistent))
	}
	ops = append(ops, create(fmt.Sprintf("/q%d", round), "", tiers.Persistent))
	for i := range registers {
		ops = append(ops, create(fmt.Sprintf("/r%d.%d", round, i), "", tiers.Persistent))
	}
	m := l.c.members[0]
	_, err := tiers.Do(ctx, l.rec.Client("setup", m.name, m.now()), tiers.Txn{Ops: ops})
	return err
}

// fill makes the tree bigger.
func (l *load) fill(ctx context.Context, n int) error {
	m := l.c.members[0]
	setup := l.rec.Client("setup", m.name, m.now())
	for i := range n {
		op := create(fmt.Sprintf("/bulk%d", i), fmt.Sprintf("%8192d", i), tiers.Persistent)
		if _, err := tiers.Do(ctx, setup, tiers.Txn{Ops: []tiers.Op{op}}); err != nil {
			return err
		}
	}
	return nil
}

// check waits until the members agree and the sessions, which nobody touches any more, have ended, and checks everything.
func (l *load) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := l.c.agree(ctx); err != nil {
		return errors.Join(err, l.rec.Check(history.Options{UniqueData: true}))
	}
	pause(ctx, clientTimeout+3*time.Second)
	if err := l.c.agree(ctx); err != nil {
		return errors.Join(err, l.rec.Check(history.Options{UniqueData: true}))
	}
	tier := l.c.members[0].now()
	final := make(map[string]history.Znode)
	if err := walk(tier, "/", final); err != nil {
		return err
	}
	var errs []error
	if s := tier.tree.Stats(); s.Sessions != 0 || s.Ephemerals != 0 {
		errs = append(errs, fmt.Errorf("late expiry: %d sessions and %d ephemerals live on, %v after their clients went", s.Sessions, s.Ephemerals, clientTimeout+3*time.Second))
	}
	return errors.Join(append(errs, l.rec.Check(history.Options{UniqueData: true, Final: final, FinalZxid: tier.tree.Zxid(), ExpiryBound: 90 * time.Second}))...)
}

// walk reads everything at and below path.
func walk(t *Tier, path string, to map[string]history.Znode) error {
	v, err := t.ReadLocal(tiers.Query{Path: path, Want: tiers.WantData, Caller: super})
	if err != nil {
		return err
	}
	to[path] = history.Znode{Data: v.Data, Stat: v.Stat}
	if v, err = t.ReadLocal(tiers.Query{Path: path, Want: tiers.WantChildren, Caller: super}); err != nil {
		return err
	}
	for _, name := range v.Children {
		if err := walk(t, strings.TrimSuffix(path, "/")+"/"+name, to); err != nil {
			return err
		}
	}
	return nil
}

var super = []tiers.Identity{{Scheme: "super"}}
