package eventual

import (
	"errors"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

// Records travel, and are kept, as msgpack arrays. version leads every message, so that a later format can be told from this one.
const version = 1

var errVersion = errors.New("unknown version of eventual records")

type wireOrigin struct {
	_msgpack    struct{} `msgpack:",as_array"`
	Name        string
	Incarnation uint64
}

type wireRecord struct {
	_msgpack     struct{} `msgpack:",as_array"`
	Path         string
	Epoch, Clock uint64
	Origin       wireOrigin
	Seq          uint64
	Deleted      bool
	Data         []byte
	Version      int32
	Ctime, Mtime int64
	Session      int64
	Timeout      int64
	Host         wireOrigin
	Attached     uint64
}

type wireKnown struct {
	_msgpack struct{} `msgpack:",as_array"`
	Origin   wireOrigin
	Seq      uint64
}

type wireParcel struct {
	_msgpack struct{} `msgpack:",as_array"`
	Version  int
	Label    string
	From     string
	Records  []wireRecord
	Known    []wireKnown
	More     bool
}

// parcel is one message between members.
type parcel struct {
	label   string // of the sender's cluster
	from    string // the sender
	records []*crdt.Record
	// known is, in a question, what the asker knows; with records, what the receiver knows once it has merged them.
	known crdt.Vector
	more  bool // the answer goes on: ask again
}

// maxNumber bounds clocks and sequence numbers from elsewhere, so that counting on from them can't overflow.
const maxNumber = 1 << 62

func toWire(r *crdt.Record) wireRecord {
	return wireRecord{Path: r.Path, Epoch: r.Epoch, Clock: r.Clock, Origin: wireOrigin{Name: r.Origin.Name, Incarnation: r.Origin.Incarnation},
		Seq: r.Seq, Deleted: r.Deleted, Data: r.Data, Version: r.Version, Ctime: r.Ctime, Mtime: r.Mtime, Session: r.Session,
		Timeout: r.Timeout, Host: wireOrigin{Name: r.Host.Name, Incarnation: r.Host.Incarnation}, Attached: r.Attached}
}

func fromWire(w *wireRecord) (*crdt.Record, error) {
	switch {
	case !clean(w.Path), w.Origin.Name == "", w.Version < 0, w.Timeout < 0, w.Timeout > maxTimeout,
		w.Seq == 0, w.Seq > maxNumber, w.Clock > maxNumber, w.Epoch > w.Clock, w.Attached > w.Epoch:
		return nil, fmt.Errorf("malformed record of %q", w.Path)
	}
	return &crdt.Record{Path: w.Path, Epoch: w.Epoch, Clock: w.Clock, Origin: crdt.Origin{Name: w.Origin.Name, Incarnation: w.Origin.Incarnation},
		Seq: w.Seq, Deleted: w.Deleted, Data: w.Data, Version: w.Version, Ctime: w.Ctime, Mtime: w.Mtime, Session: w.Session,
		Timeout: w.Timeout, Host: crdt.Origin{Name: w.Host.Name, Incarnation: w.Host.Incarnation}, Attached: w.Attached}, nil
}

func encode(p *parcel) ([]byte, error) {
	m := wireParcel{Version: version, Label: p.label, From: p.from, More: p.more, Records: make([]wireRecord, len(p.records))}
	for i, r := range p.records {
		m.Records[i] = toWire(r)
	}
	for o, n := range p.known {
		m.Known = append(m.Known, wireKnown{Origin: wireOrigin{Name: o.Name, Incarnation: o.Incarnation}, Seq: n})
	}
	b, err := msgpack.Marshal(&m)
	if err != nil {
		return nil, fmt.Errorf("encode records: %w", err)
	}
	return b, nil
}

// decode reads a message; it is refused whole if any of it is malformed.
func decode(b []byte) (*parcel, error) {
	var m wireParcel
	if err := msgpack.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("malformed records: %w", err)
	}
	if m.Version != version {
		return nil, fmt.Errorf("%w: %d", errVersion, m.Version)
	}
	p := &parcel{label: m.Label, from: m.From, more: m.More, records: make([]*crdt.Record, len(m.Records)), known: make(crdt.Vector, len(m.Known))}
	for i := range m.Records {
		r, err := fromWire(&m.Records[i])
		if err != nil {
			return nil, err
		}
		p.records[i] = r
	}
	for _, k := range m.Known {
		if k.Origin.Name == "" || k.Seq > maxNumber {
			return nil, fmt.Errorf("malformed numbers of %q", k.Origin.Name)
		}
		p.known[crdt.Origin{Name: k.Origin.Name, Incarnation: k.Origin.Incarnation}] = k.Seq
	}
	return p, nil
}
