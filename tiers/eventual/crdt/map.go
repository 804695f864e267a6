// Package crdt is the mergeable map behind the eventual tier. It is pure: no clock, no randomness, no I/O.
//
// A [Map] holds one [Record] per path: the greatest ever seen, by (Epoch, Clock, Origin, Seq). Taking the greatest is
// commutative, associative and idempotent, so members that have seen the same records hold the same map, in whatever order and
// however often they came. A deletion is a record too: a tombstone.
//
// Each origin numbers what it writes; a [Vector] of those numbers says what a member knows, and [Map.Delta] is what it lacks.
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
	Path string
	// Epoch is the greatest Attached that was ever seen on this path. It leads the order: who took a session over has the last word
	// over a former host that does not know of it, whatever that one writes.
	Epoch  uint64
	Clock  uint64 // hybrid logical: greater than that of everything its writer had seen
	Origin Origin // who wrote it
	Seq    uint64 // its number among the origin's records

	Deleted bool
	Data    []byte // nil is null
	Version int32  // changes of the data since the creation
	Ctime   int64  // milliseconds since the Unix epoch
	Mtime   int64

	// Of an ephemeral, and of a tombstone that a session's or a host's end left; Session is 0 for all others.
	Session  int64
	Timeout  int64  // of the session, milliseconds
	Host     Origin // the member that the session is attached to
	Attached uint64 // the clock at which it was
}

// Compare orders records of one path: the greater one wins.
func (r *Record) Compare(s *Record) int {
	return cmp.Or(cmp.Compare(r.Epoch, s.Epoch), cmp.Compare(r.Clock, s.Clock), r.Origin.Compare(s.Origin), cmp.Compare(r.Seq, s.Seq))
}

// Size is about how many bytes the record takes in a message.
func (r *Record) Size() int {
	return len(r.Path) + len(r.Data) + len(r.Origin.Name) + len(r.Host.Name) + 105
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
	stale   int // how many of them are superseded
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
	i, again := s.from(r.Seq)
	if again { // what superseded it has been forgotten
		s.entries[i].path = r.Path
		s.stale--
	} else {
		s.entries = slices.Insert(s.entries, i, entry{r.Seq, r.Path})
	}
	return true
}

// from is where the entries that are not below seq begin, and whether the first of them is seq.
func (s *sequence) from(seq uint64) (i int, found bool) {
	return slices.BinarySearchFunc(s.entries, seq, func(e entry, seq uint64) int { return cmp.Compare(e.seq, seq) })
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

// Delta is the records that somebody who knows v may lack, in the order of origins and their numbers, up to about limit bytes and at
// least one. Who knows all of v and has merged them knows all of upTo. more: there are others; [Cursor] walks through them.
func (m *Map) Delta(v Vector, limit int) (rs []*Record, upTo Vector, more bool) {
	upTo = m.Known()
	origins := slices.SortedFunc(maps.Keys(m.written), Origin.Compare)
	for n, o := range origins {
		s := m.written[o]
		i, _ := s.from(v[o] + 1)
		for _, e := range s.entries[i:] {
			r := m.records[e.path]
			if r == nil || r.Origin != o || r.Seq != e.seq {
				continue
			}
			if limit <= 0 && len(rs) > 0 {
				upTo[o] = min(upTo[o], e.seq-1)
				for _, later := range origins[n+1:] {
					delete(upTo, later)
				}
				return rs, upTo, true
			}
			limit -= r.Size()
			rs = append(rs, r)
		}
	}
	return rs, upTo, false
}

// Forget drops the tombstones that were written before a clock value, and the numbers of starts that nothing is left of. A member
// that was away for longer may bring what was deleted back.
func (m *Map) Forget(before uint64) (dropped []string) {
	for path, r := range m.records {
		if r.Deleted && r.Clock < before {
			dropped = append(dropped, path)
			delete(m.records, path)
			m.supersede(r)
		}
	}
	newest := make(map[string]uint64)
	for o := range m.known {
		newest[o.Name] = max(newest[o.Name], o.Incarnation)
	}
	for o := range m.known {
		if s := m.written[o]; o.Incarnation < newest[o.Name] && (s == nil || len(s.entries) == s.stale) {
			delete(m.known, o)
			delete(m.written, o)
		}
	}
	return dropped
}
