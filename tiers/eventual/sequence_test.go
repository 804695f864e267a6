package eventual

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// numbers gives each member of a cluster the number in its name.
func numbers(cfg *Config) {
	n := uint32(cfg.Name[1] - '0')
	cfg.Number = func() (uint32, bool) { return n, true }
}

// made creates a sequential znode at m and returns its name.
func (m *member) made(t *testing.T, s tiers.SessionID, path string, mode tiers.CreateMode) string {
	t.Helper()
	r, err := tiers.Do(t.Context(), m.tier, tiers.Txn{Session: s, Ops: []tiers.Op{create(path, mode)}})
	if err != nil {
		t.Fatalf("at %s: %v", m.name, err)
	}
	if r.Results[0].Stat.Ctime == 0 {
		t.Errorf("%s has no stat", r.Results[0].Path)
	}
	return r.Results[0].Path
}

func TestSequencesOfMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, numbers)
		m := c.members
		m[0].do(t, 0, create("/services/q", tiers.Persistent))
		c.until("all have the parent", func() bool { return m[1].has(t, "/services/q") && m[2].has(t, "/services/q") })
		for i, want := range []string{"a-0000000001", "a-0000001001", "b-0000002001", "0000003001"} {
			path := "/services/q/" + strings.TrimRight(want, "0123456789")
			if got := m[0].made(t, 0, path, tiers.PersistentSequential); got != "/services/q/"+want {
				t.Errorf("%d: created %s, want %s", i, got, want)
			}
		}
		if got := m[0].made(t, 0, "/services/", tiers.PersistentSequential); got != "/services/0000000001" {
			t.Errorf("another parent has the counter of the first: %s", got)
		}
		m[2].do(t, 9, open(20*time.Second))
		defer m[2].keep(9)()
		m[2].do(t, 0, create("/services/q/e-0000000003", tiers.Persistent)) // the name that would be next
		if got := m[2].made(t, 9, "/services/q/e-", tiers.EphemeralSequential); got != "/services/q/e-0000001003" {
			t.Errorf("created %s", got)
		}
		seen := make(map[string]bool)
		for i := range 300 {
			got := m[i%3].made(t, 0, "/services/q/n-", tiers.PersistentSequential)
			if seen[got] {
				t.Fatalf("%s was given twice", got)
			}
			seen[got] = true
		}
		_, err := tiers.Do(t.Context(), m[0].tier, tiers.Txn{Ops: []tiers.Op{create("/services/none/x-", tiers.PersistentSequential)}})
		if !errors.Is(err, tiers.ErrNoNode) {
			t.Errorf("below nothing: %v", err)
		}
	})
}

// A number is not given again by a later start, whatever became of its znode, and of the file of records.
func TestSequencesGoOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		c := newCluster(t, 1, numbers, func(cfg *Config) { cfg.Dir = dir })
		m := c.members[0]
		m.do(t, 0, create("/services/q", tiers.Persistent))
		var given []string
		for start := range 4 {
			for range 3 + start*countBlock/2 {
				path := m.made(t, 0, "/services/q/", tiers.PersistentSequential)
				given = append(given, path)
				m.do(t, 0, tiers.Op{Kind: tiers.OpDelete, Path: path, Version: tiers.AnyVersion})
			}
			c.until("the records are on disk", func() bool {
				m.tier.disk.mu.Lock()
				defer m.tier.disk.mu.Unlock()
				return len(m.tier.disk.queue) == 0
			})
			c.stop(m)
			c.start(m)
		}
		if !slices.IsSorted(given) || len(slices.Compact(slices.Clone(given))) != len(given) {
			t.Errorf("numbers were given again: %v", given)
		}
	})
}

func TestSequencesEnd(t *testing.T) {
	s, err := openSequences("", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.next["/q"] = maxCount
	n, err := s.take("/q")
	if got := numbered("/q/", n, numberSpan-1); err != nil || got != "/q/2147482999" {
		t.Errorf("the last one is %s, %v", got, err)
	}
	if _, err := s.take("/q"); !errors.Is(err, tiers.ErrNodeExists) {
		t.Errorf("beyond the last one: %v", err)
	}
	if n, err := s.take("/r"); n != 0 || err != nil {
		t.Errorf("elsewhere: %d, %v", n, err)
	}
}

func TestSequencesOfADamagedFile(t *testing.T) {
	dir := t.TempDir()
	s, err := openSequences(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.take("/q"); err != nil {
		t.Fatal(err)
	}
	for _, live := range []bool{true, false} {
		again, err := openSequences(dir, func(string) bool { return live })
		if want := map[bool]int{true: 1, false: 0}[live]; err != nil || len(again.mark) != want {
			t.Errorf("%d marks are back, want %d; %v", len(again.mark), want, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, sequencesFile), []byte(`{"/q":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openSequences(dir, nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a file that is cut off: %v", err)
	}
	if err := Check(dir, testLogger()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Check says %v", err)
	}
}

func TestNoSequencesWithoutANumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var number uint32
		c := newCluster(t, 1, func(cfg *Config) { cfg.Number = func() (uint32, bool) { return number, number != 0 } })
		for _, x := range []struct {
			number uint32
			err    error
		}{{0, tiers.ErrUnavailable}, {numberSpan, tiers.ErrContract}, {numberSpan - 1, nil}} {
			number = x.number
			_, err := tiers.Do(t.Context(), c.members[0].tier, tiers.Txn{Ops: []tiers.Op{create("/services/x-", tiers.PersistentSequential)}})
			if !errors.Is(err, x.err) {
				t.Errorf("number %d: %v, want %v", number, err, x.err)
			}
		}
		if !c.members[0].has(t, fmt.Sprintf("/services/x-%010d", numberSpan-1)) {
			t.Error("the last one is not there")
		}
	})
}
