// Package crdt is the mergeable map behind the eventual tier. It is pure: no clock, no randomness, no I/O.
//
// A [Map] holds one [Record] per path: the greatest ever seen, by (Clock, Origin, Seq). Taking the greatest is commutative,
// associative and idempotent, so members that have seen the same records hold the same map, in whatever order and however often
// they came. A deletion is a record too: a tombstone.
package crdt

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Origin is one start of one member: it numbers the records that it writes 1, 2, 3, ...
type Origin struct {
	Name        string
	Incarnation uint64
}

// Compare orders origins by name and incarnation.
func (o Origin) Compare(p Origin) int {
	return cmp.Or(strings.Compare(o.Name, p.Name), cmp.Compare(o.Incarnation, p.Incarnation))
}

// Record is the last word on one path.
type Record struct {
	Path   string
	Clock  uint64 // hybrid logical: greater than that of everything its writer had seen
	Origin Origin // who wrote it
	Seq    uint64 // its number among the origin's records

	Deleted bool
	Data    []byte // nil is null
	Version int32  // changes of the data since the creation
	Ctime   int64  // milliseconds since the Unix epoch
	Mtime   int64

	// Of an ephemeral; Session is 0 for a persistent one.
	Session int64
	Timeout int64  // of the session, milliseconds
	Host    Origin // the member that the session is attached to
}

// Compare orders records of one path: the greater one wins.
func (r *Record) Compare(s *Record) int {
	return cmp.Or(cmp.Compare(r.Clock, s.Clock), r.Origin.Compare(s.Origin), cmp.Compare(r.Seq, s.Seq))
}

// Vector says, for each origin, up to which number everything is known.
type Vector map[Origin]uint64

// Map is the records and what is known. It is not safe for concurrent use.
type Map struct {
	records map[string]*Record
	known   Vector
	// written has each origin's numbers with their paths, ascending; superseded ones stay until they are half of it.
	written map[Origin]*sequence
	clock   uint64 // the greatest seen
}

type sequence struct {
	entries []entry
	stale   int
}

type entry struct {
	seq  uint64
	path string
}

// New returns an empty map.
func New() *Map {
	return &Map{records: make(map[string]*Record), known: make(Vector), written: make(map[Origin]*sequence)}
}

// Get returns the record of a path, which must not be changed; nil if there is none.
func (m *Map) Get(path string) *Record { return m.records[path] }

// Len counts the records, tombstones included.
func (m *Map) Len() int { return len(m.records) }

// All calls f with every record.
func (m *Map) All(f func(*Record) bool) {
	for _, r := range m.records {
		if !f(r) {
			return
		}
	}
}

// Tick returns a clock value for a new record: greater than all seen, and not behind now (any scale that all members share).
func (m *Map) Tick(now uint64) uint64 {
	m.clock = max(m.clock+1, now)
	return m.clock
}

// Merge takes a record and tells whether it is the new last word on its path; the map keeps r then. What is known grows only when
// r is the origin's next number: a gap is filled by Learn.
func (m *Map) Merge(r *Record) bool {
	m.clock = max(m.clock, r.Clock)
	if r.Seq == m.known[r.Origin]+1 {
		m.known[r.Origin] = r.Seq
	}
	old := m.records[r.Path]
	if old != nil {
		if r.Compare(old) <= 0 {
			return false
		}
		m.supersede(old)
	}
	m.records[r.Path] = r
	s := m.written[r.Origin]
	if s == nil {
		s = new(sequence)
		m.written[r.Origin] = s
	}
	i, _ := slices.BinarySearchFunc(s.entries, r.Seq, func(e entry, seq uint64) int { return cmp.Compare(e.seq, seq) })
	s.entries = slices.Insert(s.entries, i, entry{r.Seq, r.Path})
	return true
}

func (m *Map) supersede(old *Record) {
	s := m.written[old.Origin]
	if s == nil {
		return
	}
	if s.stale++; s.stale > 64 && s.stale > len(s.entries)/2 {
		s.entries = slices.DeleteFunc(s.entries, func(e entry) bool {
			r := m.records[e.path]
			return r == old || r == nil || r.Origin != old.Origin || r.Seq != e.seq
		})
		s.stale = 0
	}
}

// Known is a copy of what is known: a digest for another member.
func (m *Map) Known() Vector { return maps.Clone(m.known) }

// Learn notes that all records of the vector that still count have been merged: after a Delta of its owner was merged whole.
func (m *Map) Learn(v Vector) {
	for o, n := range v {
		m.known[o] = max(m.known[o], n)
	}
}

// Delta is every record that somebody who knows v may lack, in the order of origins and their numbers: who has merged a beginning
// of it knows all origins before the last one's, and that one up to the last number.
func (m *Map) Delta(v Vector) (rs []*Record) {
	for o, s := range m.written {
		after := v[o]
		i, _ := slices.BinarySearchFunc(s.entries, after+1, func(e entry, seq uint64) int { return cmp.Compare(e.seq, seq) })
		for _, e := range s.entries[i:] {
			if r := m.records[e.path]; r != nil && r.Origin == o && r.Seq == e.seq {
				rs = append(rs, r)
			}
		}
	}
	slices.SortFunc(rs, func(a, b *Record) int { return cmp.Or(a.Origin.Compare(b.Origin), cmp.Compare(a.Seq, b.Seq)) })
	return rs
}

// Forget drops the tombstones that were written before a clock value. A member that was away for longer may bring what they deleted
// back.
func (m *Map) Forget(before uint64) (dropped []string) {
	for path, r := range m.records {
		if r.Deleted && r.Clock < before {
			dropped = append(dropped, path)
			m.supersede(r)
			delete(m.records, path)
		}
	}
	return dropped
}
