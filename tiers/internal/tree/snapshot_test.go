package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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

// TestSnapshotKeepsEverything: each kind of record changes after the moment and before it is written.
func TestSnapshotKeepsEverything(t *testing.T) {
	d := drive(t)
	d.must(1, opening, mk("/gone", tiers.Ephemeral), mk("/set", 0))
	d.must(2, opening)
	d.must(3, opening, tiers.Op{Kind: tiers.OpCloseSession})
	d.Register("a", [16]byte{1})
	want := snapshotOf(t, d.Tree)
	s, err := d.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	d.must(1, tiers.Op{Kind: tiers.OpSetData, Path: "/set", Version: -1}, mk("/new", 0), tiers.Op{Kind: tiers.OpCloseSession})
	d.must(2, opening)
	d.must(4, opening)
	d.Register("b", [16]byte{2})
	d.SetKey([]byte("key"))
	var got bytes.Buffer
	if _, err := s.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the snapshot has something of what came later, %v", err)
	}
}
