package strong

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/internal/simdisk"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// A snapshot that is older than what a member has applied changes nothing there: neither its tree nor its log.
func TestOlderSnapshotIsNotInstalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFaultCluster(t, 1, 3, nil)
		defer c.stop()
		if err := c.form(t.Context()); err != nil {
			t.Fatal(err)
		}
		leader := c.member(c.Leader())
		follower := c.members[0]
		if follower == leader {
			follower = c.members[1]
		}
		write := func(name string) {
			t.Helper()
			if _, err := tiers.Do(t.Context(), leader.now(), tiers.Txn{Ops: []tiers.Op{create(name, "", tiers.Persistent)}}); err != nil {
				t.Fatal(err)
			}
		}
		write("/old")
		if err := leader.now().raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			write(fmt.Sprintf("/new%d", i))
		}
		if err := agreeSoon(t, c); err != nil {
			t.Fatal(err)
		}
		zxid, last := follower.now().tree.Zxid(), follower.now().raft.LastIndex()

		_, _, snapshots := leader.disk.Open()
		metas, err := snapshots.List()
		if err != nil || len(metas) == 0 {
			t.Fatalf("%d snapshots, %v", len(metas), err)
		}
		meta, r, err := snapshots.Open(metas[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		trans := leader.now().transport
		self := trans.EncodePeer(raft.ServerID(leader.name), raft.ServerAddress(leader.host+":7400"))
		req := &raft.InstallSnapshotRequest{
			RPCHeader:       raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(leader.name), Addr: self},
			SnapshotVersion: meta.Version, Term: leader.now().raft.CurrentTerm(), Leader: self, LastLogIndex: meta.Index, LastLogTerm: meta.Term,
			Size: meta.Size, Configuration: raft.EncodeConfiguration(meta.Configuration), ConfigurationIndex: meta.ConfigurationIndex,
		}
		var resp raft.InstallSnapshotResponse
		if err := trans.InstallSnapshot(raft.ServerID(follower.name), raft.ServerAddress(follower.host+":7400"), req, &resp, r); err != nil || !resp.Success {
			t.Errorf("the answer is %+v, %v", resp, err)
		}
		if z := follower.now().tree.Zxid(); z != zxid {
			t.Errorf("the tree went from %v to %v", zxid, z)
		}
		log, _, _ := follower.disk.Open()
		if n, err := log.LastIndex(); err != nil || n != last {
			t.Errorf("the log ends at %d instead of %d, %v", n, last, err)
		}
		write("/after")
		if err := agreeSoon(t, c); err != nil {
			t.Error(err)
		}
	})
}

// agreeSoon is agree within a minute.
func agreeSoon(t *testing.T, c *faultCluster) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return c.agree(ctx)
}

// A follower whose disk is full for long is sent ever older entries, and then a snapshot. It never goes back, and catches up when there is room.
func TestFullFollowerNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFaultCluster(t, 1, 3, snapshotOften)
		defer c.stop()
		if err := c.form(t.Context()); err != nil {
			t.Fatal(err)
		}
		leader := c.member(c.Leader())
		follower := c.members[0]
		if follower == leader {
			follower = c.members[1]
		}
		var newest tiers.Zxid
		for i := range 400 {
			if i == 100 {
				follower.disk.Set(simdisk.Faults{Capacity: follower.disk.Used() + 1})
			}
			op := tiers.Op{Kind: tiers.OpSetData, Path: "/", Data: bytes.Repeat([]byte{byte(i)}, 50), Version: tiers.AnyVersion}
			if _, err := tiers.Do(t.Context(), leader.now(), tiers.Txn{Ops: []tiers.Op{op}}); err != nil {
				t.Fatal(err)
			}
			<-time.After(20 * time.Millisecond)
			z := follower.now().tree.Zxid()
			if z < newest {
				t.Fatalf("write %d: the follower went from %v to %v", i, newest, z)
			}
			newest = z
		}
		follower.disk.Set(simdisk.Faults{})
		if err := agreeSoon(t, c); err != nil {
			t.Error(err)
		}
	})
}

// A deposed leader whose log is longer than the snapshot that it is sent takes the entries behind the snapshot.
func TestSnapshotShorterThanADivergentLog(t *testing.T) {
	watchdog := time.AfterFunc(30*time.Second, func() { panic("the leader spins") })
	defer watchdog.Stop()
	synctest.Test(t, func(t *testing.T) {
		c := newFaultCluster(t, 1, 3, func(c *Config) {
			tune := c.tune
			c.tune = func(rc *raft.Config) {
				tune(rc)
				rc.TrailingLogs = 1
			}
		})
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
		submit := func(m *faultMember, name string) *tiers.Pending {
			return m.now().Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{create(name, "", tiers.Persistent)}})
		}
		for range 20 {
			old.now().raft.Apply(tree.AppendEntry(nil, &tree.Entry{}), time.Second)
		}
		if _, err := submit(rest[0], "/new").Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		leader := c.member(c.Leader())
		if err := leader.now().raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		if mine, theirs := old.now().raft.LastIndex(), leader.now().raft.LastIndex(); mine <= theirs {
			t.Fatalf("the old log ends at %d, the new one at %d: this shows nothing", mine, theirs)
		}
		c.net.Heal()
		if err := agreeSoon(t, c); err != nil {
			t.Fatal(err)
		}
		for i := range 40 { // also beyond the old end
			if _, err := submit(rest[0], fmt.Sprintf("/after%d", i)).Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := agreeSoon(t, c); err != nil {
			t.Error(err)
		}
	})
}
