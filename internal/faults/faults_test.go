package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/internal/simdisk"
	"github.com/strata-coord/strata/internal/simnet"
)

// world is a cluster of members that do nothing.
type world struct {
	net   *simnet.Net
	names []string
	disks map[string]*simdisk.Disk
	clock *Clock
	dead  map[string]bool
	log   []string
	fails error // of Start
}

func newWorld() *world {
	w := &world{net: simnet.New(1), names: []string{"a", "b", "c"}, disks: make(map[string]*simdisk.Disk), clock: NewClock(), dead: make(map[string]bool)}
	for _, n := range w.names {
		w.disks[n] = simdisk.New(1, 0)
	}
	return w
}

func (w *world) Members() []string             { return w.names }
func (w *world) Leader() string                { return "b" }
func (w *world) Running(m string) bool         { return !w.dead[m] }
func (w *world) Host(m string) string          { return "host-" + m }
func (w *world) Net() *simnet.Net              { return w.net }
func (w *world) Disk(m string) *simdisk.Disk   { return w.disks[m] }
func (w *world) Clock(string) *Clock           { return w.clock }
func (w *world) Kill(m string, _ simdisk.Tail) { w.dead[m] = true; w.log = append(w.log, "kill "+m) }
func (w *world) Stop(m string)                 { w.dead[m] = true; w.log = append(w.log, "stop "+m) }
func (w *world) Handover(m string)             { w.log = append(w.log, "handover "+m) }
func (w *world) Start(m string) error {
	delete(w.dead, m)
	w.log = append(w.log, "start "+m)
	return w.fails
}

func TestOneSeedIsOneSchedule(t *testing.T) {
	kinds := make(map[string]bool)
	for seed := range uint64(200) {
		a := Generate(rand.New(rand.NewPCG(seed, 1)), Options{Length: time.Minute})
		if b := Generate(rand.New(rand.NewPCG(seed, 1)), Options{Length: time.Minute}); !reflect.DeepEqual(a, b) {
			t.Fatalf("seed %d: two schedules", seed)
		}
		for _, s := range a.Steps {
			kinds[s.Fault.Kind()] = true
			if s.At < 0 || s.At >= a.Length || s.For <= 0 {
				t.Errorf("a step at %v for %v", s.At, s.For)
			}
		}
	}
	if len(kinds) != 20 {
		t.Errorf("%d kinds of faults: %v", len(kinds), kinds)
	}
}

func TestNemesisHealsEverything(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			n := New(w, seed)
			begun := time.Now()
			if err := n.Run(t.Context(), Generate(n.Rand(), Options{})); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(begun); d != 30*time.Second {
				t.Errorf("the round took %v", d)
			}
			if len(w.dead) > 0 || !w.clock.Now().Equal(time.Now()) {
				t.Errorf("dead are %v, the clock is ahead by %v", w.dead, time.Until(w.clock.Now()))
			}
			for _, m := range w.names {
				if f := w.disks[m].Faults(); f != (simdisk.Faults{}) {
					t.Errorf("the disk of %s has %+v", m, f)
				}
			}
			if r := n.Report(); len(r.Story) == 0 || !strings.Contains(r.String(), fmt.Sprintf("seed %d:", seed)) {
				t.Errorf("the report is %v", r)
			}
		})
	}
}

func TestStepsRunAtTheirTimeAndWhoIsChosen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		n := New(w, 1)
		s := Schedule{Length: time.Minute, Steps: []Step{
			{At: time.Second, For: 10 * time.Second, Fault: Kill{Who: Leader}},
			{At: 2 * time.Second, For: time.Second, Fault: Kill{Who: "a"}},
			{At: 20 * time.Second, For: time.Second, Fault: ClockDrift{Rate: 0.5}},
		}}
		if err := n.Run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if want := []string{"kill b", "kill a", "start a", "start b"}; !slices.Equal(w.log, want) {
			t.Errorf("%v, want %v", w.log, want)
		}
		if r := n.Report(); r.Counts["kill"] != 2 || r.Counts["clock drift"] != 1 {
			t.Errorf("counted %v", r.Counts)
		}
		w.fails = errors.New("no")
		if err := n.Run(t.Context(), s); !errors.Is(err, w.fails) {
			t.Errorf("a member that does not start: %v", err)
		}
	})
}

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock()
		c.Jump(-time.Hour)
		c.Drift(0.5)
		<-time.After(10 * time.Second)
		c.Drift(0)
		<-time.After(10 * time.Second)
		if d := time.Until(c.Now()); d != -time.Hour+5*time.Second {
			t.Errorf("it is ahead by %v", d)
		}
		c.Correct()
		if d := time.Until(c.Now()); d != 0 {
			t.Errorf("corrected, it is ahead by %v", d)
		}
	})
}
