// Package faults makes a cluster's life hard, by a plan that follows from a seed: option structs for every fault, schedules of them,
// and a nemesis that carries a schedule out and remembers what it did. It knows clusters only as [Cluster].
package faults

import (
	"math/rand/v2"

	"github.com/strata-coord/strata/internal/simdisk"
	"github.com/strata-coord/strata/internal/simnet"
)

// Cluster is what a nemesis needs of a cluster. It calls the methods from one goroutine.
type Cluster interface {
	Members() []string   // names, in order
	Leader() string      // as far as a majority knows; empty: none
	Running(string) bool // the member was started and not killed since
	Host(member string) string
	Net() *simnet.Net
	Disk(member string) *simdisk.Disk
	Clock(member string) *Clock
	// Kill ends a member at once, as SIGKILL or a loss of power would. It may be dead already.
	Kill(member string, tail simdisk.Tail)
	// Stop ends a member in the planned way. It does not wait for the end.
	Stop(member string)
	// Start starts a dead member from its disk.
	Start(member string) error
	// Handover asks the member to give the leadership to another, if it has it. It does not wait for the outcome.
	Handover(member string)
}

// Fault is one thing that goes wrong. The structs of this package implement it; their zero values are the plainest of their kind.
type Fault interface {
	// Kind names the struct.
	Kind() string
	// Inject begins the fault and tells what was done. heal ends it; nil: it is over already. r chooses what the struct leaves open.
	Inject(c Cluster, r *rand.Rand) (heal func() error, story string)
}

// Who chooses a member at the moment of the fault: the name of one, or one of these.
type Who string

const (
	Anyone   Who = ""
	Leader   Who = "leader" // anyone, while there is none
	Follower Who = "follower"
)

// pick finds the member that is meant.
func (w Who) pick(c Cluster, r *rand.Rand) string {
	all := c.Members()
	switch w {
	case Anyone:
	case Leader:
		if l := c.Leader(); l != "" {
			return l
		}
	case Follower:
		l := c.Leader()
		for _, i := range r.Perm(len(all)) {
			if all[i] != l {
				return all[i]
			}
		}
	default:
		return string(w)
	}
	return all[r.IntN(len(all))]
}

// others are the members but one.
func others(c Cluster, than string) (rest []string) {
	for _, m := range c.Members() {
		if m != than {
			rest = append(rest, m)
		}
	}
	return rest
}

// hosts are where members are.
func hosts(c Cluster, members []string) (ips []string) {
	for _, m := range members {
		ips = append(ips, c.Host(m))
	}
	return ips
}
