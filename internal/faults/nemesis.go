package faults

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Nemesis carries schedules out on one cluster. Run is for one goroutine; the other methods may be called beside it.
type Nemesis struct {
	c     Cluster
	seed  uint64
	begun time.Time
	rand  *rand.Rand // owned by Run
	// Note, if set before the first Run, is also told each line of the story, without the time.
	Note func(format string, args ...any)

	mu     sync.Mutex
	last   time.Time      // guarded by mu; when something was said last
	story  []string       // guarded by mu
	counts map[string]int // guarded by mu; by kind
}

// New returns a nemesis whose choices come from seed.
func New(c Cluster, seed uint64) *Nemesis {
	return &Nemesis{c: c, seed: seed, begun: time.Now(), rand: rand.New(rand.NewPCG(seed, 0x7e3e515)), counts: make(map[string]int)}
}

// Rand is where the choices come from, for the schedules. To be used between the Runs.
func (n *Nemesis) Rand() *rand.Rand { return n.rand }

// Say adds a line to the story.
func (n *Nemesis) Say(format string, args ...any) {
	if n.Note != nil {
		n.Note(format, args...)
	}
	n.mu.Lock()
	n.last = time.Now()
	n.story = append(n.story, fmt.Sprintf("%10.3fs  ", time.Since(n.begun).Seconds())+fmt.Sprintf(format, args...))
	n.mu.Unlock()
}

// Last is when the last fault began or ended: around then it is worth asking the cluster for something.
func (n *Nemesis) Last() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last
}

// ending is the end of a fault.
type ending struct {
	at   time.Time
	kind string
	heal func() error
}

// Run carries out one round: when it returns, everything is healed and every member was started. Errors: a member does not start, ctx's.
func (n *Nemesis) Run(ctx context.Context, s Schedule) error {
	begun := time.Now()
	var open []ending
	defer func() {
		n.c.Net().Heal()
		for _, m := range n.c.Members() {
			n.c.Net().Thaw(n.c.Host(m))
		}
	}()
	until := func(at time.Time) error {
		for {
			next := -1
			for i, e := range open {
				if !e.at.After(at) && (next < 0 || e.at.Before(open[next].at)) {
					next = i
				}
			}
			when := at
			if next >= 0 {
				when = open[next].at
			}
			if err := sleep(ctx, time.Until(when)); err != nil {
				return err
			}
			if next < 0 {
				return nil
			}
			e := open[next]
			open = slices.Delete(open, next, next+1)
			n.Say("ends: %s", e.kind)
			if err := e.heal(); err != nil {
				return err
			}
		}
	}
	end := begun.Add(s.Length)
	for _, step := range s.Steps {
		if err := until(begun.Add(step.At)); err != nil {
			return err
		}
		leader := n.c.Leader()
		heal, what := step.Fault.Inject(n.c, n.rand)
		n.mu.Lock()
		n.counts[step.Fault.Kind()]++
		n.mu.Unlock()
		n.Say("%s: %s, for %v; leader %s", step.Fault.Kind(), what, step.For.Round(time.Millisecond), leader)
		if heal != nil {
			at := time.Now().Add(step.For)
			if at.After(end) {
				at = end
			}
			open = append(open, ending{at, step.Fault.Kind() + ", " + what, heal})
		}
	}
	if err := until(end); err != nil {
		return err
	}
	n.Say("all is healed")
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Report is what a nemesis did.
type Report struct {
	Seed   uint64
	Counts map[string]int // faults by kind
	Story  []string       // a line for each event, in order, with the time since the beginning
}

// Report may be called at any time.
func (n *Nemesis) Report() Report {
	n.mu.Lock()
	defer n.mu.Unlock()
	return Report{Seed: n.seed, Counts: maps.Clone(n.counts), Story: slices.Clone(n.story)}
}

// String is for people: the seed and the story.
func (r Report) String() string {
	return fmt.Sprintf("seed %d:\n%s", r.Seed, strings.Join(r.Story, "\n"))
}
