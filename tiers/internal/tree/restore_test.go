package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

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

// TestRestoreWhileStreaming: the snapshot is still of its moment, and the tree is what was restored.
func TestRestoreWhileStreaming(t *testing.T) {
	d, other := drive(t), drive(t)
	d.must(0, mk("/old", 0))
	other.must(0, mk("/new", 0), mk("/newer", 0))
	before, next := snapshotOf(t, d.Tree), snapshotOf(t, other.Tree)
	s, err := d.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Restore(bytes.NewReader(next)); err != nil {
		t.Fatal(err)
	}
	d.n = other.n
	d.must(0, mk("/newest", 0))
	var b bytes.Buffer
	if n, err := s.WriteTo(&b); err != nil || n != int64(b.Len()) || !bytes.Equal(b.Bytes(), before) {
		t.Errorf("the snapshot changed: %v", err)
	}
	s.Release()
	if v, err := d.Read(tiers.Query{Path: "/", Want: tiers.WantChildren}); err != nil || !slices.Equal(v.Children, []string{"new", "newer", "newest", "zookeeper"}) {
		t.Errorf("%v, %v", v.Children, err)
	}
	if got := snapshotOf(t, d.Tree); bytes.Equal(got, next) {
		t.Error("the next snapshot lacks what came later")
	}
}

// chunkOf frames records as a snapshot does.
func chunkOf(records ...[]byte) []byte {
	payload := appendArray(nil, len(records))
	for _, r := range records {
		payload = append(payload, r...)
	}
	return framed(payload)
}

// recordOf is a record of numbers.
func recordOf(kind int, fields ...uint64) []byte {
	b := appendUint(appendArray(nil, recordFields[kind]), uint64(kind))
	for _, f := range fields {
		b = appendUint(b, f)
	}
	return b
}

// TestRestoreRefuses what is whole by its checksums, and yet no state of a tree.
func TestRestoreRefuses(t *testing.T) {
	acl := &acl{key: string(appendACL(nil, tiers.OpenACL))}
	z := func(path string, change ...func(*state)) []byte {
		s := &state{data: []byte{}, acl: acl}
		for _, c := range change {
			c(s)
		}
		return appendZnode(nil, path, s)
	}
	head := append(recordOf(recordHead, 5, 6), 0xc0)
	roots := [][]byte{z("/"), z("/zookeeper"), z("/zookeeper/config"), z("/zookeeper/quota")}
	session := recordOf(recordSession, 7, 1000, 1, 1, 3)
	snapshot := func(end []byte, records ...[]byte) []byte {
		return slices.Concat([]byte(snapshotMagic), chunkOf(append([][]byte{head}, records...)...), chunkOf(end))
	}
	end := func(members, origins, sessions, ended, znodes uint64) []byte {
		return recordOf(recordEnd, members, origins, sessions, ended, znodes)
	}
	owned := func(id tiers.SessionID) func(*state) { return func(s *state) { s.kind, s.owner = ephemeral, id } }
	good := snapshot(end(0, 0, 1, 0, 5), append(slices.Clone(roots), session, z("/e", owned(7)))...)
	tr := New()
	if err := tr.Restore(bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	before := snapshotOf(t, tr)
	with := func(records ...[]byte) [][]byte { return append(slices.Clone(roots), records...) }
	for name, raw := range map[string][]byte{
		"nothing":                       nil,
		"another file":                  []byte("something else entirely"),
		"no head":                       slices.Concat([]byte(snapshotMagic), chunkOf(roots...), chunkOf(end(0, 0, 0, 0, 4))),
		"two heads":                     snapshot(end(0, 0, 0, 0, 4), with(head)...),
		"no root":                       snapshot(end(0, 0, 0, 0, 0)),
		"an orphan":                     snapshot(end(0, 0, 0, 0, 5), with(z("/a/b"))...),
		"a child of an ephemeral":       snapshot(end(0, 0, 1, 0, 6), with(session, z("/e", owned(7)), z("/e/x"))...),
		"an ephemeral of nobody":        snapshot(end(0, 0, 0, 0, 5), with(z("/e", owned(7)))...),
		"an ephemeral without an owner": snapshot(end(0, 0, 1, 0, 5), with(session, z("/e", func(s *state) { s.kind = ephemeral }))...),
		"a znode twice":                 snapshot(end(0, 0, 0, 0, 5), with(z("/"))...),
		"a bad path":                    snapshot(end(0, 0, 0, 0, 5), with(z("/a/"))...),
		"a bad kind":                    snapshot(end(0, 0, 0, 0, 5), with(z("/a", func(s *state) { s.kind = 9 }))...),
		"a TTL too long":                snapshot(end(0, 0, 0, 0, 5), with(z("/a", func(s *state) { s.kind, s.ttl = expiring, tiers.MaxTTL+time.Second }))...),
		"a negative counter":            snapshot(end(0, 0, 0, 0, 5), with(z("/a", func(s *state) { s.creates = -1 }))...),
		"a session twice":               snapshot(end(0, 0, 2, 0, 4), with(session, session)...),
		"a session without a timeout":   snapshot(end(0, 0, 1, 0, 4), with(recordOf(recordSession, 7, 0, 1, 1, 3))...),
		"a session that has ended":      snapshot(end(0, 0, 1, 1, 4), with(session, recordOf(recordEnded, 7, 1))...),
		"a run too long":                snapshot(end(0, 0, 0, maxRun+1, 4), with(recordOf(recordEnded, 7, maxRun+1))...),
		"an origin twice":               snapshot(end(0, 2, 0, 0, 4), with(recordOf(recordOrigin, 1, 1, 1), recordOf(recordOrigin, 1, 1, 2))...),
		"a short identity":              snapshot(end(1, 0, 0, 0, 4), with(appendBytes(appendString(recordOf(recordMember, 1), "m"), []byte{1}))...),
		"a count that is wrong":         snapshot(end(0, 0, 0, 0, 5), roots...),
		"an unknown record":             snapshot(end(0, 0, 0, 0, 4), with(appendUint(appendArray(nil, 1), 99))...),
		"a record with another length":  snapshot(end(0, 0, 0, 0, 4), with(appendUint(appendArray(nil, 1), recordOrigin))...),
		"something after the end":       append(bytes.Clone(good), 0),
		"records after the end":         snapshot(end(0, 0, 0, 0, 4), with(end(0, 0, 0, 0, 4), z("/a"))...),
		"bytes after a chunk's records": slices.Concat([]byte(snapshotMagic), chunkOf(append(bytes.Clone(head), 1))),
		"a length beyond all bounds":    append([]byte(snapshotMagic), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0),
		"a length beyond its bytes":     append([]byte(snapshotMagic), 0x03, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1),
	} {
		if err := tr.Restore(bytes.NewReader(raw)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for cut := range good {
		if err := tr.Restore(bytes.NewReader(good[:cut])); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d: %v", cut, err)
		}
		bad := bytes.Clone(good)
		bad[cut] ^= 4
		if err := tr.Restore(bytes.NewReader(bad)); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Errorf("a flipped bit at %d: %v", cut, err)
		}
	}
	newer := bytes.Clone(good)
	newer[len(snapshotMagic)-1]++
	if err := tr.Restore(bytes.NewReader(newer)); !errors.Is(err, ErrVersion) {
		t.Errorf("a newer format: %v", err)
	}
	if err := tr.Restore(io.MultiReader(bytes.NewReader(good[:50]), iotest.ErrReader(errDisk))); !errors.Is(err, errDisk) {
		t.Errorf("a disk that fails: %v", err)
	}
	if !bytes.Equal(before, snapshotOf(t, tr)) {
		t.Error("a restore that failed changed the tree")
	}
}

// TestRestoreTellsOfSessions: who hosts a session must hear that it ended or went elsewhere while this member was behind.
func TestRestoreTellsOfSessions(t *testing.T) {
	d := drive(t)
	for id := range tiers.SessionID(3) {
		d.must(id+1, opening)
	}
	behind := New()
	var ended, moved []tiers.SessionID
	behind.OnSessionEnd(func(id tiers.SessionID) { ended = append(ended, id) })
	behind.OnSessionMove(func(s SessionInfo) { moved = append(moved, s.ID) })
	if err := behind.Restore(bytes.NewReader(snapshotOf(t, d.Tree))); err != nil {
		t.Fatal(err)
	}
	slices.Sort(moved)
	if !slices.Equal(moved, []tiers.SessionID{1, 2, 3}) || len(ended) != 0 {
		t.Errorf("at first: %v moved, %v ended", moved, ended)
	}
	moved = nil
	d.must(1, tiers.Op{Kind: tiers.OpCloseSession})
	d.must(2, opening)
	d.must(4, opening)
	if err := behind.Restore(bytes.NewReader(snapshotOf(t, d.Tree))); err != nil {
		t.Fatal(err)
	}
	slices.Sort(moved)
	if !slices.Equal(moved, []tiers.SessionID{2, 4}) || !slices.Equal(ended, []tiers.SessionID{1}) {
		t.Errorf("%v moved, %v ended", moved, ended)
	}
}

// TestRestoreTellsEachDifferenceOnce, in an order that could have happened.
func TestRestoreTellsEachDifferenceOnce(t *testing.T) {
	d := drive(t)
	d.must(0, mk("/t", 0), mk("/t/again", 0), mk("/t/gone", 0), mk("/t/gone/kid", 0), mk("/t/set", 0), mk("/t/same", 0))
	behind := New()
	if err := behind.Restore(bytes.NewReader(snapshotOf(t, d.Tree))); err != nil {
		t.Fatal(err)
	}
	w, once := &log{}, &log{}
	behind.Hub().Add("/", tiers.ScopeRecursive, w)
	behind.Hub().Add("/t", tiers.ScopeRecursive, w)
	behind.Hub().Add("/t/set", tiers.ScopeData, w)
	behind.Hub().Add("/t/again", tiers.ScopePersistent, w)
	behind.Hub().Add("/t/again", tiers.ScopeData, once)
	behind.Hub().Add("/t/set", tiers.ScopeChildren, once)
	v := tiers.AnyVersion
	d.must(0, tiers.Op{Kind: tiers.OpDelete, Path: "/t/gone/kid", Version: v}, tiers.Op{Kind: tiers.OpDelete, Path: "/t/gone", Version: v},
		tiers.Op{Kind: tiers.OpDelete, Path: "/t/again", Version: v}, mk("/t/again", 0), mk("/t/again/kid", 0), mk("/t/new", 0),
		tiers.Op{Kind: tiers.OpSetData, Path: "/t/set", Version: v}, tiers.Op{Kind: tiers.OpSetData, Path: "/t/set", Version: v})
	if err := behind.Restore(bytes.NewReader(snapshotOf(t, d.Tree))); err != nil {
		t.Fatal(err)
	}
	want := []string{"NodeDeleted /t/gone/kid 0x2", "NodeDeleted /t/gone 0x2", "NodeDeleted /t/again 0x2",
		"NodeCreated /t/again 0x2", "NodeChildrenChanged /t/again 0x2", "NodeCreated /t/again/kid 0x2", "NodeCreated /t/new 0x2", "NodeDataChanged /t/set 0x2"}
	if !slices.Equal(w.events, want) {
		t.Errorf("told\n%v, want\n%v", w.events, want)
	}
	if !slices.Equal(once.events, []string{"NodeDeleted /t/again 0x2"}) || !behind.Hub().Has("/t/set", tiers.ScopeChildren, once) {
		t.Errorf("one-shot watches: %v", once.events)
	}
}
