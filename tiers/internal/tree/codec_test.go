package tree

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/tiers"
)

// full is an entry with everything in it.
func full() *Entry {
	return &Entry{
		At: -5, Key: []byte("k"), Register: &Registration{"m", [16]byte{3}}, TermStart: &TermStart{"m"},
		Expire: []Expiry{{-9, 1 << 40}, {1, 2}}, Reap: []Reaping{{"/c", 1 << 40}, {}}, EnforceQuota: true,
		Standings: []Standing{{1 << 31, RankRemoved}, {}}, Config: []byte("server.1="),
		Seal:  []Sealing{{Write: tiers.WriteID{Member: 1 << 31, Incarnation: math.MaxUint32, Number: 1 << 63}}, {Session: -1, Request: 1 << 63}},
		Stage: &Stage{ID: [16]byte{7}, Step: 3, Data: []byte("chunks"), Last: true},
		Batches: []Batch{{Origin: here}, {Origin: Origin{1 << 31, math.MaxUint32}, First: 1 << 63, Txns: []tiers.Txn{{}, {
			Session: -1, Request: 1 << 63, Caller: []tiers.Identity{alice, {}},
			Ops: []tiers.Op{
				{Kind: tiers.OpCreate, Path: "/ä", Data: []byte{}, Mode: tiers.PersistentTTL, TTL: time.Hour, ACL: append(grantTo(-1, bob), tiers.OpenACL...), Version: -1},
				{Kind: tiers.OpOpenSession, Timeout: time.Minute},
				{Kind: tiers.OpSetData, Path: "/" + strings.Repeat("p", 300), Data: bytes.Repeat([]byte{7}, 70000), Version: math.MinInt32},
				{Kind: tiers.OpSetACL, Path: "/" + strings.Repeat("long", 20000), ACL: make([]tiers.ACL, 20), Version: math.MaxInt32},
				{Kind: 255, Mode: -1, Data: bytes.Repeat([]byte{1}, 300), TTL: -time.Hour},
			},
		}}}},
	}
}

func TestEntryRoundTrip(t *testing.T) {
	for _, e := range []*Entry{full(), {}, {At: math.MinInt64, Register: &Registration{}, TermStart: &TermStart{}, Key: []byte{}}} {
		raw := AppendEntry([]byte("prefix"), e)[6:]
		got, err := DecodeEntry(raw)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%+v, %v; want %+v", got, err, e)
		}
		for cut := range min(len(raw), 400) {
			if _, err := DecodeEntry(raw[:cut]); err == nil {
				t.Errorf("cut at %d of %d: no error", cut, len(raw))
			}
			bad := bytes.Clone(raw)
			bad[cut] ^= 1
			if _, err := DecodeEntry(bad); !errors.Is(err, ErrChecksum) && !errors.Is(err, ErrVersion) {
				t.Errorf("a flipped bit at %d: %v", cut, err)
			}
		}
		if _, err := DecodeEntry(sealed(append(bytes.Clone(raw[headerSize:]), 0xc0))); err == nil {
			t.Error("bytes after the end: no error")
		}
	}
	b := &full().Batches[1]
	raw := AppendBatch([]byte("prefix"), b)[6:]
	if got, err := DecodeBatch(raw); err != nil || !reflect.DeepEqual(got, b) {
		t.Errorf("%+v, %v; want %+v", got, err, b)
	}
	if _, err := DecodeEntry(raw); err == nil {
		t.Error("a batch passed as an entry")
	}
}

// TestEntryOfBefore: the log of a version that knew six fields is read, and what has no more is written as that version did.
func TestEntryOfBefore(t *testing.T) {
	raw := []byte{1, 0x2f, 0x77, 0x13, 0x67, 0x96, 7, 0x90, 0x91, 0xa1, 'm', 0xc0, 0xc4, 1, 'k', 0x91, 0x92, 9, 3}
	want := &Entry{At: 7, TermStart: &TermStart{"m"}, Key: []byte("k"), Expire: []Expiry{{9, 3}}}
	if got, err := DecodeEntry(raw); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if got := AppendEntry(nil, want); !bytes.Equal(got, raw) {
		t.Errorf("written as %x, was %x", got, raw)
	}
	for _, msg := range [][]byte{{0x95, 7, 0x90, 0xc0, 0xc0, 0xc0}, {0x9b, 7, 0x90, 0xc0, 0xc0, 0xc0, 0x90, 0x90, 1, 0x90, 0xc0, 0}} {
		if e, err := DecodeEntry(sealed(msg)); err == nil {
			t.Errorf("%d fields: %+v", msg[0]&15, e)
		}
	}
}

// sealed is msgpack as an entry or batch travels.
func sealed(msg []byte) []byte {
	b := append([]byte{entryVersion}, binary.BigEndian.AppendUint32(nil, crc32.Checksum(msg, castagnoli))...)
	return append(b, msg...)
}

// TestMsgpackCompatible: another msgpack writes the same bytes for the same values, and reads ours.
func TestMsgpackCompatible(t *testing.T) {
	encode := func(v any) []byte {
		var b bytes.Buffer
		enc := msgpack.NewEncoder(&b)
		enc.UseCompactInts(true)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	e := full()
	if theirs, ours := encode(entryValue(e)), AppendEntry(nil, e)[headerSize:]; !bytes.Equal(theirs, ours) {
		t.Errorf("an entry:\n%x\n%x", theirs[:200], ours[:200])
	}
	if theirs, ours := encode(batchValue(&e.Batches[1])), AppendBatch(nil, &e.Batches[1])[headerSize:]; !bytes.Equal(theirs, ours) {
		t.Errorf("a batch:\n%x\n%x", theirs[:200], ours[:200])
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		i := int64(rnd.Uint64()) >> rnd.IntN(64)
		u := rnd.Uint64() >> rnd.IntN(64)
		data := make([]byte, 1<<rnd.IntN(10)-1)
		s := string(make([]byte, 1<<rnd.IntN(10)-1))
		ours := appendString(appendBytes(appendUint(appendInt(nil, i), u), data), s)
		if theirs := bytes.Join([][]byte{encode(i), encode(u), encode(data), encode(s)}, nil); !bytes.Equal(theirs, ours) {
			t.Fatalf("%d %d: %x, %x", i, u, theirs, ours)
		}
		r := &reader{b: ours}
		if r.int() != i || r.uint() != u || !bytes.Equal(r.bytes(), data) || r.string() != s || r.err != nil {
			t.Fatalf("%d %d: %v", i, u, r.err)
		}
	}
	// Also the wide forms, which we don't write.
	for _, v := range []any{int8(5), int16(5), int32(5), int64(5), uint8(5), uint16(5), uint32(5), uint64(5), int8(-5), int16(-5), int32(-5), int64(-5)} {
		raw, err := msgpack.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		r := &reader{b: raw}
		if got, want := r.int(), reflect.ValueOf(v); r.err != nil || (want.CanInt() && got != want.Int()) || (want.CanUint() && uint64(got) != want.Uint()) {
			t.Errorf("%T %v: %d, %v", v, v, got, r.err)
		}
	}
	// And a snapshot: its payloads are msgpack to anyone.
	d := drive(t)
	d.must(1, opening, mk("/e", tiers.Ephemeral))
	raw := snapshotOf(t, d.Tree)[len(snapshotMagic):]
	var records []any
	if err := msgpack.Unmarshal(raw[8:8+binary.BigEndian.Uint32(raw)], &records); err != nil || len(records) < 6 {
		t.Errorf("%d records, %v", len(records), err)
	}
}

// The values as lists of lists, for an encoder that knows nothing of ours.

func entryValue(e *Entry) any {
	batches, expire, reap, standings, seals := []any{}, []any{}, []any{}, []any{}, []any{}
	for i := range e.Batches {
		batches = append(batches, batchValue(&e.Batches[i]))
	}
	for _, x := range e.Expire {
		expire = append(expire, []any{int64(x.Session), int64(x.Since)})
	}
	for _, x := range e.Reap {
		reap = append(reap, []any{x.Path, int64(x.Czxid)})
	}
	for _, x := range e.Standings {
		standings = append(standings, []any{uint64(x.Member), uint64(x.Rank)})
	}
	for _, x := range e.Seal {
		seals = append(seals, []any{uint64(x.Write.Member), uint64(x.Write.Incarnation), x.Write.Number, int64(x.Session), uint64(x.Request)})
	}
	return []any{e.At, batches, []any{e.TermStart.Member}, []any{e.Register.Name, e.Register.Identity[:]}, e.Key, expire, reap, uint64(1), standings, e.Config, seals, []any{e.Stage.ID[:], e.Stage.Step, e.Stage.Data, uint64(1)}}
}

func batchValue(b *Batch) any {
	txns := []any{}
	for _, x := range b.Txns {
		caller, ops := []any{}, []any{}
		for _, c := range x.Caller {
			caller = append(caller, []any{c.Scheme, c.ID})
		}
		for _, o := range x.Ops {
			list := []any{}
			for _, a := range o.ACL {
				list = append(list, []any{int64(a.Perms), a.Who.Scheme, a.Who.ID})
			}
			ops = append(ops, []any{uint64(o.Kind), o.Path, o.Data, int64(o.Mode), o.TTL.Milliseconds(), list, int64(o.Version), o.Timeout.Milliseconds()})
		}
		txns = append(txns, []any{int64(x.Session), uint64(x.Request), caller, ops})
	}
	return []any{uint64(b.Origin.Member), uint64(b.Origin.Incarnation), b.First, txns}
}

// TestLengthsAreNotBelieved: a few bytes that claim to be millions of ops must not cost their memory.
func TestLengthsAreNotBelieved(t *testing.T) {
	claims := sealed([]byte{0x96, 0, 0xdd, 0x0f, 0xff, 0xff, 0xff, 0x94})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := DecodeEntry(claims)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > 64<<10 {
		t.Errorf("%d bytes were allocated for %d, %v", n, len(claims), err)
	}
}

// framed is a payload as a chunk of a snapshot.
func framed(payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	return append(binary.BigEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli)), payload...)
}

// splitChunks returns the payloads of a snapshot of two chunks.
func splitChunks(raw []byte) (first, last []byte) {
	raw = raw[len(snapshotMagic):]
	n := 8 + binary.BigEndian.Uint32(raw)
	return raw[8:n], raw[n+8:]
}
