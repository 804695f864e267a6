package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/strata-coord/strata/tiers"
)

// Origin names one start of one member, under which it numbers its txns.
type Origin struct{ Member, Incarnation uint32 }

// Entry is one entry of the raft log. What is not set is not done.
type Entry struct {
	At        int64   // the leader's clock, milliseconds since the Unix epoch
	Batches   []Batch // txns of members, in this order
	TermStart *TermStart
	Register  *Registration
	Key       []byte // the cluster's secret; the first one counts
	Expire    []Expiry
	Reap      []Reaping
	// EnforceQuota: hard limits of quotas count for the txns of this entry.
	EnforceQuota bool
	Standings    []Standing
	Config       []byte // lines of the members for ConfigPath, without that of the version
	Seal         []Sealing
	Stage        *Stage
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

// An encoded entry or batch is: version (1 byte), CRC-32C of the rest (4 bytes, big-endian), and one msgpack array, of arrays
// in the order of the fields of the types. What is not set is nil; an entry's fields from Reap on are left out at the end if they are
// not set, as they are in entries of versions that did not know them.
const (
	entryVersion = 1
	headerSize   = 5
)

// An entry has at least the fields up to Expire, and those up to the last one that is set.
const (
	leastFields = 6 + iota
	reapField
	enforceField
	standingsField
	configField
	sealField
	stageField
)

// The least bytes that one takes, encoded: no array is believed to be longer than its bytes allow.
const (
	leastBatch    = 5
	leastTxn      = 5
	leastOp       = 9
	leastIdentity = 3
	leastACL      = 4
	leastExpiry   = 3
	leastReaping  = 3
	leastStanding = 3
	leastSealing  = 6
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
	fields := leastFields
	switch {
	case e.Stage != nil:
		fields = stageField
	case len(e.Seal) > 0:
		fields = sealField
	case len(e.Config) > 0:
		fields = configField
	case len(e.Standings) > 0:
		fields = standingsField
	case e.EnforceQuota:
		fields = enforceField
	case len(e.Reap) > 0:
		fields = reapField
	}
	b = appendInt(appendArray(b, fields), e.At)
	b = appendArray(b, len(e.Batches))
	for i := range e.Batches {
		b = appendBatch(b, &e.Batches[i])
	}
	if e.TermStart == nil {
		b = appendNil(b)
	} else {
		b = appendString(appendArray(b, 1), e.TermStart.Member)
	}
	if e.Register == nil {
		b = appendNil(b)
	} else {
		b = appendBytes(appendString(appendArray(b, 2), e.Register.Name), e.Register.Identity[:])
	}
	b = appendBytes(b, e.Key)
	b = appendArray(b, len(e.Expire))
	for _, x := range e.Expire {
		b = appendInt(appendInt(appendArray(b, 2), int64(x.Session)), int64(x.Since))
	}
	if fields >= reapField {
		b = appendArray(b, len(e.Reap))
		for _, x := range e.Reap {
			b = appendInt(appendString(appendArray(b, 2), x.Path), int64(x.Czxid))
		}
	}
	if fields >= enforceField {
		enforced := uint64(0)
		if e.EnforceQuota {
			enforced = 1
		}
		b = appendUint(b, enforced)
	}
	if fields >= standingsField {
		b = appendArray(b, len(e.Standings))
		for _, x := range e.Standings {
			b = appendUint(appendUint(appendArray(b, 2), uint64(x.Member)), uint64(x.Rank))
		}
	}
	if fields >= configField {
		b = appendBytes(b, e.Config)
	}
	if fields >= sealField {
		b = appendArray(b, len(e.Seal))
		for _, x := range e.Seal {
			b = appendUint(appendUint(appendArray(b, 5), uint64(x.Write.Member)), uint64(x.Write.Incarnation))
			b = appendUint(appendInt(appendUint(b, x.Write.Number), int64(x.Session)), uint64(x.Request))
		}
	}
	if fields >= stageField {
		b = appendStage(b, e.Stage)
	}
	return seal(b, start)
}

// DecodeEntry reads an entry. Its Data, Key, Config and Stage share b's memory: b must not change while the entry is used. Errors: ErrVersion,
// ErrChecksum, malformed msgpack.
func DecodeEntry(b []byte) (*Entry, error) {
	r, err := unseal(b)
	if err != nil {
		return nil, fmt.Errorf("tree: decode an entry: %w", err)
	}
	e := &Entry{}
	r.entry(e)
	if r.end(); r.err != nil {
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
	r.batch(x)
	if r.end(); r.err != nil {
		return nil, fmt.Errorf("tree: decode a batch: %w", r.err)
	}
	return x, nil
}

func (r *reader) entry(e *Entry) {
	fields := r.array(1)
	if r.err == nil && (fields < leastFields || fields > stageField) {
		r.fail("another number of fields")
	}
	e.At = r.int()
	if n := r.array(leastBatch); n > 0 {
		e.Batches = make([]Batch, n)
		for i := range e.Batches {
			r.batch(&e.Batches[i])
		}
	}
	if !r.absent() {
		r.fields(1)
		e.TermStart = &TermStart{Member: r.string()}
	}
	if !r.absent() {
		r.fields(2)
		e.Register = &Registration{Name: r.string()}
		r.identity(&e.Register.Identity)
	}
	e.Key = r.bytes()
	if n := r.array(leastExpiry); n > 0 {
		e.Expire = make([]Expiry, n)
		for i := range e.Expire {
			r.fields(2)
			e.Expire[i] = Expiry{tiers.SessionID(r.int()), tiers.Zxid(r.int())}
		}
	}
	if fields < reapField {
		return
	}
	if n := r.array(leastReaping); n > 0 {
		e.Reap = make([]Reaping, n)
		for i := range e.Reap {
			r.fields(2)
			e.Reap[i] = Reaping{r.string(), tiers.Zxid(r.int())}
		}
	}
	if fields >= enforceField {
		e.EnforceQuota = r.uint() != 0
	}
	if fields < standingsField {
		return
	}
	if n := r.array(leastStanding); n > 0 {
		e.Standings = make([]Standing, n)
		for i := range e.Standings {
			r.fields(2)
			e.Standings[i] = Standing{r.uint32(), Rank(r.small())}
		}
	}
	if fields < configField {
		return
	}
	if b := r.bytes(); len(b) > 0 {
		e.Config = b
	}
	if fields < sealField {
		return
	}
	if n := r.array(leastSealing); n > 0 {
		e.Seal = make([]Sealing, n)
		for i := range e.Seal {
			r.fields(5)
			e.Seal[i] = Sealing{tiers.WriteID{Member: r.uint32(), Incarnation: r.uint32(), Number: r.uint()}, tiers.SessionID(r.int()), tiers.RequestID(r.uint())}
		}
	}
	if fields >= stageField && r.err == nil {
		e.Stage = r.stage()
	}
}

func appendBatch(b []byte, x *Batch) []byte {
	b = appendUint(appendUint(appendArray(b, 4), uint64(x.Origin.Member)), uint64(x.Origin.Incarnation))
	b = appendArray(appendUint(b, x.First), len(x.Txns))
	for i := range x.Txns {
		b = appendTxn(b, &x.Txns[i])
	}
	return b
}

func (r *reader) batch(x *Batch) {
	r.fields(4)
	x.Origin = Origin{r.uint32(), r.uint32()}
	x.First = r.uint()
	if n := r.array(leastTxn); n > 0 {
		x.Txns = make([]tiers.Txn, n)
		for i := range x.Txns {
			r.txn(&x.Txns[i])
		}
	}
}
