package strong

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/internal/simdisk"
	"github.com/strata-coord/strata/tiers"
)

// A follower whose disk fails just when it replaces the end of its log takes the leader's entries when the disk is well again.
func TestFailedWriteBehindACutIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFaultCluster(t, 1, 3, nil)
		defer c.stop()
		if err := c.form(t.Context()); err != nil {
			t.Fatal(err)
		}
		old := c.member(c.Leader())
		var rest []*faultMember
		for _, m := range c.members {
			if m != old {
				rest = append(rest, m)
				c.net.Partition([]string{old.host}, []string{m.host})
			}
		}
		for i := range 3 { // these stay at the old leader
			old.now().Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{create(fmt.Sprintf("/old%d", i), "", tiers.Persistent)}})
		}
		for i := range 10 {
			if _, err := tiers.Do(t.Context(), rest[0].now(), tiers.Txn{Ops: []tiers.Op{create(fmt.Sprintf("/new%d", i), "", tiers.Persistent)}}); err != nil {
				t.Fatal(err)
			}
		}
		old.disk.Set(simdisk.Faults{FailWrites: 1})
		c.net.Heal()
		begun := time.Now()
		if err := c.agree(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begun); d > 10*time.Second || old.disk.Faults().FailWrites != 0 {
			t.Errorf("it took %v, and %d writes are still to fail", d, old.disk.Faults().FailWrites)
		}
	})
}

// A leader that is handing over refuses what it is asked to propose. That must not become a loop that spins: on fake time it never ends.
func TestWritesWhileHandingOverDontSpin(t *testing.T) {
	watchdog := time.AfterFunc(30*time.Second, func() { panic("the sender spins") })
	defer watchdog.Stop()
	synctest.Test(t, func(t *testing.T) {
		c := newFaultCluster(t, 1, 3, nil)
		defer c.stop()
		if err := c.form(t.Context()); err != nil {
			t.Fatal(err)
		}
		old := c.member(c.Leader())
		next := c.members[0]
		if next == old {
			next = c.members[1]
		}
		c.net.Freeze(next.host)
		moved := old.now().raft.LeadershipTransferToServer(raft.ServerID(next.name), raft.ServerAddress(next.host+":7400"))
		p := old.now().Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{create("/a", "", tiers.Persistent)}})
		if err := moved.Error(); err == nil {
			t.Error("the leadership went to a member that stands still")
		}
		c.net.Thaw(next.host)
		if _, err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
