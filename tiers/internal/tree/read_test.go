package tree

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/strata-coord/strata/tiers"
)

func TestReads(t *testing.T) {
	d := drive(t)
	secret := mk("/secret", 0)
	secret.ACL = grantTo(tiers.PermAll, alice)
	null := mk("/null", 0)
	null.Data = nil
	d.must(0, mk("/b", 0), mk("/a", 0), secret, null)
	for _, row := range []struct {
		q    tiers.Query
		want error
	}{
		{tiers.Query{Path: "/a"}, nil},
		{tiers.Query{Path: "/a", Want: tiers.WantACL}, nil},
		{tiers.Query{Path: "/none", Want: tiers.WantNothing}, nil},
		{tiers.Query{Path: "/none"}, tiers.ErrNoNode},
		{tiers.Query{Path: "/a/"}, tiers.ErrNoNode},
		{tiers.Query{Path: "a", Want: tiers.WantData}, tiers.ErrNoNode},
		{tiers.Query{Path: "/a\x00"}, tiers.ErrBadArguments},
		{tiers.Query{Path: "/a\x00", Want: tiers.WantData}, tiers.ErrNoNode},
		{tiers.Query{Path: "/secret"}, tiers.ErrNoAuth},
		{tiers.Query{Path: "/secret", Want: tiers.WantChildren}, tiers.ErrNoAuth},
		{tiers.Query{Path: "/secret", Want: tiers.WantData, Caller: []tiers.Identity{alice}}, nil},
		{tiers.Query{Path: "/a", Want: tiers.WantEphemerals + 1}, tiers.ErrBadArguments},
	} {
		v, err := d.Read(row.q)
		var oe *tiers.OpError
		if !errors.Is(err, row.want) || (err != nil && (!errors.As(err, &oe) || oe.Path != row.q.Path)) || v.Zxid != 1 || v.Armed {
			t.Errorf("%+v: %+v, %v; want %v", row.q, v, err, row.want)
		}
	}
	if v, err := d.Read(tiers.Query{Path: "", Want: tiers.WantChildren}); err != nil || !slices.Equal(v.Children, []string{"a", "b", "null", "secret", "zookeeper"}) {
		t.Errorf("the root by its other name: %v, %v", v.Children, err)
	}
	if v, _ := d.Read(tiers.Query{Path: "/null", Want: tiers.WantData}); v.Data != nil {
		t.Errorf("null reads as %v", v.Data)
	}
	if v, _ := d.Read(tiers.Query{Path: "/", Want: tiers.WantData}); v.Data == nil {
		t.Error("empty reads as null")
	}
}

// TestArming goes through the table of zk-protocol 7.4, and what a read that fails arms.
func TestArming(t *testing.T) {
	d := drive(t)
	secret := mk("/secret", 0)
	secret.ACL = grantTo(tiers.PermAll, alice)
	d.must(0, mk("/a", 0), secret)                                         // 1
	d.must(0, mk("/a/kid", 0))                                             // 2
	d.must(0, tiers.Op{Kind: tiers.OpSetData, Path: "/a", Version: -1})    // 3
	d.must(0, tiers.Op{Kind: tiers.OpDelete, Path: "/a/kid", Version: -1}) // 4
	const data, children = tiers.ScopeData, tiers.ScopeChildren
	for i, row := range []struct {
		path  string
		want  tiers.Want
		watch tiers.WatchSpec
		armed bool
	}{
		{"/a", tiers.WantStat, tiers.WatchSpec{Scope: data}, true},
		{"/a", tiers.WantData, tiers.WatchSpec{Scope: data}, true},
		{"/a", tiers.WantChildren, tiers.WatchSpec{Scope: children}, true},
		{"", tiers.WantChildren, tiers.WatchSpec{Scope: children}, true},
		{"/none", tiers.WantStat, tiers.WatchSpec{Scope: data}, true},
		{"/none", tiers.WantData, tiers.WatchSpec{Scope: data}, false},
		{"/none", tiers.WantChildren, tiers.WatchSpec{Scope: children}, false},
		{"/none\x00", tiers.WantStat, tiers.WatchSpec{Scope: data}, false},
		{"/secret", tiers.WantStat, tiers.WatchSpec{Scope: data}, false},
		{"/secret", tiers.WantData, tiers.WatchSpec{Scope: data}, false},

		{"/a", tiers.WantData, tiers.WatchSpec{Scope: data, Rearm: true, Since: 2}, false},
		{"/a", tiers.WantData, tiers.WatchSpec{Scope: data, Rearm: true, Since: 3}, true},
		{"/a", tiers.WantChildren, tiers.WatchSpec{Scope: children, Rearm: true, Since: 3}, false},
		{"/a", tiers.WantChildren, tiers.WatchSpec{Scope: children, Rearm: true, Since: 4}, true},
		{"/none", tiers.WantStat, tiers.WatchSpec{Scope: data, Rearm: true, Since: 4}, false},
		{"/none", tiers.WantStat, tiers.WatchSpec{Scope: data, Rearm: true, Since: 4, ExpectMissing: true}, true},
		{"/a", tiers.WantStat, tiers.WatchSpec{Scope: data, Rearm: true, Since: 4, ExpectMissing: true}, false},
	} {
		w := &log{}
		row.watch.Watcher = w
		v, _ := d.Read(tiers.Query{Path: row.path, Want: row.want, Watch: &row.watch})
		path := row.path
		if path == "" {
			path = "/"
		}
		if v.Armed != row.armed || d.Hub().Has(path, row.watch.Scope, w) != row.armed {
			t.Errorf("%d: %s %+v: armed %v, in the hub %v", i, row.path, row.watch, v.Armed, d.Hub().Has(path, row.watch.Scope, w))
		}
	}
	if v, err := d.Read(tiers.Query{Path: "/a", Watch: &tiers.WatchSpec{Scope: data}}); err != nil || v.Armed {
		t.Errorf("without a watcher: %+v, %v", v, err)
	}
}

// next is a watcher that waits for one event.
type next struct{ ev chan tiers.Event }

func (n *next) Notify(ev tiers.Event) { n.ev <- ev }

// TestReadAndArmAreOneStep: with a writer that never rests, the event is always that of the very next change.
func TestReadAndArmAreOneStep(t *testing.T) {
	d := drive(t)
	d.must(0, mk("/x", 0))
	stop := make(chan struct{})
	var writer, readers sync.WaitGroup
	writer.Go(func() {
		for n := d.n + 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			op := tiers.Op{Kind: tiers.OpSetData, Path: "/x", Version: -1}
			if _, err := d.Apply(0, here, n, &tiers.Txn{Ops: []tiers.Op{op}}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 3 {
		readers.Go(func() {
			for range 300 {
				w := &next{make(chan tiers.Event, 1)}
				v, err := d.Read(tiers.Query{Path: "/x", Watch: &tiers.WatchSpec{Watcher: w, Scope: tiers.ScopeData}})
				if ev := <-w.ev; err != nil || ev.Zxid != v.Zxid+1 || v.Stat.Mzxid != v.Zxid {
					t.Errorf("read at %v with mzxid %v, event at %v, %v", v.Zxid, v.Stat.Mzxid, ev.Zxid, err)
				}
			}
		})
	}
	readers.Wait()
	close(stop)
	writer.Wait()
}

// TestEverythingAtOnce is for the race detector: one applier, readers of all kinds, and a snapshot now and then.
func TestEverythingAtOnce(t *testing.T) {
	tr := New()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for i := range uint64(3) {
		readers.Go(func() {
			w := world{rand.New(rand.NewPCG(i, 9))}
			for {
				select {
				case <-stop:
					return
				default:
				}
				v, err := tr.Read(tiers.Query{Path: w.path(), Want: tiers.Want(w.IntN(5)), Caller: []tiers.Identity{alice}})
				if err == nil && !slices.IsSorted(v.Children) {
					t.Errorf("%v is not sorted", v.Children)
				}
				tr.Session(tiers.SessionID(w.IntN(9)))
				tr.EachSession(func(SessionInfo) bool { return w.IntN(2) == 0 })
				tr.Stats()
				tr.Last(1)
			}
		})
	}
	w := world{rand.New(rand.NewPCG(9, 9))}
	for n := range uint64(3000) {
		_, _ = tr.Apply(int64(n), here, n+1, w.txn(20+int(n)/50)) // failing is part of it
		if n%500 == 0 {
			snapshotOf(t, tr)
		}
	}
	close(stop)
	readers.Wait()
}

func TestChildList(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 2))
	for range 30 {
		c, names := newChildren(nil), map[string]bool{}
		reads := 1 + rnd.IntN(60) // seldom or often
		for range 2000 {
			name := fmt.Sprint(rnd.IntN(150))
			if rnd.IntN(2) == 0 {
				if !names[name] {
					c.add(name)
				}
				names[name] = true
			} else {
				if names[name] {
					c.remove(name)
				}
				delete(names, name)
			}
			if rnd.IntN(reads) == 0 {
				var want []string
				for n := range names {
					want = append(want, n)
				}
				slices.Sort(want)
				before := slices.Clone(c.last)
				held := c.last
				if got := c.list(); !slices.Equal(got, want) || c.len() != len(want) {
					t.Fatalf("%v, want %v", got, want)
				}
				if !slices.Equal(held, before) {
					t.Fatal("a list that was given away has changed")
				}
			}
		}
	}
}
