package tree

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

func (d *driver) has(path string) bool {
	_, err := d.Read(tiers.Query{Path: path})
	return err == nil
}

// dueAt are the paths that are due, in order.
func (d *driver) dueAt(at int64) (paths []string) {
	for from, more := 0, true; more; more = from != 0 {
		var due []Reaping
		due, from = d.Due(at, from)
		for _, r := range due {
			paths = append(paths, r.Path)
		}
	}
	slices.Sort(paths)
	return paths
}

func TestReaping(t *testing.T) {
	d := drive(t)
	ttl := mk("/ttl", tiers.PersistentTTL)
	ttl.TTL = 100 * time.Millisecond
	d.must(0, mk("/c", tiers.Container), mk("/used", tiers.Container), mk("/used/x", 0), mk("/kept", tiers.Container), mk("/kept/x", 0), mk("/plain", 0), ttl)
	made := d.at
	if got := d.dueAt(made + 100); got != nil {
		t.Errorf("%v are due", got)
	}
	if got := d.dueAt(made + 101); !slices.Equal(got, []string{"/ttl"}) {
		t.Errorf("%v are due", got)
	}
	d.must(0, tiers.Op{Kind: tiers.OpDelete, Path: "/used/x", Version: -1})
	if got := d.dueAt(0); !slices.Equal(got, []string{"/used"}) {
		t.Errorf("%v are due", got)
	}
	proposed, _ := d.Due(made+101, 0)

	// Each has changed in another way when the proposal is applied; then they are as they were.
	d.must(0, mk("/used/x", 0), mk("/ttl/x", 0))
	z := d.Zxid()
	d.Reap(made+101, proposed)
	d.must(0, tiers.Op{Kind: tiers.OpDelete, Path: "/ttl/x", Version: -1}, tiers.Op{Kind: tiers.OpDelete, Path: "/used/x", Version: -1})
	d.must(0, tiers.Op{Kind: tiers.OpSetData, Path: "/ttl", Version: -1}) // restarts the clock
	d.Reap(d.at, proposed)
	d.must(0, tiers.Op{Kind: tiers.OpDelete, Path: "/ttl", Version: -1}, ttl)
	d.Reap(d.at+1000, []Reaping{proposed[slices.IndexFunc(proposed, func(r Reaping) bool { return r.Path == "/ttl" })], {"/plain", 1}, {"/", 0}, {"/none", 0}, {"", 0}})
	if !d.has("/ttl") || d.has("/used") || !d.has("/c") || !d.has("/kept") || !d.has("/plain") {
		t.Errorf("ttl %v, used %v", d.has("/ttl"), d.has("/used"))
	}
	if got := d.Zxid() - z; got != 4 {
		t.Errorf("%d commits", got)
	}

	// The entry's clock decides, and it does not go back.
	d.at = made + 10_000
	due, _ := d.Due(0, 0)
	heard := &log{}
	d.Hub().Add("/", tiers.ScopeRecursive, heard)
	d.Reap(0, due)
	if want := fmt.Sprint("NodeDeleted /ttl ", d.Zxid()); d.has("/ttl") || !slices.Equal(heard.events, []string{want}) {
		t.Errorf("%v, want %s", heard.events, want)
	}
}

// The index follows the znodes: through failed txns, changes of data, deletes and restores.
func TestIndexOfMortals(t *testing.T) {
	d := drive(t)
	const n = reapScan + 10
	for i := range n {
		c := fmt.Sprintf("/c%d", i)
		d.must(0, mk(c, tiers.Container), mk(c+"/x", 0), tiers.Op{Kind: tiers.OpDelete, Path: c + "/x", Version: -1})
	}
	if due, next := d.Due(0, 0); len(due) != reapScan || next != reapScan {
		t.Errorf("%d are due in the first part, the next is %d", len(due), next)
	}
	if due, next := d.Due(0, 1<<30); len(due) != 0 || next != 0 {
		t.Errorf("beyond the end: %d, %d", len(due), next)
	}
	if got := len(d.dueAt(0)); got != n {
		t.Errorf("%d are due, want %d", got, n)
	}
	for i := 0; i < n; i += 2 {
		d.must(0, tiers.Op{Kind: tiers.OpDelete, Path: fmt.Sprintf("/c%d", i), Version: -1})
	}
	d.must(0, tiers.Op{Kind: tiers.OpSetData, Path: "/c1", Version: -1})
	if _, err := d.do(0, mk("/new", tiers.Container), tiers.Op{Kind: tiers.OpDelete, Path: "/c3", Version: -1}, tiers.Op{Kind: tiers.OpCheck, Path: "/none"}); err == nil {
		t.Error("the multi succeeds")
	}
	want := d.dueAt(0)
	if len(want) != n/2 || len(d.mortals.paths) != n/2 || len(d.mortals.at) != n/2 {
		t.Errorf("%d are due of %d", len(want), len(d.mortals.paths))
	}
	back := &driver{Tree: New(), t: t}
	if err := back.Restore(bytes.NewReader(snapshotOf(t, d.Tree))); err != nil {
		t.Fatal(err)
	}
	if got := back.dueAt(0); !slices.Equal(got, want) {
		t.Errorf("restored, %d are due, want %d", len(got), len(want))
	}
}

// due tells whether a znode's end has come.
func (z *mz) due(at int64) bool {
	switch z.mode {
	case tiers.Container, tiers.ContainerSequential:
		return z.stat.NumChildren == 0 && z.created > 0
	case tiers.PersistentTTL, tiers.PersistentSequentialTTL:
		return z.stat.NumChildren == 0 && at-z.stat.Mtime > z.ttl
	}
	return false
}

// reap has both delete all that exists; only that whose end has come goes, in the order in which it is proposed.
func (m *model) reap(t *testing.T, tr *Tree, at int64, when string) (n int) {
	var all []Reaping
	candidates := map[Reaping]bool{}
	m.at = max(m.at, at)
	for _, path := range slices.Sorted(maps.Keys(m.znodes)) {
		z := m.znodes[path]
		all = append(all, Reaping{path, z.stat.Czxid + 1}, Reaping{path, z.stat.Czxid})
		if z.due(m.at) {
			candidates[Reaping{path, z.stat.Czxid}] = true
		}
	}
	due, next := tr.Due(at, 0)
	if next != 0 || len(due) != len(candidates) {
		t.Fatalf("%s: %v are due; the model says %v", when, due, candidates)
	}
	for _, r := range due {
		if !candidates[r] {
			t.Fatalf("%s: %v is due, and not in the model", when, r)
		}
	}
	heard := &log{}
	heard.arm(tr, m, nil)
	tr.Reap(at, append(all, all...))
	tr.Hub().Remove("", tiers.ScopeAny, heard)
	for _, r := range append(all, all...) {
		if z, ok := m.znodes[r.Path]; ok && z.stat.Czxid == r.Czxid && z.due(m.at) {
			m.zxid++
			m.remove(r.Path)
			n++
		}
	}
	if !slices.Equal(heard.events, m.events) {
		t.Fatalf("%s: reaping:\nevents %v; the model says\n%v", when, heard.events, m.events)
	}
	m.events = nil
	return n
}
