package faults

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/strata-coord/strata/internal/simdisk"
)

// Step is one fault of a schedule.
type Step struct {
	At    time.Duration // since the round began
	For   time.Duration // until it is healed, at the end of the round at the latest
	Fault Fault
}

// Schedule is what goes wrong in one round. At its end everything is healed.
type Schedule struct {
	Length time.Duration
	Steps  []Step // by At
}

// Options are of [Generate].
type Options struct {
	Length time.Duration // of the round; default 30s
	// Gap is the mean time from the beginning of one fault to that of the next. Default 4s.
	Gap time.Duration
	// Longest is the longest that a fault lasts. Default 10s.
	Longest time.Duration
	// Make chooses the next fault. Default: Any.
	Make func(*rand.Rand) Fault
}

// Generate makes a schedule: the same one for the same state of r and options. Faults may overlap.
func Generate(r *rand.Rand, o Options) Schedule {
	o.Length = cmp.Or(o.Length, 30*time.Second)
	o.Gap = cmp.Or(o.Gap, 4*time.Second)
	o.Longest = cmp.Or(o.Longest, 10*time.Second)
	if o.Make == nil {
		o.Make = Any
	}
	s := Schedule{Length: o.Length}
	for at := between(r, 0, o.Gap); at < o.Length; at += between(r, 0, 2*o.Gap) {
		s.Steps = append(s.Steps, Step{At: at, For: length(r, o.Longest), Fault: o.Make(r)})
	}
	slices.SortStableFunc(s.Steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return s
}

func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)))
}

// length prefers short ones: a fault as long as an election is the most interesting.
func length(r *rand.Rand, longest time.Duration) time.Duration {
	d := time.Duration(float64(longest) * r.Float64() * r.Float64())
	return max(d, 5*time.Millisecond)
}

// Any draws a fault of any kind.
func Any(r *rand.Rand) Fault {
	who := []Who{Anyone, Leader, Follower}[r.IntN(3)]
	tail := simdisk.Tail(r.IntN(3))
	switch r.IntN(22) {
	case 0:
		return Partition{Shape: Symmetric}
	case 1:
		return Partition{Shape: OneWay, Who: who, Link: r.IntN(2) == 0}
	case 2:
		return Partition{Shape: Bridge, Who: who}
	case 3:
		return Partition{Shape: Isolate}
	case 4:
		return Partition{Shape: Deaf, Who: who, Link: r.IntN(2) == 0}
	case 5:
		low := between(r, 0, 100*time.Millisecond)
		return Delay{Low: low, High: low + between(r, time.Millisecond, 150*time.Millisecond), Link: r.IntN(2) == 0}
	case 6:
		return Loss{Share: 0.02 + 0.2*r.Float64()}
	case 7:
		return Duplicate{Share: r.Float64()}
	case 8:
		return Reset{Who: who}
	case 9, 10:
		return Kill{Who: who, Tail: tail}
	case 11:
		return Kill{Who: Leader, Tail: tail}
	case 12:
		return Kill{All: true, Tail: tail}
	case 13, 14:
		return Pause{Who: who}
	case 15:
		return DiskStall{Who: who}
	case 16:
		return DiskSlow{Who: who, By: between(r, time.Millisecond, 300*time.Millisecond)}
	case 17:
		if r.IntN(2) == 0 {
			return DiskFull{Who: who, Room: r.Int64N(4096)}
		}
		return DiskFail{Who: who, Writes: 1 + r.IntN(2), Any: r.IntN(2) == 0}
	case 18:
		return Handover{}
	case 19:
		return Stop{Who: who}
	case 20:
		return ClockJump{Who: who, By: between(r, -time.Hour, time.Hour)}
	default:
		return ClockDrift{Who: who, Rate: r.Float64() - 0.5}
	}
}
