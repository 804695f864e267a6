package tree

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/strata-coord/strata/tiers"
)

func TestConfigure(t *testing.T) {
	d := drive(t)
	d.must(0, mk("/a", 0))
	var w, deep heard
	if _, err := d.Read(tiers.Query{Path: ConfigPath, Want: tiers.WantData, Watch: &tiers.WatchSpec{Watcher: &w, Scope: tiers.ScopeData}}); err != nil {
		t.Fatal(err)
	}
	d.Hub().Add("/zookeeper", tiers.ScopeRecursive, &deep)
	for i := range 12 { // a version with a letter, in the end
		d.Configure(2000+int64(i), []byte("server.1=h:1:1:participant;h:2"))
	}
	v, err := d.Read(tiers.Query{Path: ConfigPath, Want: tiers.WantData})
	if err != nil || string(v.Data) != "server.1=h:1:1:participant;h:2\nversion=d" || v.Zxid != 13 {
		t.Errorf("%q at %v, %v", v.Data, v.Zxid, err)
	}
	want := tiers.Stat{Mzxid: 13, Mtime: 2011, Version: -1, Aversion: -1, DataLength: int32(len(v.Data))}
	if v.Stat != want {
		t.Errorf("%+v, want %+v", v.Stat, want)
	}
	if d.dataBytes != int64(len("/a")+len(v.Data)) {
		t.Errorf("%d bytes of data", d.dataBytes)
	}
	if len(w.events) != 1 || w.events[0].Type != tiers.NodeDataChanged || w.events[0].Path != ConfigPath || w.events[0].Zxid != 2 {
		t.Errorf("the watch was told %+v", w.events)
	}
	if len(deep.events) != 12 {
		t.Errorf("%d events for a persistent watch", len(deep.events))
	}
	behind := New()
	if err := behind.Restore(bytes.NewReader(snapshotOf(t, d.Tree))); err != nil {
		t.Fatal(err)
	}
	if got, err := behind.Read(tiers.Query{Path: ConfigPath, Want: tiers.WantData}); err != nil || !bytes.Equal(got.Data, v.Data) || got.Stat != v.Stat {
		t.Errorf("restored: %q, %+v, %v", got.Data, got.Stat, err)
	}
}

func TestMayConfigure(t *testing.T) {
	d := drive(t)
	root := who("super", "")
	if d.MayConfigure([]tiers.Identity{alice}) || d.MayConfigure(nil) || !d.MayConfigure([]tiers.Identity{alice, root}) {
		t.Error("not for super alone")
	}
	d.n++
	op := tiers.Op{Kind: tiers.OpSetACL, Path: ConfigPath, ACL: grantTo(tiers.PermWrite, alice), Version: -1}
	if r, err := d.Apply(3000, here, d.n, &tiers.Txn{Caller: []tiers.Identity{root}, Ops: []tiers.Op{op}}); err != nil || r.Results[0].Stat.Aversion != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if !d.MayConfigure([]tiers.Identity{alice}) || d.MayConfigure([]tiers.Identity{bob}) {
		t.Error("not by the new ACL")
	}
	if _, err := d.do(0, tiers.Op{Kind: tiers.OpSetData, Path: ConfigPath, Version: -1}); !errors.Is(err, tiers.ErrNoAuth) {
		t.Errorf("setData by somebody: %v", err)
	}
}

func TestStandings(t *testing.T) {
	d := drive(t)
	for _, name := range []string{"a", "b", "c"} {
		d.Register(name, [16]byte{1})
	}
	d.SetStandings([]Standing{{2, RankRemoved}, {3, RankReplica}, {4, RankRemoved}, {1, ranks}})
	d.SetStandings([]Standing{{3, RankOwn}, {1, RankReplica}})
	ranked := func(t *Tree) (rs []Rank) {
		for _, m := range t.Members() {
			rs = append(rs, m.Rank)
		}
		return rs
	}
	want := []Rank{RankReplica, RankRemoved, RankOwn}
	if got := ranked(d.Tree); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	raw := snapshotOf(t, d.Tree)
	again := New()
	if err := again.Restore(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	if got := ranked(again); !slices.Equal(got, want) {
		t.Errorf("restored: %v, want %v", got, want)
	}
	if !bytes.Equal(raw, snapshotOf(t, again)) {
		t.Error("the snapshot of what was restored is another")
	}
	if n := d.Register("b", [16]byte{1}); n != 2 || ranked(d.Tree)[1] != RankRemoved {
		t.Errorf("registered again as %d", n)
	}
	if n := d.Register("b", [16]byte{2}); n != 4 || ranked(d.Tree)[3] != RankOwn {
		t.Errorf("with a new directory: number %d, %v", n, ranked(d.Tree))
	}
}
