package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// Origin names one start of one member, under which it numbers its txns.
type Origin struct{ Member, Incarnation uint32 }

// Entry is one entry of the raft log. What is not set is not done; the parts are done in the order of the fields.
type Entry struct {
	At        int64   // the leader's clock, milliseconds since the Unix epoch
	Batches   []Batch // txns of members
	Expire    []Expiry
	Key       []byte // the cluster's secret; the first one counts
	Register  *Registration
	TermStart *TermStart
}

// Batch is txns of one origin: Txns[i] has the number First+i.
type Batch struct {
	Origin Origin
	First  uint64
	Txns   []tiers.Txn
}

// Expiry ends a session unless it was opened or moved after Since.
type Expiry struct {
	Session tiers.SessionID
	Since   tiers.Zxid
}

// Registration asks for a member number.
type Registration struct {
	Name     string
	Identity [16]byte
}

// TermStart is the first command of a leader.
type TermStart struct{ Member string }

// An encoded entry or batch is: version (1 byte), CRC-32C of the rest (4 bytes, big-endian), msgpack.
const (
	entryVersion = 1
	headerSize   = 5
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	// ErrVersion: written by a version that this one cannot read.
	ErrVersion = errors.New("unknown version")
	// ErrChecksum: the bytes are not those that were written.
	ErrChecksum = errors.New("checksum does not match")
)

func seal(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start+1:], crc32.Checksum(b[start+headerSize:], castagnoli))
	return b
}

func unseal(b []byte) (*reader, error) {
	switch {
	case len(b) < headerSize:
		return nil, fmt.Errorf("%w: %d bytes", errMalformed, len(b))
	case b[0] != entryVersion:
		return nil, fmt.Errorf("%w: %d", ErrVersion, b[0])
	case binary.BigEndian.Uint32(b[1:]) != crc32.Checksum(b[headerSize:], castagnoli):
		return nil, ErrChecksum
	}
	return &reader{b: b[headerSize:]}, nil
}

// AppendEntry appends e, encoded, to b.
func AppendEntry(b []byte, e *Entry) []byte {
	start := len(b)
	b = append(b, entryVersion, 0, 0, 0, 0)
	b = appendArray(b, 6)
	b = appendInt(b, e.At)
	b = appendArray(b, len(e.Batches))
	for i := range e.Batches {
		b = appendBatch(b, &e.Batches[i])
	}
	b = appendArray(b, len(e.Expire))
	for _, x := range e.Expire {
		b = appendInt(appendInt(appendArray(b, 2), int64(x.Session)), int64(x.Since))
	}
	b = appendBytes(b, e.Key)
	if e.Register == nil {
		b = appendArray(b, 0)
	} else {
		b = appendBytes(appendString(appendArray(b, 2), e.Register.Name), e.Register.Identity[:])
	}
	if e.TermStart == nil {
		b = appendArray(b, 0)
	} else {
		b = appendString(appendArray(b, 1), e.TermStart.Member)
	}
	return seal(b, start)
}

// DecodeEntry reads an entry; its bytes share b's memory. Errors: ErrVersion, ErrChecksum, malformed msgpack.
func DecodeEntry(b []byte) (*Entry, error) {
	r, err := unseal(b)
	if err != nil {
		return nil, fmt.Errorf("tree: decode an entry: %w", err)
	}
	e := &Entry{}
	r.fields(6)
	e.At = r.int()
	if n := r.array(); n > 0 {
		e.Batches = make([]Batch, n)
		for i := range e.Batches {
			r.batch(&e.Batches[i])
		}
	}
	if n := r.array(); n > 0 {
		e.Expire = make([]Expiry, n)
		for i := range e.Expire {
			r.fields(2)
			e.Expire[i] = Expiry{tiers.SessionID(r.int()), tiers.Zxid(r.int())}
		}
	}
	e.Key = r.bytes()
	if r.array() > 0 {
		e.Register = &Registration{Name: r.string()}
		if id := r.bytes(); len(id) == len(e.Register.Identity) {
			copy(e.Register.Identity[:], id)
		} else {
			r.fail("no identity")
		}
	}
	if r.array() > 0 {
		e.TermStart = &TermStart{Member: r.string()}
	}
	if r.err != nil {
		return nil, fmt.Errorf("tree: decode an entry: %w", r.err)
	}
	return e, nil
}

// AppendBatch appends x, encoded for its way to the leader, to b.
func AppendBatch(b []byte, x *Batch) []byte {
	start := len(b)
	return seal(appendBatch(append(b, entryVersion, 0, 0, 0, 0), x), start)
}

// DecodeBatch reads a batch; its bytes share b's memory. Errors as DecodeEntry.
func DecodeBatch(b []byte) (*Batch, error) {
	r, err := unseal(b)
	if err != nil {
		return nil, fmt.Errorf("tree: decode a batch: %w", err)
	}
	x := &Batch{}
	if r.batch(x); r.err != nil {
		return nil, fmt.Errorf("tree: decode a batch: %w", r.err)
	}
	return x, nil
}

func appendBatch(b []byte, x *Batch) []byte {
	b = appendArray(b, 4)
	b = appendUint(b, uint64(x.Origin.Member))
	b = appendUint(b, uint64(x.Origin.Incarnation))
	b = appendUint(b, x.First)
	b = appendArray(b, len(x.Txns))
	for i := range x.Txns {
		b = appendTxn(b, &x.Txns[i])
	}
	return b
}

func (r *reader) batch(x *Batch) {
	r.fields(4)
	x.Origin = Origin{r.uint32(), r.uint32()}
	x.First = r.uint()
	if n := r.array(); n > 0 {
		x.Txns = make([]tiers.Txn, n)
		for i := range x.Txns {
			r.txn(&x.Txns[i])
		}
	}
}

func appendTxn(b []byte, t *tiers.Txn) []byte {
	b = appendArray(b, 4)
	b = appendInt(b, int64(t.Session))
	b = appendUint(b, uint64(t.Request))
	b = appendArray(b, len(t.Caller))
	for _, c := range t.Caller {
		b = appendString(appendString(appendArray(b, 2), c.Scheme), c.ID)
	}
	b = appendArray(b, len(t.Ops))
	for i := range t.Ops {
		b = appendOp(b, &t.Ops[i])
	}
	return b
}

func (r *reader) txn(t *tiers.Txn) {
	r.fields(4)
	t.Session = tiers.SessionID(r.int())
	t.Request = tiers.RequestID(r.uint())
	if n := r.array(); n > 0 {
		t.Caller = make([]tiers.Identity, n)
		for i := range t.Caller {
			r.fields(2)
			t.Caller[i] = tiers.Identity{Scheme: r.string(), ID: r.string()}
		}
	}
	if n := r.array(); n > 0 {
		t.Ops = make([]tiers.Op, n)
		for i := range t.Ops {
			r.op(&t.Ops[i])
		}
	}
}

func appendOp(b []byte, o *tiers.Op) []byte {
	b = appendArray(b, 8)
	b = appendUint(b, uint64(o.Kind))
	b = appendString(b, o.Path)
	b = appendBytes(b, o.Data)
	b = appendInt(b, int64(o.Mode))
	b = appendInt(b, o.TTL.Milliseconds())
	b = appendACL(b, o.ACL)
	b = appendInt(b, int64(o.Version))
	return appendInt(b, o.Timeout.Milliseconds())
}

func (r *reader) op(o *tiers.Op) {
	r.fields(8)
	o.Kind = tiers.OpKind(r.uint())
	o.Path = r.string()
	o.Data = r.bytes()
	o.Mode = tiers.CreateMode(r.int32())
	o.TTL = time.Duration(r.int()) * time.Millisecond
	o.ACL = r.acl()
	o.Version = r.int32()
	o.Timeout = time.Duration(r.int()) * time.Millisecond
}

func appendACL(b []byte, acl []tiers.ACL) []byte {
	b = appendArray(b, len(acl))
	for _, a := range acl {
		b = appendString(appendString(appendInt(appendArray(b, 3), int64(a.Perms)), a.Who.Scheme), a.Who.ID)
	}
	return b
}

func (r *reader) acl() []tiers.ACL {
	n := r.array()
	if n == 0 {
		return nil
	}
	acl := make([]tiers.ACL, n)
	for i := range acl {
		r.fields(3)
		acl[i] = tiers.ACL{Perms: tiers.Perm(r.int32()), Who: tiers.Identity{Scheme: r.string(), ID: r.string()}}
	}
	return acl
}
