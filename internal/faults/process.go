package faults

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/strata-coord/strata/internal/simdisk"
)

// Kill ends a member as SIGKILL or a loss of power would, and starts it again from its disk.
type Kill struct {
	Who  Who
	Tail simdisk.Tail // what the crash leaves of writes that were not fsynced
	All  bool         // every member at the same moment
}

func (k Kill) Kind() string {
	if k.All {
		return "kill all"
	}
	return "kill"
}

func (k Kill) Inject(c Cluster, r *rand.Rand) (func() error, string) {
	dead := []string{k.Who.pick(c, r)}
	if k.All {
		dead = c.Members()
	}
	for _, m := range dead {
		c.Kill(m, k.Tail)
	}
	return func() error {
		for _, m := range dead {
			if !c.Running(m) {
				if err := c.Start(m); err != nil {
					return fmt.Errorf("faults: start %s again: %w", m, err)
				}
			}
		}
		return nil
	}, fmt.Sprintf("%v, %v", dead, k.Tail)
}

// Stop stops a member as an operator would, and starts it again.
type Stop struct{ Who Who }

func (s Stop) Kind() string { return "stop" }

func (s Stop) Inject(c Cluster, r *rand.Rand) (func() error, string) {
	one := s.Who.pick(c, r)
	c.Stop(one)
	return func() error {
		if c.Running(one) {
			return nil
		}
		return c.Start(one)
	}, one
}

// Handover makes the leader give its leadership to another.
type Handover struct{}

func (Handover) Kind() string { return "handover" }

func (Handover) Inject(c Cluster, _ *rand.Rand) (func() error, string) {
	one := c.Leader()
	if one != "" {
		c.Handover(one)
	}
	return nil, "of " + one
}

// Pause makes a member stand still, as a long garbage collection or SIGSTOP does: nothing of what it sends arrives, nothing reaches it, its
// writes hang, and nothing breaks. Then it all goes on at once. Its timers do not stand still: that can't be done to a part of a process.
type Pause struct{ Who Who }

func (p Pause) Kind() string { return "pause" }

func (p Pause) Inject(c Cluster, r *rand.Rand) (func() error, string) {
	one := p.Who.pick(c, r)
	h := c.Host(one)
	c.Net().Freeze(h)
	wake := wrong(c, one, simdisk.Faults{Stall: true})
	return func() error { c.Net().Thaw(h); return wake() }, one
}

// ClockJump moves a member's wall clock. At its end the clock is right again: a second jump.
type ClockJump struct {
	Who Who
	By  time.Duration // may be negative
}

func (j ClockJump) Kind() string { return "clock jump" }

func (j ClockJump) Inject(c Cluster, r *rand.Rand) (func() error, string) {
	one := j.Who.pick(c, r)
	c.Clock(one).Jump(j.By)
	return func() error { c.Clock(one).Correct(); return nil }, fmt.Sprintf("%s by %v", one, j.By)
}

// ClockDrift makes a member's wall clock gain or lose time.
type ClockDrift struct {
	Who  Who
	Rate float64 // seconds gained in each; may be negative
}

func (d ClockDrift) Kind() string { return "clock drift" }

func (d ClockDrift) Inject(c Cluster, r *rand.Rand) (func() error, string) {
	one := d.Who.pick(c, r)
	c.Clock(one).Drift(d.Rate)
	return func() error { c.Clock(one).Correct(); return nil }, fmt.Sprintf("%s by %+.3f", one, d.Rate)
}
