package strong

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strata-coord/strata/internal/simdisk"
	"github.com/strata-coord/strata/tiers"
)

// rooms is the room on each member's disk.
type rooms struct {
	mu   sync.Mutex
	free map[string]uint64
}

const total = 10 << 30

func newRooms() *rooms { return &rooms{free: make(map[string]uint64)} }

func (r *rooms) set(free uint64, names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		r.free[name] = total - free // what is used: none before the first call
	}
}

func (r *rooms) tune(c *Config) {
	name := c.Name
	c.Space = func() (uint64, uint64, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return total - r.free[name], total, nil
	}
}

func (m *faultMember) try(t *testing.T, ops ...tiers.Op) error {
	_, err := tiers.Do(t.Context(), m.now(), tiers.Txn{Ops: ops})
	return err
}

func TestDisksOfAMajorityNearlyFull(t *testing.T) {
	r := newRooms()
	onDisks(t, 3, r.tune, func(t *testing.T, c *faultCluster) {
		leader := c.leads(t)
		for i := range 3 {
			leader.write(t, fmt.Sprintf("/old%d", i))
		}
		for _, full := range [][]*faultMember{c.members, c.others(leader)} {
			for _, m := range full {
				r.set(60<<20, m.name)
			}
			for _, m := range c.members {
				until(t, m.name+" refuses", time.Second, func() bool { return m.try(t, set("/old2", "new")) != nil })
				err := m.try(t, create("/new", "x", tiers.Persistent))
				if !errors.Is(err, tiers.ErrNoSpace) || !errors.Is(err, tiers.ErrUnavailable) || errors.Is(err, tiers.ErrUnknownOutcome) {
					t.Errorf("at %s: %v; want ErrNoSpace", m.name, err)
				}
				for _, want := range []string{full[0].name + " has 60 MiB free and keeps", "make room"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q does not say %q", err, want)
					}
				}
				if n := len(m.children(t)); n < 1 {
					t.Errorf("%d znodes", n)
				}
			}
			if s := full[0].now().Status(); !strings.Contains(s.Disk, "60 MiB free") {
				t.Errorf("its status says of its disk: %q", s.Disk)
			}
			<-time.After(10 * time.Second)
			if now := c.leads(t); now != leader {
				t.Errorf("%s leads now", now.name)
			}
			// What makes room is taken.
			if err := full[0].try(t, tiers.Op{Kind: tiers.OpDelete, Path: "/" + full[0].children(t)[0], Version: tiers.AnyVersion}); err != nil {
				t.Errorf("a delete: %v", err)
			}
			for _, m := range full {
				r.set(70<<20, m.name) // too little more
			}
			<-time.After(time.Second)
			if err := leader.try(t, create("/new", "x", tiers.Persistent)); !errors.Is(err, tiers.ErrNoSpace) {
				t.Errorf("with little more room: %v", err)
			}
			for _, m := range full {
				r.set(total/2, m.name)
			}
			for _, m := range c.members {
				until(t, m.name+" takes writes again", time.Second, func() bool { return m.try(t, set("/old2", "new")) == nil })
			}
		}
	})
}

func TestLeaderIsWhereThereIsRoom(t *testing.T) {
	r := newRooms()
	onDisks(t, 3, r.tune, func(t *testing.T, c *faultCluster) {
		old := c.leads(t)
		<-time.After(5 * time.Second)
		r.set(40<<20, old.name)
		until(t, "another leader", 5*time.Second, func() bool { return c.Leader() != "" && c.Leader() != old.name })
		for i := range 20 {
			for _, m := range c.members {
				if took := m.write(t, fmt.Sprintf("/%s-%d", m.name, i)); took > time.Second {
					t.Errorf("a write at %s took %v", m.name, took)
				}
			}
			<-time.After(500 * time.Millisecond)
			if c.Leader() == old.name {
				t.Fatal("it leads again")
			}
		}
	})
}

// Disks that really are full, on all members at once: reads go on, and so do writes when there is room again.
func TestFullDisks(t *testing.T) {
	r := newRooms()
	onDisks(t, 3, r.tune, func(t *testing.T, c *faultCluster) {
		leader := c.leads(t)
		leader.write(t, "/old")
		for _, m := range c.members {
			m.disk.Set(simdisk.Faults{Capacity: m.disk.Used() + 1})
			r.set(1000, m.name)
		}
		for range 100 {
			for _, m := range c.members {
				if got := m.children(t); len(got) != 1 {
					t.Errorf("%s shows %v", m.name, got)
				}
			}
			<-time.After(300 * time.Millisecond)
		}
		for _, m := range c.members {
			if err := m.try(t, create("/"+m.name, "x", tiers.Persistent)); !errors.Is(err, tiers.ErrNoSpace) {
				t.Errorf("at %s: %v", m.name, err)
			}
		}
		for _, m := range c.members {
			m.disk.Set(simdisk.Faults{})
			r.set(total, m.name)
		}
		for _, m := range c.members {
			until(t, m.name+" takes writes again", 2*time.Second, func() bool { return m.try(t, set("/old", m.name)) == nil })
		}
	})
}

// The disk of one member is full, and nobody knew before.
func TestOneFullDisk(t *testing.T) {
	onDisks(t, 3, nil, func(t *testing.T, c *faultCluster) {
		for _, full := range c.members {
			full.disk.Set(simdisk.Faults{Capacity: full.disk.Used() + 1})
			asked := c.others(full)[0]
			for i := range 30 {
				limit := 300 * time.Millisecond
				if i == 0 {
					limit = 2 * time.Second
				}
				if took := asked.write(t, fmt.Sprintf("/%s-%d", full.name, i)); took > limit {
					t.Errorf("with %s full, write %d took %v", full.name, i, took)
				}
				<-time.After(100 * time.Millisecond)
			}
			if c.Leader() == full.name {
				t.Error("the member with the full disk leads")
			}
			if s := full.now().Status(); !strings.Contains(s.Disk, "no space left") {
				t.Errorf("%s says of its disk: %q", full.name, s.Disk)
			}
			full.disk.Set(simdisk.Faults{})
			until(t, full.name+" catches up", 5*time.Second, func() bool {
				return full.now().Status().Disk == "" && full.now().Status().Zxid == asked.now().Status().Zxid
			})
		}
	})
}
