package strong

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

func mustCreate(t *testing.T, tier tiers.Tier, s tiers.SessionID, path string, mode tiers.CreateMode) tiers.Result {
	t.Helper()
	r, err := tiers.Do(t.Context(), tier, tiers.Txn{Session: s, Ops: []tiers.Op{{Kind: tiers.OpCreate, Path: path, Data: []byte(path), Mode: mode, ACL: tiers.OpenACL}}})
	if err != nil {
		t.Fatal(err)
	}
	return r.Results[0]
}

func openSession(t *testing.T, tier *Tier, id tiers.SessionID) {
	t.Helper()
	if _, err := tiers.Do(t.Context(), tier, tiers.Txn{Session: id, Ops: []tiers.Op{{Kind: tiers.OpOpenSession, Timeout: time.Hour}}}); err != nil {
		t.Fatal(err)
	}
}

// imageOf is what a member's tree holds.
func imageOf(t *testing.T, m *member) string {
	t.Helper()
	s, err := m.tier.tree.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		leader := c.leader("")
		at := c.others(leader)[0] // it is asked of a follower
		const before, later = tiers.SessionID(5<<48 + 1), tiers.SessionID(5<<48 + 2)
		openSession(t, at.tier, before)
		mustCreate(t, at.tier, 0, "/kept", tiers.Persistent)
		mustCreate(t, at.tier, 0, "/queue", tiers.Persistent)
		mustCreate(t, at.tier, before, "/queue/n-", tiers.EphemeralSequential)
		for i := range 1000 { // several pieces
			mustCreate(t, at.tier, 0, fmt.Sprint("/many-", i, string(bytes.Repeat([]byte("x"), 300))), tiers.Persistent)
		}
		raw := backupOf(t, leader.tier)

		openSession(t, at.tier, later)
		var last tiers.Result
		for range 9 {
			last = mustCreate(t, at.tier, later, "/queue/n-", tiers.EphemeralSequential)
		}
		if _, err := c.try(at.tier, 0, tiers.Op{Kind: tiers.OpDelete, Path: "/kept", Version: -1}); err != nil {
			t.Fatal(err)
		}
		mustCreate(t, at.tier, 0, "/forgotten", tiers.Persistent)
		present := at.tier.tree.Zxid()
		for _, cut := range []int{0, 100, len(raw) - 1} {
			if _, err := at.tier.RestoreBackup(t.Context(), bytes.NewReader(raw[:cut])); !errors.Is(err, ErrBackup) || at.tier.tree.Zxid() != present {
				t.Errorf("cut at %d: %v", cut, err)
			}
		}
		bad := bytes.Clone(raw)
		bad[len(bad)/2] ^= 1
		if _, err := at.tier.RestoreBackup(t.Context(), bytes.NewReader(bad)); !errors.Is(err, ErrBackup) || at.tier.tree.Zxid() != present {
			t.Errorf("damaged: %v", err)
		}

		busy := make(chan error, 1)
		go func() { // writes go on meanwhile, and none is lost or unknown
			for i := range 200 {
				if _, err := c.try(leader.tier, 0, tiers.Op{Kind: tiers.OpSetData, Path: "/zookeeper", Data: fmt.Append(nil, i), Version: -1}); err != nil {
					busy <- err
					return
				}
			}
			busy <- nil
		}()
		done, err := at.tier.RestoreBackup(t.Context(), bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if err := <-busy; err != nil {
			t.Errorf("a write meanwhile: %v", err)
		}
		if done.Zxid <= present || done.Ended != 2 || done.Backup.Tree.Sessions != 1 {
			t.Errorf("%+v", done)
		}
		for _, id := range []tiers.SessionID{before, later} {
			if _, err := c.try(at.tier, id, tiers.Op{Kind: tiers.OpCreate, Path: "/of-an-ended-session", ACL: tiers.OpenACL}); !errors.Is(err, tiers.ErrSessionExpired) {
				t.Errorf("a session of before: %v", err)
			}
		}
		for path, want := range map[string]error{"/kept": nil, "/forgotten": tiers.ErrNoNode} {
			if _, err := at.tier.Read(t.Context(), tiers.Query{Path: path, Want: tiers.WantData, Fresh: true}); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", path, err, want)
			}
		}
		next := mustCreate(t, leader.tier, 0, "/queue/n-", tiers.PersistentSequential)
		if next.Path <= last.Path || next.Stat.Czxid <= last.Stat.Czxid {
			t.Errorf("a lock's name %s and token %v after %s and %v", next.Path, next.Stat.Czxid, last.Path, last.Stat.Czxid)
		}
		for _, m := range c.members {
			if err := m.tier.WaitZxid(t.Context(), leader.tier.tree.Zxid()); err != nil {
				t.Fatal(err)
			}
			if imageOf(t, m) != imageOf(t, leader) {
				t.Errorf("%s has another tree than the leader", m.name)
			}
		}
		// A member that starts again comes to the same by its log.
		c.stop(at)
		c.start(at)
		c.ready(at)
		if imageOf(t, at) != imageOf(t, leader) {
			t.Error("after its restart, a member has another tree than the leader")
		}
	})
}

// TestRestoreWithoutItsLeader: a restore that loses its leader changes nothing, or all; and what was staged is not kept.
func TestRestoreWithoutItsLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		leader := c.leader("")
		at := c.others(leader)[0]
		for i := range 2000 {
			mustCreate(t, at.tier, 0, fmt.Sprint("/many-", i, string(bytes.Repeat([]byte("x"), 300))), tiers.Persistent)
		}
		raw := backupOf(t, at.tier)
		mustCreate(t, at.tier, 0, "/new", tiers.Persistent)
		ended := make(chan error, 1)
		held := &heldReader{Reader: bytes.NewReader(raw), half: int64(len(raw) / 2), open: make(chan struct{})}
		go func() {
			_, err := at.tier.RestoreBackup(t.Context(), held)
			ended <- err
		}()
		synctest.Wait()
		if !at.tier.tree.Staging() {
			t.Fatal("nothing is staged")
		}
		if _, err := at.tier.RestoreBackup(t.Context(), bytes.NewReader(raw)); !errors.Is(err, ErrRestoring) {
			t.Errorf("a second one at once: %v", err)
		}
		if f := leader.tier.raft.Snapshot(); f.Error() == nil {
			t.Error("a snapshot was taken that does not have what is staged")
		}
		c.stop(leader)
		c.leader(leader.name)
		close(held.open)
		if err := <-ended; !errors.Is(err, ErrNotRestored) {
			t.Errorf("without its leader: %v", err)
		}
		c.ready(at)
		if _, err := at.tier.Read(t.Context(), tiers.Query{Path: "/new", Want: tiers.WantData, Fresh: true}); err != nil || at.tier.tree.Staging() {
			t.Errorf("half of a restore has happened: %v", err)
		}
		if _, err := at.tier.RestoreBackup(t.Context(), bytes.NewReader(raw)); err != nil {
			t.Errorf("again: %v", err)
		}
		c.start(leader)
		c.ready(leader)
		for _, m := range c.others(at) {
			if err := m.tier.WaitZxid(t.Context(), at.tier.tree.Zxid()); err != nil || imageOf(t, m) != imageOf(t, at) {
				t.Errorf("%s has another tree: %v", m.name, err)
			}
		}
		for _, m := range c.members {
			if m != at {
				c.stop(m)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := at.tier.RestoreBackup(ctx, bytes.NewReader(raw)); !errors.Is(err, ErrNotRestored) {
			t.Errorf("without a majority: %v", err)
		}
	})
}

// heldReader stops, when it is read for the second time, at half of it, until open is closed.
type heldReader struct {
	*bytes.Reader
	half  int64
	again bool
	open  chan struct{}
}

func (h *heldReader) Seek(offset int64, whence int) (int64, error) {
	h.again = true
	return h.Reader.Seek(offset, whence)
}

func (h *heldReader) Read(b []byte) (int, error) {
	if h.again && h.Size()-int64(h.Len()) > h.half {
		<-h.open
	}
	return h.Reader.Read(b)
}
