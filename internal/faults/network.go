package faults

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Cut is the shape of a partition.
type Cut uint8

const (
	Symmetric Cut = iota // two sides that don't reach each other
	OneWay               // nothing from one member reaches the others, or one of them; the way back is open
	Bridge               // two sides that don't reach each other, and one member that reaches both
	Isolate              // one member, by default the leader, reaches nobody
	Deaf                 // one member hears nobody; what it says arrives
)

func (k Cut) String() string {
	return [...]string{"symmetric", "one-way", "bridge", "isolate", "deaf"}[k]
}

// Partition cuts ways between members. Streams across stall until it is healed.
type Partition struct {
	Shape Cut
	Who   Who // of OneWay, Bridge, Isolate and Deaf: the member in question
	// Link, of OneWay: only the way to one other member is cut.
	Link bool
}

func (p Partition) Kind() string { return "partition/" + p.Shape.String() }

func (p Partition) Inject(c Cluster, r *rand.Rand) (func() error, string) {
	who := p.Who
	if who == Anyone && p.Shape == Isolate {
		who = Leader
	}
	one := who.pick(c, r)
	rest := others(c, one)
	r.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	var ways [][2]string
	both := func(as, bs []string) {
		for _, a := range as {
			for _, b := range bs {
				ways = append(ways, [2]string{a, b}, [2]string{b, a})
			}
		}
	}
	var story string
	switch p.Shape {
	case Symmetric:
		all := append([]string{one}, rest...)
		n := 1 + r.IntN(len(all)/2)
		both(all[:n], all[n:])
		story = fmt.Sprintf("%s | %s", strings.Join(all[:n], " "), strings.Join(all[n:], " "))
	case Isolate:
		both([]string{one}, rest)
		story = one + " is cut off"
	case Bridge:
		n := len(rest) / 2
		both(rest[:n], rest[n:])
		story = fmt.Sprintf("%s | %s, and %s reaches both", strings.Join(rest[:n], " "), strings.Join(rest[n:], " "), one)
	case OneWay, Deaf:
		if p.Link && len(rest) > 1 {
			rest = rest[:1]
		}
		for _, m := range rest {
			if p.Shape == OneWay {
				ways = append(ways, [2]string{one, m})
			} else {
				ways = append(ways, [2]string{m, one})
			}
		}
		story = fmt.Sprintf("%s does not reach %s", one, strings.Join(rest, " "))
		if p.Shape == Deaf {
			story = fmt.Sprintf("%s does not hear %s", one, strings.Join(rest, " "))
		}
	}
	for _, w := range ways {
		c.Net().Cut(c.Host(w[0]), c.Host(w[1]))
	}
	return func() error {
		for _, w := range ways {
			c.Net().Mend(c.Host(w[0]), c.Host(w[1]))
		}
		return nil
	}, story
}

// Delay makes everything on the network slower.
type Delay struct {
	Low, High time.Duration // one way
	Link      bool          // only between two members, one way
}

func (d Delay) Kind() string { return "delay" }

func (d Delay) Inject(c Cluster, r *rand.Rand) (func() error, string) {
	n := c.Net()
	if d.Link {
		all := c.Members()
		i := r.Perm(len(all))
		a, b := all[i[0]], all[i[1]]
		n.SetLinkDelay(c.Host(a), c.Host(b), d.Low, d.High)
		return func() error { n.ClearLinkDelays(); return nil }, fmt.Sprintf("%v to %v from %s to %s", d.Low, d.High, a, b)
	}
	n.SetDelay(d.Low, d.High)
	return func() error { n.SetDelay(0, 0); return nil }, fmt.Sprintf("%v to %v everywhere", d.Low, d.High)
}

// Loss loses a share of what is sent: packets for good, of streams until they are sent again.
type Loss struct{ Share float64 }

func (l Loss) Kind() string { return "loss" }

func (l Loss) Inject(c Cluster, _ *rand.Rand) (func() error, string) {
	c.Net().SetLoss(l.Share)
	return func() error { c.Net().SetLoss(0); return nil }, fmt.Sprintf("%.0f%% everywhere", 100*l.Share)
}

// Duplicate delivers a share of the packets twice.
type Duplicate struct{ Share float64 }

func (d Duplicate) Kind() string { return "duplicate" }

func (d Duplicate) Inject(c Cluster, _ *rand.Rand) (func() error, string) {
	c.Net().SetDuplicate(d.Share)
	return func() error { c.Net().SetDuplicate(0); return nil }, fmt.Sprintf("%.0f%% of the packets", 100*d.Share)
}

// Reset breaks a member's streams with all others.
type Reset struct{ Who Who }

func (x Reset) Kind() string { return "reset" }

func (x Reset) Inject(c Cluster, r *rand.Rand) (func() error, string) {
	one := x.Who.pick(c, r)
	for _, h := range hosts(c, others(c, one)) {
		c.Net().Reset(c.Host(one), h)
	}
	return nil, "all streams of " + one
}
