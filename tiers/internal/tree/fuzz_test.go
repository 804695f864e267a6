package tree

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/strata-coord/strata/tiers"
)

// The decoders meet bytes of other members, and of disks. Whatever they accept must come out of the encoder as what it says.

// few is full without the bulk: a fuzzer is quicker on short inputs.
func few() *Entry {
	e := full()
	txn := &e.Batches[1].Txns[1]
	for i := range txn.Ops {
		op := &txn.Ops[i]
		op.Path, op.Data, op.ACL = op.Path[:min(len(op.Path), 6)], op.Data[:min(len(op.Data), 3)], op.ACL[:min(len(op.ACL), 2)]
	}
	return e
}

func FuzzDecodeEntry(f *testing.F) {
	for _, e := range []*Entry{few(), {}, {At: 1, Batches: few().Batches}, {TermStart: &TermStart{"m"}}, {Reap: few().Reap}, {EnforceQuota: true}, {Standings: few().Standings}, {Config: few().Config}, {Stage: few().Stage}, {Stage: &Stage{Drop: true}}} {
		raw := AppendEntry(nil, e)
		f.Add(raw, false)
		f.Add(raw[headerSize:], true)
		f.Add(raw[:len(raw)/2], true)
	}
	f.Add([]byte{}, false)
	f.Add([]byte{0x96, 0, 0xdd, 0xff, 0xff, 0xff, 0xff}, true)
	f.Fuzz(func(t *testing.T, raw []byte, seal bool) {
		if seal { // so that more than the checksum is tried
			raw = sealed(raw)
		}
		e, err := DecodeEntry(raw)
		if err != nil {
			return
		}
		again, err := DecodeEntry(AppendEntry(nil, e))
		if err != nil || !reflect.DeepEqual(e, again) {
			t.Errorf("%+v became %+v, %v", e, again, err)
		}
	})
}

func FuzzDecodeBatch(f *testing.F) {
	for i := range few().Batches {
		raw := AppendBatch(nil, &few().Batches[i])
		f.Add(raw, false)
		f.Add(raw[headerSize:], true)
	}
	limits := []tiers.Op{mk("/q", 0), put(quotaRoot+"/q", ""), put(quotaRoot+"/q"+limitsName, "count=2;byteHardLimit=5"), put(quotaRoot+"/q"+statsName, "")}
	f.Add(AppendBatch(nil, &Batch{Origin: here, First: 1, Txns: []tiers.Txn{{Ops: limits}, {Ops: []tiers.Op{mk("/q/x", tiers.ContainerSequential)}}}}), false)
	f.Add([]byte{0x94, 1, 1, 1, 0xdd, 0xff, 0xff, 0xff, 0xff}, true)
	f.Fuzz(func(t *testing.T, raw []byte, seal bool) {
		if seal {
			raw = sealed(raw)
		}
		b, err := DecodeBatch(raw)
		if err != nil {
			return
		}
		again, err := DecodeBatch(AppendBatch(nil, b))
		if err != nil || !reflect.DeepEqual(b, again) {
			t.Errorf("%+v became %+v, %v", b, again, err)
		}
		// What was decoded must be safe to apply, however odd it is.
		tr := New()
		b.First = 1
		b.Origin.Incarnation = max(b.Origin.Incarnation, 1)
		tr.EnforceQuota(b.Origin.Member%2 == 0)
		for i := range b.Txns {
			r, err := tr.Refusal(b.Origin, &b.Txns[i], true)
			if applied, said := tr.Apply(1, b.Origin, b.First+uint64(i), &b.Txns[i]); err != nil {
				sameRefusal(t, &b.Txns[i], r, applied, err, said)
			}
		}
		if err := New().Restore(bytes.NewReader(snapshotOf(t, tr))); err != nil {
			t.Errorf("the state that %+v led to can't be restored: %v", b, err)
		}
	})
}

func FuzzRestore(f *testing.F) {
	d := &driver{Tree: New(), t: nil}
	ops := []tiers.Op{opening, mk("/e", tiers.Ephemeral), mk("/p", 0), mk("/p/s-", tiers.PersistentSequential), mk("/c", tiers.Container)}
	if _, err := d.do(3, ops...); err != nil {
		f.Fatal(err)
	}
	d.Register("m", [16]byte{1})
	d.SetKey([]byte("key"))
	s, err := d.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	var whole bytes.Buffer
	if _, err := s.WriteTo(&whole); err != nil {
		f.Fatal(err)
	}
	s.Release()
	raw := whole.Bytes()
	records, end := splitChunks(raw)
	f.Add(raw, []byte{}, false)
	f.Add(raw[:len(raw)/2], []byte{}, false)
	f.Add(records, end, true)
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, end, true)
	f.Fuzz(func(t *testing.T, first, last []byte, frame bool) {
		raw := first
		if frame { // so that more than the checksums is tried
			raw = append([]byte(snapshotMagic), framed(first)...)
			raw = append(raw, framed(last)...)
		}
		tr := New()
		untouched := snapshotOf(t, tr)
		if err := tr.Restore(bytes.NewReader(raw)); err != nil {
			if !bytes.Equal(untouched, snapshotOf(t, tr)) {
				t.Errorf("%v, and the tree has changed", err)
			}
			return
		}
		once := snapshotOf(t, tr)
		again := New()
		if err := again.Restore(bytes.NewReader(once)); err != nil {
			t.Fatalf("what was restored can't be restored again: %v", err)
		}
		if !bytes.Equal(once, snapshotOf(t, again)) {
			t.Error("restored twice, it is another state")
		}
	})
}
