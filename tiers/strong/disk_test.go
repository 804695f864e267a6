package strong

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/tiers"
)

// openOnDisk opens one member on the system's network and the stores in dir.
func openOnDisk(t *testing.T, dir string) *Tier {
	t.Helper()
	port, err := peernet.Open(peernet.System(), "127.0.0.1:0", peernet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tier, err := Open(Config{Name: "alone", Dir: dir, Port: port, Logger: testLogger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tier.Close(); err != nil {
			t.Error(err)
		}
		if err := port.Close(); err != nil {
			t.Error(err)
		}
	})
	return tier
}

func TestRestartFromDisk(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for start := uint32(1); start <= 3; start++ {
		tier := openOnDisk(t, dir)
		fresh, err := tier.Fresh()
		if err != nil || fresh != (start == 1) {
			t.Fatalf("start %d: fresh is %v, %v", start, fresh, err)
		}
		if fresh {
			if err := tier.Bootstrap([]Server{{Name: "alone", Address: tier.cfg.Advertise, Voter: true}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := tier.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if n, inc, _ := tier.Number(); n != 1 || inc != start {
			t.Errorf("start %d: number %d, incarnation %d", start, n, inc)
		}
		var last *tiers.Pending
		for i := range 1000 {
			last = tier.Submit(ctx, tiers.Txn{Ops: []tiers.Op{create(fmt.Sprintf("/%d-%d", start, i), "x", tiers.Persistent)}})
		}
		if _, err := last.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		v, err := tier.Read(ctx, tiers.Query{Path: "/", Want: tiers.WantChildren})
		if err != nil || len(v.Children) != int(start)*1000+1 {
			t.Errorf("start %d: %d children, %v", start, len(v.Children), err)
		}
		if start == 2 {
			if err := tier.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
		if err := tier.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamagedStableStore(t *testing.T) {
	dir := t.TempDir()
	tier := openOnDisk(t, dir)
	if err := tier.Bootstrap([]Server{{Name: "alone", Address: tier.cfg.Advertise, Voter: true}}); err != nil {
		t.Fatal(err)
	}
	if err := tier.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "stable.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// open opens a damaged copy: what can't be opened again in one process, as a fault has left it locked, lies elsewhere.
	open := func(b []byte) error {
		t.Helper()
		cfg := Config{Dir: t.TempDir(), Logger: testLogger()}
		if err := os.WriteFile(filepath.Join(cfg.Dir, "stable.db"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openStores(&cfg)
		if err == nil {
			err = s.close()
		}
		return err
	}
	if err := open(whole); err != nil {
		t.Fatalf("the whole one: %v", err)
	}
	page := os.Getpagesize()
	refused := 0
	for at := 0; at < len(whole); at += page / 4 {
		bad := bytes.Clone(whole)
		for i := range 64 {
			bad[at+i] ^= 0x55
		}
		if err := open(bad); err != nil {
			refused++
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "stable.db") {
				t.Errorf("with other bytes at %d: %v; want ErrCorrupt that names the file", at, err)
			}
		}
	}
	if refused == 0 {
		t.Error("damage was never noticed")
	}
	both := bytes.Clone(whole)
	clear(both[:2*page])
	for _, bad := range [][]byte{both, []byte("no database"), whole[:3*page]} {
		if err := open(bad); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "put the directory back") {
			t.Errorf("%d bytes: %v; want ErrCorrupt, and what to do", len(bad), err)
		}
	}
}
