package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

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

// TestSameEntriesSameBytes: three members that apply the same log, one of them from a snapshot on, another one while it
// streams snapshots, have the same snapshot in the end.
func TestSameEntriesSameBytes(t *testing.T) {
	w := world{rand.New(rand.NewPCG(7, 7))}
	var numbers [3]uint64
	var raft [][]byte
	for i := range 400 {
		m := 1 + w.IntN(2)
		b := Batch{Origin: Origin{Member: uint32(m), Incarnation: 1}, First: numbers[m] + 1}
		for range 1 + w.IntN(4) {
			b.Txns = append(b.Txns, *w.txn(12))
		}
		numbers[m] += uint64(len(b.Txns))
		e := &Entry{At: int64(w.IntN(1000)), Batches: []Batch{b}}
		for range w.IntN(3) {
			e.Expire = append(e.Expire, Expiry{tiers.SessionID(1 + w.IntN(12)), tiers.Zxid(w.IntN(i + 1))})
		}
		if i%50 == 0 {
			e.Register, e.Key = &Registration{Name: fmt.Sprint("m", i%3)}, []byte{byte(i)}
		}
		raft = append(raft, AppendEntry(nil, e))
	}
	apply := func(tr *Tree, raw []byte) {
		e, err := DecodeEntry(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range e.Batches {
			for i := range b.Txns {
				_, _ = tr.Apply(e.At, b.Origin, b.First+uint64(i), &b.Txns[i]) // failing is part of it
			}
		}
		tr.Expire(e.At, e.Expire)
		if e.Register != nil {
			tr.Register(e.Register.Name, e.Register.Identity)
			tr.SetKey(e.Key)
		}
	}
	plain, restored, streaming := New(), New(), New()
	for i, raw := range raft {
		apply(plain, raw)
		if i == len(raft)/2 {
			if err := restored.Restore(bytes.NewReader(snapshotOf(t, plain))); err != nil {
				t.Fatal(err)
			}
		} else if i > len(raft)/2 {
			apply(restored, raw)
		}
	}
	var wg sync.WaitGroup
	for i, raw := range raft {
		if i%40 == 0 {
			s, err := streaming.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				if _, err := s.WriteTo(io.Discard); err != nil {
					t.Error(err)
				}
			})
			apply(streaming, raw)
			wg.Wait()
			s.Release()
			continue
		}
		apply(streaming, raw)
	}
	want := snapshotOf(t, plain)
	if !bytes.Equal(want, snapshotOf(t, restored)) || !bytes.Equal(want, snapshotOf(t, streaming)) {
		t.Error("the same log led to different states")
	}
	if st := plain.Stats(); st.Znodes < 10 || plain.Zxid() < 100 {
		t.Errorf("the log did too little to tell: %+v at %v", st, plain.Zxid())
	}
}

// TestWalk has a table change between the pieces of a walk in every way, against a copy.
func TestWalk(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	x := newTable[string, int](hashString)
	now := map[string]int{}
	change := func() {
		k := fmt.Sprint(rnd.IntN(2000))
		if rnd.IntN(3) == 0 {
			delete(now, k)
			x.put(k, nil)
			return
		}
		v := rnd.Int()
		now[k] = v
		x.put(k, &v)
	}
	for range 3000 {
		change()
	}
	for range 5 {
		then := map[string]int{}
		for k, v := range now {
			then[k] = v
		}
		x.begin()
		var es []entry[string, int]
		for more := true; more; {
			for range rnd.IntN(30) {
				change()
			}
			es, more = x.step(es)
		}
		if _, more := x.step(nil); more {
			t.Error("there is more after the end")
		}
		x.end()
		for _, e := range es {
			if v, there := then[e.key]; !there || v != *e.value {
				t.Fatalf("%s is %d, was %d %v", e.key, *e.value, v, there)
			}
			delete(then, e.key)
		}
		if len(then) != 0 || x.size != len(now) {
			t.Fatalf("%d entries left out; size %d of %d", len(then), x.size, len(now))
		}
		for i := range x.undo {
			if x.undo[i] != nil {
				t.Fatal("old values are kept after the walk")
			}
		}
	}
}

func TestSnapshotOfMuchData(t *testing.T) {
	d := drive(t)
	big := bytes.Repeat([]byte("x"), 300<<10)
	for i := range 20 {
		d.must(0, tiers.Op{Kind: tiers.OpCreate, Path: fmt.Sprint("/", i), Data: big, ACL: tiers.OpenACL})
	}
	raw := snapshotOf(t, d.Tree)
	back := New()
	// A reader that gives little at a time, and the end with the last bytes.
	if err := back.Restore(iotest.DataErrReader(iotest.HalfReader(bytes.NewReader(raw)))); err != nil {
		t.Fatal(err)
	}
	if st := back.Stats(); st.DataBytes != 20*300<<10 || !bytes.Equal(raw, snapshotOf(t, back)) {
		t.Errorf("%+v", st)
	}
}

type brokenDisk struct{ room int }

var errDisk = errors.New("disk is full")

func (d *brokenDisk) Write(b []byte) (int, error) {
	if n := min(d.room, len(b)); n < len(b) {
		d.room = 0
		return n, errDisk
	}
	d.room -= len(b)
	return len(b), nil
}

func TestSnapshotIsWrittenOnce(t *testing.T) {
	d := drive(t)
	for i := range 100 {
		d.must(0, mk(fmt.Sprint("/", i), 0))
	}
	for _, room := range []int{0, 8, 10, 20, 4000} {
		s, err := d.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := s.WriteTo(&brokenDisk{room}); !errors.Is(err, errDisk) || n != int64(room) {
			t.Errorf("a disk of %d bytes: %d, %v", room, n, err)
		}
		if _, err := s.WriteTo(io.Discard); err == nil {
			t.Error("written twice")
		}
		d.must(0, tiers.Op{Kind: tiers.OpSetData, Path: "/1", Version: -1})
		s.Release()
		s.Release()
	}
	s, err := d.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	s.Release()
	if _, err := s.WriteTo(io.Discard); err == nil {
		t.Error("written after its release")
	}
	if d.znodes.walking || d.sessions.walking {
		t.Error("a walk is on without a snapshot")
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
	any := tiers.AnyVersion
	d.must(0, tiers.Op{Kind: tiers.OpDelete, Path: "/t/gone/kid", Version: any}, tiers.Op{Kind: tiers.OpDelete, Path: "/t/gone", Version: any},
		tiers.Op{Kind: tiers.OpDelete, Path: "/t/again", Version: any}, mk("/t/again", 0), mk("/t/again/kid", 0), mk("/t/new", 0),
		tiers.Op{Kind: tiers.OpSetData, Path: "/t/set", Version: any}, tiers.Op{Kind: tiers.OpSetData, Path: "/t/set", Version: any})
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
