package eventual

import (
	"errors"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

// Records travel, and are kept, as msgpack arrays. version leads every message, so that a later one can be told from this.
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
	Clock        uint64
	Origin       wireOrigin
	Seq          uint64
	Deleted      bool
	Data         []byte
	Version      int32
	Ctime, Mtime int64
	Session      int64
	Timeout      int64
	Host         wireOrigin
}

type wireKnown struct {
	_msgpack struct{} `msgpack:",as_array"`
	Origin   wireOrigin
	Seq      uint64
}

// message is records, and what their sender knows: in a delta, so that the receiver may learn it too; in a question, so that the
// answer leaves it out.
type message struct {
	_msgpack struct{} `msgpack:",as_array"`
	Version  int
	From     string
	Records  []wireRecord
	Known    []wireKnown
	More     bool // the answer goes on: ask again
}

func toWire(r *crdt.Record) wireRecord {
	return wireRecord{Path: r.Path, Clock: r.Clock, Origin: wireOrigin{Name: r.Origin.Name, Incarnation: r.Origin.Incarnation}, Seq: r.Seq,
		Deleted: r.Deleted, Data: r.Data, Version: r.Version, Ctime: r.Ctime, Mtime: r.Mtime, Session: r.Session, Timeout: r.Timeout,
		Host: wireOrigin{Name: r.Host.Name, Incarnation: r.Host.Incarnation}}
}

func fromWire(w *wireRecord) (*crdt.Record, error) {
	if !clean(w.Path) || w.Path == "/" || w.Seq == 0 || w.Origin.Name == "" || w.Version < 0 || w.Timeout < 0 {
		return nil, fmt.Errorf("malformed record of %q", w.Path)
	}
	return &crdt.Record{Path: w.Path, Clock: w.Clock, Origin: crdt.Origin{Name: w.Origin.Name, Incarnation: w.Origin.Incarnation}, Seq: w.Seq,
		Deleted: w.Deleted, Data: w.Data, Version: w.Version, Ctime: w.Ctime, Mtime: w.Mtime, Session: w.Session, Timeout: w.Timeout,
		Host: crdt.Origin{Name: w.Host.Name, Incarnation: w.Host.Incarnation}}, nil
}

func encode(from string, rs []*crdt.Record, known crdt.Vector, more bool) ([]byte, error) {
	m := message{Version: version, From: from, More: more}
	for _, r := range rs {
		m.Records = append(m.Records, toWire(r))
	}
	for o, n := range known {
		m.Known = append(m.Known, wireKnown{Origin: wireOrigin{Name: o.Name, Incarnation: o.Incarnation}, Seq: n})
	}
	return msgpack.Marshal(&m)
}

// decode reads a message; it is refused whole if any of it is malformed.
func decode(b []byte) (from string, rs []*crdt.Record, known crdt.Vector, more bool, err error) {
	var m message
	if err := msgpack.Unmarshal(b, &m); err != nil {
		return "", nil, nil, false, fmt.Errorf("malformed records: %w", err)
	}
	if m.Version != version {
		return "", nil, nil, false, fmt.Errorf("%w: %d", errVersion, m.Version)
	}
	for i := range m.Records {
		r, err := fromWire(&m.Records[i])
		if err != nil {
			return "", nil, nil, false, err
		}
		rs = append(rs, r)
	}
	known = make(crdt.Vector, len(m.Known))
	for _, k := range m.Known {
		known[crdt.Origin{Name: k.Origin.Name, Incarnation: k.Origin.Incarnation}] = k.Seq
	}
	return m.From, rs, known, m.More, nil
}
