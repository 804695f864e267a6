package strong

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/strata-coord/strata/tiers"
)

func backupOf(t *testing.T, tier *Tier) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := tier.Backup(t.Context(), &b, "c"); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		c.form()
		tier := c.members[0].tier
		for i := range 100 {
			if _, err := c.try(tier, 0, tiers.Op{Kind: tiers.OpCreate, Path: fmt.Sprint("/n", i), Data: []byte("data"), ACL: tiers.OpenACL}); err != nil {
				t.Fatal(err)
			}
		}
		raw := backupOf(t, tier)
		info, err := ReadBackup(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if info.Zxid != tier.tree.Zxid() || info.Member != "m1" || info.Cluster != "c" || info.Bytes != int64(len(raw)) || info.Tree.Znodes != 104 || info.LastEntry.IsZero() || info.Time.IsZero() {
			t.Errorf("%+v", info)
		}
		for _, cut := range []int{0, 3, 11, 30, len(raw) / 2, len(raw) - 1} {
			if _, err := ReadBackup(bytes.NewReader(raw[:cut])); !errors.Is(err, ErrBackup) {
				t.Errorf("cut at %d: %v", cut, err)
			}
		}
		for i := range raw {
			bad := bytes.Clone(raw)
			bad[i] ^= 1
			if _, err := ReadBackup(bytes.NewReader(bad)); !errors.Is(err, ErrBackup) {
				t.Fatalf("a flipped bit at %d: %v", i, err)
			}
		}
		if _, err := ReadBackup(bytes.NewReader(append(raw, 0))); !errors.Is(err, ErrBackup) {
			t.Errorf("something follows: %v", err)
		}
	})
}

// TestBackupWaitsForSnapshot: raft's own snapshot goes first, and a backup that is given up leaves nothing behind.
func TestBackupWaitsForSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		c.form()
		tier := c.members[0].tier
		other, err := tier.tree.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		given := make(chan error, 1)
		go func() {
			_, err := tier.Backup(ctx, new(bytes.Buffer), "c")
			given <- err
		}()
		done := make(chan error, 1)
		var b bytes.Buffer
		go func() {
			_, err := tier.Backup(t.Context(), &b, "c")
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-given; !errors.Is(err, context.Canceled) {
			t.Errorf("given up: %v", err)
		}
		if b.Len() != 0 {
			t.Error("a backup began while another snapshot was written")
		}
		other.Release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if _, err := ReadBackup(&b); err != nil {
			t.Error(err)
		}
		if _, err := tier.Backup(t.Context(), failing{}, "c"); !errors.Is(err, errFull) {
			t.Errorf("to a full disk: %v", err)
		}
		backupOf(t, tier) // the failed one has let go
	})
}

var errFull = errors.New("full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

func FuzzReadBackup(f *testing.F) {
	f.Add([]byte(backupMagic))
	f.Add([]byte(backupMagic + "\x00\x00\x00\x02{}"))
	f.Add([]byte(backupMagic + "\x00\x00\x00\x02{}strata\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ReadBackup(bytes.NewReader(b)); err != nil && !errors.Is(err, ErrBackup) {
			t.Errorf("an error without its kind: %v", err)
		}
	})
}
