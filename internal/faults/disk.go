package faults

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/strata-coord/strata/internal/simdisk"
)

// wrong makes that what is wrong with a member's disk until healed.
func wrong(c Cluster, member string, f simdisk.Faults) func() error {
	c.Disk(member).Set(f)
	return func() error { c.Disk(member).Set(simdisk.Faults{}); return nil }
}

// DiskStall makes a member's writes hang.
type DiskStall struct{ Who Who }

func (s DiskStall) Kind() string { return "disk stall" }

func (s DiskStall) Inject(c Cluster, r *rand.Rand) (func() error, string) {
	one := s.Who.pick(c, r)
	return wrong(c, one, simdisk.Faults{Stall: true}), "of " + one
}

// DiskSlow makes each fsync of a member take that much longer.
type DiskSlow struct {
	Who Who
	By  time.Duration
}

func (s DiskSlow) Kind() string { return "disk slow" }

func (s DiskSlow) Inject(c Cluster, r *rand.Rand) (func() error, string) {
	one := s.Who.pick(c, r)
	return wrong(c, one, simdisk.Faults{Slow: s.By}), fmt.Sprintf("of %s by %v", one, s.By)
}

// DiskFull leaves a member so much room on its disk.
type DiskFull struct {
	Who  Who
	Room int64 // bytes
}

func (f DiskFull) Kind() string { return "disk full" }

func (f DiskFull) Inject(c Cluster, r *rand.Rand) (func() error, string) {
	one := f.Who.pick(c, r)
	return wrong(c, one, simdisk.Faults{Capacity: c.Disk(one).Used() + max(f.Room, 1)}), fmt.Sprintf("of %s, but for %d bytes", one, f.Room)
}

// DiskFail makes a member's next writes to its log fail with EIO: one, unless Writes says more.
type DiskFail struct {
	Who    Who
	Writes int
	Any    bool // not only to its log
}

func (f DiskFail) Kind() string { return "disk fail" }

func (f DiskFail) Inject(c Cluster, r *rand.Rand) (func() error, string) {
	one := f.Who.pick(c, r)
	n := max(f.Writes, 1)
	return wrong(c, one, simdisk.Faults{FailWrites: n, FailAny: f.Any}), fmt.Sprintf("%d writes of %s", n, one)
}
