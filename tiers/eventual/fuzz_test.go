package eventual

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

func sample() *parcel {
	o := crdt.Origin{Name: "m", Incarnation: 1}
	return &parcel{label: "l", from: "m", more: true, known: crdt.Vector{o: 4}, records: []*crdt.Record{
		{Path: "/a", Clock: 1, Origin: o, Seq: 1, Data: []byte("x"), Ctime: 1, Mtime: 2, Version: 3},
		{Path: "/a/b", Epoch: 2, Clock: 2, Origin: o, Seq: 2, Data: []byte{}, Session: 5, Timeout: 1000, Host: o, Attached: 2},
		{Path: "/", Clock: 3, Origin: o, Seq: 3, Deleted: true},
	}}
}

func TestParcelsComeBack(t *testing.T) {
	want := sample()
	b, err := encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v became %+v, %v", want, got, err)
	}
	for _, bad := range []func(*crdt.Record){
		func(r *crdt.Record) { r.Path = "a" },
		func(r *crdt.Record) { r.Seq = 0 },
		func(r *crdt.Record) { r.Epoch = r.Clock + 1 },
		func(r *crdt.Record) { r.Attached = r.Epoch + 1 },
		func(r *crdt.Record) { r.Clock = maxNumber + 1 },
		func(r *crdt.Record) { r.Timeout = maxTimeout + 1 },
		func(r *crdt.Record) { r.Origin.Name = "" },
	} {
		x := sample()
		bad(x.records[0])
		b, err := encode(x)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(b); err == nil {
			t.Errorf("took %+v", x.records[0])
		}
	}
}

func FuzzDecode(f *testing.F) {
	b, err := encode(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decode(b)
		if err != nil {
			return
		}
		again, err := encode(p)
		if err != nil {
			t.Fatal(err)
		}
		q, err := decode(again)
		if err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%+v became %+v: %v", p, q, err)
		}
	})
}

func FuzzMeta(f *testing.F) {
	b, err := msgpack.Marshal(&wireMeta{Incarnation: 3, User: []byte("voter")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := decodeMeta(b)
		if err != nil {
			return
		}
		if len(w.User) > maxMeta {
			t.Fatalf("%d bytes of user metadata", len(w.User))
		}
	})
}

func FuzzJournal(f *testing.F) {
	whole, err := appendFrame(nil, sample().records)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(append([]byte{1}, whole...))
	f.Fuzz(func(t *testing.T, b []byte) {
		rs, n, err := readFrame(b)
		if err != nil {
			if !bytes.Contains(b, magic) && wholeFrameAfter(b) {
				t.Fatal("a frame without magic")
			}
			return
		}
		if n <= frameHead || n > len(b) {
			t.Fatalf("a frame of %d bytes in %d", n, len(b))
		}
		if _, err := appendFrame(nil, rs); err != nil {
			t.Fatal(err)
		}
	})
}
