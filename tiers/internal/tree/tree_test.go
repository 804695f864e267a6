package tree

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

var here = Origin{Member: 1, Incarnation: 1}

// driver applies txns as one member.
type driver struct {
	*Tree
	t *testing.T
	n uint64
}

func drive(t *testing.T) *driver { return &driver{Tree: New(), t: t} }

func (d *driver) do(s tiers.SessionID, ops ...tiers.Op) (tiers.Receipt, error) {
	d.n++
	return d.Apply(int64(1000+d.n), here, d.n, &tiers.Txn{Session: s, Ops: ops})
}

func (d *driver) must(s tiers.SessionID, ops ...tiers.Op) tiers.Receipt {
	d.t.Helper()
	r, err := d.do(s, ops...)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func mk(path string, mode tiers.CreateMode) tiers.Op {
	return tiers.Op{Kind: tiers.OpCreate, Path: path, Data: []byte(path), Mode: mode, ACL: tiers.OpenACL}
}

func TestFreshTree(t *testing.T) {
	tr := New()
	for path, want := range map[string]tiers.Stat{
		"/":                 {Cversion: -1, NumChildren: 1},
		"/zookeeper":        {Cversion: -2, NumChildren: 2},
		"/zookeeper/config": {Aversion: -1},
		"/zookeeper/quota":  {},
	} {
		if v, err := tr.Read(tiers.Query{Path: path}); err != nil || v.Stat != want {
			t.Errorf("%s: %+v, %v; want %+v", path, v.Stat, err, want)
		}
	}
}

func TestFailedMultiLeavesNoTrace(t *testing.T) {
	d := drive(t)
	d.must(0, mk("/a", 0))
	d.must(0, mk("/a/old", 0))
	before := snapshotOf(t, d.Tree)
	r, err := d.do(0,
		mk("/a/s-", tiers.PersistentSequential),
		tiers.Op{Kind: tiers.OpDelete, Path: "/a/old", Version: tiers.AnyVersion},
		tiers.Op{Kind: tiers.OpSetData, Path: "/a", Data: []byte("longer than before"), Version: 0},
		tiers.Op{Kind: tiers.OpCheck, Path: "/a", Version: 0},
		mk("/b", 0))
	if !errors.Is(err, tiers.ErrBadVersion) {
		t.Fatal(err)
	}
	for i, want := range []error{tiers.ErrRolledBack, tiers.ErrRolledBack, tiers.ErrRolledBack, tiers.ErrBadVersion, tiers.ErrNotTried} {
		if !errors.Is(r.Results[i].Err, want) {
			t.Errorf("result %d: %v, want %v", i, r.Results[i].Err, want)
		}
	}
	d.origins[1], d.at = position{1, d.n - 1}, d.at-1 // the number and the time are used; all else must be as before
	if after := snapshotOf(t, d.Tree); !bytes.Equal(before, after) {
		t.Error("a failed multi changed the tree")
	}
	if d.dataBytes != int64(len("/a")+len("/a/old")) {
		t.Errorf("%d data bytes", d.dataBytes)
	}
}

func TestExactlyOnce(t *testing.T) {
	tr := New()
	apply := func(o Origin, n uint64) error {
		_, err := tr.Apply(1, o, n, &tiers.Txn{Ops: []tiers.Op{mk("/s-", tiers.PersistentSequential)}})
		return err
	}
	for _, step := range []struct {
		o    Origin
		n    uint64
		want error
	}{
		{Origin{1, 1}, 1, nil}, {Origin{1, 1}, 1, ErrRepeat}, {Origin{1, 1}, 3, ErrGap}, {Origin{1, 1}, 2, nil},
		{Origin{2, 1}, 1, nil}, {Origin{1, 2}, 2, ErrGap}, {Origin{1, 2}, 1, nil}, {Origin{1, 1}, 3, ErrOldIncarnation},
	} {
		if err := apply(step.o, step.n); !errors.Is(err, step.want) {
			t.Errorf("%v %d: %v, want %v", step.o, step.n, err, step.want)
		}
	}
	if v, _ := tr.Read(tiers.Query{Path: "/"}); v.Stat.NumChildren != 1+4 || v.Zxid != 4 {
		t.Errorf("%d children at %v", v.Stat.NumChildren, v.Zxid)
	}
}

func TestSessions(t *testing.T) {
	d := drive(t)
	if _, err := d.do(7, mk("/e", tiers.Ephemeral)); !errors.Is(err, tiers.ErrSessionExpired) {
		t.Errorf("an ephemeral without a session: %v", err)
	}
	var ended []tiers.SessionID
	d.OnSessionEnd(func(id tiers.SessionID) { ended = append(ended, id) })
	d.must(7, tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Second})
	d.must(7, mk("/e", tiers.Ephemeral))
	d.must(7, mk("/f", tiers.Ephemeral))
	if _, err := d.do(7, mk("/e/child", 0)); !errors.Is(err, tiers.ErrEphemeral) {
		t.Errorf("a child of an ephemeral: %v", err)
	}
	first, _ := d.Session(7)

	// It moves to another member: the first one may not act for it any more.
	other := Origin{2, 1}
	if _, err := d.Apply(1, other, 1, &tiers.Txn{Session: 7, Ops: []tiers.Op{{Kind: tiers.OpOpenSession, Timeout: time.Second}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.do(7, mk("/g", 0)); !errors.Is(err, tiers.ErrSessionMoved) {
		t.Errorf("a write from where the session was: %v", err)
	}
	d.Expire(1, []Expiry{{7, first.Since}})
	if _, s := d.Session(7); s != SessionLive {
		t.Error("expired on the word of what was known before it moved")
	}
	z := d.Zxid()
	now, _ := d.Session(7)
	d.Expire(1, []Expiry{{7, now.Since}})
	if _, s := d.Session(7); s != SessionEnded || d.Zxid() != z+1 || len(ended) != 1 {
		t.Errorf("after expiry: %v at %v, told %v", s, d.Zxid(), ended)
	}
	if st := d.Stats(); st.Ephemerals != 0 || st.Sessions != 0 {
		t.Errorf("left behind: %+v", st)
	}
	if _, err := d.do(7, tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Second}); !errors.Is(err, tiers.ErrSessionExpired) {
		t.Errorf("an ended session came back: %v", err)
	}
	if _, err := d.do(7, mk("/g", 0)); !errors.Is(err, tiers.ErrSessionExpired) {
		t.Errorf("an ended session wrote: %v", err)
	}
}

func snapshotOf(t *testing.T, tr *Tree) []byte {
	t.Helper()
	s, err := tr.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSnapshotIsTheMomentItWasTaken(t *testing.T) {
	d := drive(t)
	d.Register("a", [16]byte{1})
	d.SetKey([]byte("secret"))
	d.must(9, tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Second})
	for i := range 2000 {
		d.must(9, mk(fmt.Sprintf("/n%d", i), tiers.CreateMode(i%2)))
	}
	want := snapshotOf(t, d.Tree)
	s, err := d.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Snapshot(); !errors.Is(err, ErrSnapshotting) {
		t.Errorf("a second snapshot at once: %v", err)
	}
	var got bytes.Buffer
	written := make(chan error)
	go func() { _, err := s.WriteTo(&got); written <- err }()
	for i := range 2000 {
		switch i % 3 {
		case 0:
			d.must(0, tiers.Op{Kind: tiers.OpDelete, Path: fmt.Sprintf("/n%d", i), Version: tiers.AnyVersion})
		case 1:
			d.must(0, tiers.Op{Kind: tiers.OpSetData, Path: fmt.Sprintf("/n%d", i), Data: []byte("later"), Version: tiers.AnyVersion})
		default:
			d.must(0, mk(fmt.Sprintf("/m%d", i), 0))
		}
	}
	d.must(9, tiers.Op{Kind: tiers.OpCloseSession})
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	s.Release()
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("the snapshot has something of what came later")
	}
	back := New()
	if err := back.Restore(bytes.NewReader(want)); err != nil {
		t.Fatal(err)
	}
	if again := snapshotOf(t, back); !bytes.Equal(again, want) {
		t.Error("what was restored is not what was saved")
	}
	if back.Register("a", [16]byte{1}) != 1 || string(back.Key()) != "secret" || back.Stats().Ephemerals != 1000 {
		t.Error("members, key or ephemerals are lost")
	}
	for _, cut := range []int{0, 5, len(want) / 2, len(want) - 1} {
		if err := back.Restore(bytes.NewReader(want[:cut])); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	bad := bytes.Clone(want)
	bad[len(bad)/2] ^= 1
	if err := back.Restore(bytes.NewReader(bad)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("with a flipped bit: %v", err)
	}
	if again := snapshotOf(t, back); !bytes.Equal(again, want) {
		t.Error("a failed restore changed the tree")
	}
}

type heard struct{ events []tiers.Event }

func (h *heard) Notify(e tiers.Event) { h.events = append(h.events, e) }

func TestRestoreTellsWatchersWhatTheyMissed(t *testing.T) {
	d := drive(t)
	for _, p := range []string{"/same", "/set", "/gone", "/parent", "/tree", "/tree/x"} {
		d.must(0, mk(p, 0))
	}
	behind := New()
	if err := behind.Restore(bytes.NewReader(snapshotOf(t, d.Tree))); err != nil {
		t.Fatal(err)
	}
	var w, deep heard
	for _, p := range []string{"/same", "/set", "/gone", "/new"} {
		behind.Hub().Add(p, tiers.ScopeData, &w)
	}
	behind.Hub().Add("/parent", tiers.ScopeChildren, &w)
	behind.Hub().Add("/tree", tiers.ScopeRecursive, &deep)

	d.must(0, tiers.Op{Kind: tiers.OpSetData, Path: "/set", Version: tiers.AnyVersion})
	d.must(0, tiers.Op{Kind: tiers.OpDelete, Path: "/gone", Version: tiers.AnyVersion})
	d.must(0, mk("/new", 0))
	d.must(0, mk("/parent/child", 0))
	d.must(0, mk("/tree/y", 0))
	if err := behind.Restore(bytes.NewReader(snapshotOf(t, d.Tree))); err != nil {
		t.Fatal(err)
	}
	got := map[string]tiers.EventType{}
	for _, e := range append(w.events, deep.events...) {
		got[e.Path] = e.Type
	}
	want := map[string]tiers.EventType{"/set": tiers.NodeDataChanged, "/gone": tiers.NodeDeleted, "/new": tiers.NodeCreated,
		"/parent": tiers.NodeChildrenChanged, "/tree/y": tiers.NodeCreated}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

func TestEntryRoundTrip(t *testing.T) {
	e := &Entry{At: -5, Key: []byte("k"), Register: &Registration{"m", [16]byte{3}}, TermStart: &TermStart{"m"},
		Expire: []Expiry{{-9, 1 << 40}},
		Batches: []Batch{{Origin: here, First: 1 << 33, Txns: []tiers.Txn{{Session: -1, Request: 1 << 63,
			Caller: []tiers.Identity{{Scheme: "digest", ID: "a:b"}},
			Ops: []tiers.Op{
				{Kind: tiers.OpCreate, Path: "/ä", Data: []byte{}, Mode: tiers.PersistentTTL, TTL: time.Hour, ACL: tiers.OpenACL, Version: -1},
				{Kind: tiers.OpOpenSession, Timeout: time.Minute, Data: nil},
				{Kind: tiers.OpSetData, Path: "/" + string(bytes.Repeat([]byte("p"), 300)), Data: bytes.Repeat([]byte{7}, 70000)},
			}}}}}}
	b := AppendEntry([]byte("prefix"), e)[6:]
	got, err := DecodeEntry(b)
	if err != nil || fmt.Sprintf("%#v", got.Batches) != fmt.Sprintf("%#v", e.Batches) || got.At != e.At || *got.Register != *e.Register ||
		*got.TermStart != *e.TermStart || got.Expire[0] != e.Expire[0] || string(got.Key) != "k" {
		t.Errorf("%+v, %v", got, err)
	}
	if got.Batches[0].Txns[0].Ops[0].Data == nil || got.Batches[0].Txns[0].Ops[1].Data != nil {
		t.Error("null and empty data are mixed up")
	}
	b[len(b)-1] ^= 1
	if _, err := DecodeEntry(b); !errors.Is(err, ErrChecksum) {
		t.Errorf("a flipped bit: %v", err)
	}
}
