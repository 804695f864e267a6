package tree

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/strata-coord/strata/tiers"
)

// A snapshot is a magic (8 bytes, the last one the version of the format), then chunks:
//
//	length of the payload (4 bytes, big-endian) | CRC-32C of the payload (4 bytes, big-endian) | payload
//
// A payload is msgpack: an array of records, each an array that begins with its kind. The head comes first; after it members,
// origins, their earlier starts, promises, sessions, runs of ended sessions, the window of outcomes and znodes, each group in an order that follows from its content, so that equal
// trees stream equal bytes. The last chunk has only the record of the counts. Child lists and the like follow from the rest.
const (
	snapshotMagic = "strata\x00\x01"
	chunkBytes    = 64 << 10 // a chunk is closed when it has as many
	maxChunkBytes = 64 << 20 // beyond it, it is not one of ours
)

// The kinds of records, and the number of their fields with the kind.
const (
	recordHead     = iota // zxid, at, key
	recordMember          // number, name, identity
	recordOrigin          // member, incarnation, number
	recordSession         // id, timeout in ms, host's member, host's incarnation, since
	recordEnded           // first id, as unsigned; how many from there
	recordZnode           // path, data, acl, kind, owner, ttl in ms, czxid, mzxid, pzxid, ctime, mtime, version, aversion, creates
	recordEnd             // members, origins, sessions, ended sessions, znodes
	recordStanding        // member's number, rank; of those that have one, right behind the member's
	recordStart           // member, incarnation, number: how far an earlier start came; oldest first, before the window
	recordPromise         // member, incarnation, number, session, request
	recordWindow          // how many txns came before the window; 1 if that counts from the beginning
	recordOutcome         // member, incarnation, number, session, request, zxid, at, path, code, op
	recordKinds
)

var recordFields = [recordKinds]int{4, 4, 4, 6, 3, 15, 6, 3, 4, 6, 3, 11}

var (
	// ErrSnapshotting: an earlier snapshot of the tree is not released yet.
	ErrSnapshotting = errors.New("another snapshot is being streamed")
	errWritten      = errors.New("snapshot was written or released before")
)

// tally counts the records of a snapshot; its last record says the same.
type tally struct{ members, origins, sessions, ended, znodes uint64 }

// Snapshot is the tree at one moment, while it is streamed. Release must be called.
type Snapshot struct {
	t    *Tree
	used atomic.Bool // written, or being written
	gone atomic.Bool // released

	zxid     tiers.Zxid
	head     []byte // records of the small tables, encoded when the snapshot was taken
	heads    int
	tally    tally
	znodes   *table[string, state] // as t's at the beginning: a Restore gives t others
	sessions *table[tiers.SessionID, session]
	ended    *endedSet
	outcomes outcomes
}

// Snapshot takes the state of this moment, in the time that it takes to copy the list of members. WriteTo streams it, while the
// tree goes on; any goroutine may call it. One at a time: until the last one is released, another is refused with ErrSnapshotting.
func (t *Tree) Snapshot() (*Snapshot, error) {
	if !t.snapshotting.CompareAndSwap(false, true) {
		return nil, fmt.Errorf("tree: take a snapshot: %w", ErrSnapshotting)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &Snapshot{t: t, zxid: t.zxid, znodes: t.znodes, sessions: t.sessions, ended: t.ended.now(), outcomes: t.outcomes.now()}
	s.small(&t.content)
	t.znodes.begin()
	t.sessions.begin()
	return s, nil
}

// Zxid is that of the snapshot's moment.
func (s *Snapshot) Zxid() tiers.Zxid { return s.zxid }

// small encodes what is not walked.
func (s *Snapshot) small(c *content) {
	b := appendUint(appendArray(nil, recordFields[recordHead]), recordHead)
	b = appendBytes(appendInt(appendInt(b, int64(c.zxid)), c.at), c.key)
	for _, n := range slices.Sorted(maps.Keys(c.members)) {
		m := c.members[n]
		b = appendUint(appendArray(b, recordFields[recordMember]), recordMember)
		b = appendBytes(appendString(appendUint(b, uint64(n)), m.Name), m.Identity[:])
		s.tally.members++
		s.heads++
		if m.Rank != RankOwn {
			b = appendUint(appendArray(b, recordFields[recordStanding]), recordStanding)
			b = appendUint(appendUint(b, uint64(n)), uint64(m.Rank))
			s.heads++
		}
	}
	for _, n := range slices.Sorted(maps.Keys(c.origins)) {
		p := c.origins[n]
		b = appendUint(appendArray(b, recordFields[recordOrigin]), recordOrigin)
		b = appendUint(appendUint(appendUint(b, uint64(n)), uint64(p.incarnation)), p.number)
		s.tally.origins++
	}
	for _, n := range slices.Sorted(maps.Keys(c.starts)) {
		for _, p := range c.starts[n] {
			b = appendUint(appendArray(b, recordFields[recordStart]), recordStart)
			b = appendUint(appendUint(appendUint(b, uint64(n)), uint64(p.incarnation)), p.number)
			s.heads++
		}
	}
	for _, x := range slices.SortedFunc(maps.Keys(c.seals), promise.compare) {
		b = appendUint(appendArray(b, recordFields[recordPromise]), recordPromise)
		b = appendUint(appendUint(appendUint(b, uint64(x.Origin.Member)), uint64(x.Origin.Incarnation)), x.Number)
		b = appendUint(appendInt(b, int64(x.Session)), uint64(x.Request))
		s.heads++
	}
	s.head, s.heads = b, s.heads+1+len(c.origins)
}

// Release ends the snapshot, streamed or not. Not while WriteTo runs. Again is nothing.
func (s *Snapshot) Release() {
	if s.gone.Swap(true) {
		return
	}
	s.used.Store(true)
	s.t.mu.Lock()
	s.znodes.end()
	s.sessions.end()
	s.t.mu.Unlock()
	s.t.snapshotting.Store(false)
}

// WriteTo streams the snapshot, once. It holds the tree, shared with its readers, only while it gathers one of 256 pieces.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	if s.used.Swap(true) {
		return 0, fmt.Errorf("tree: write a snapshot: %w", errWritten)
	}
	c := &chunker{w: w}
	c.write([]byte(snapshotMagic))
	c.buf, c.records = append(c.buf, s.head...), s.heads
	c.flush(chunkBytes)
	walk(s.t, s.sessions, c, func(b []byte, id tiers.SessionID, x *session) []byte {
		s.tally.sessions++
		b = appendInt(appendUint(appendArray(b, recordFields[recordSession]), recordSession), int64(id))
		b = appendUint(appendUint(appendInt(b, x.timeout.Milliseconds()), uint64(x.host.Member)), uint64(x.host.Incarnation))
		return appendInt(b, int64(x.since))
	})
	s.ended.runs(func(first, n uint64) bool {
		s.tally.ended += n
		c.buf = appendUint(appendArray(c.buf, recordFields[recordEnded]), recordEnded)
		c.buf = appendUint(appendUint(c.buf, first), n)
		c.records++
		c.flush(chunkBytes)
		return c.err == nil
	})
	s.writeOutcomes(c)
	walk(s.t, s.znodes, c, func(b []byte, path string, z *state) []byte {
		s.tally.znodes++
		return appendZnode(b, path, z)
	})
	c.flush(0)
	c.buf = appendUint(appendArray(c.buf, recordFields[recordEnd]), recordEnd)
	for _, n := range []uint64{s.tally.members, s.tally.origins, s.tally.sessions, s.tally.ended, s.tally.znodes} {
		c.buf = appendUint(c.buf, n)
	}
	c.records++
	c.flush(0)
	if c.err != nil {
		return c.n, fmt.Errorf("tree: write a snapshot: %w", c.err)
	}
	return c.n, nil
}

// writeOutcomes streams the window, oldest first.
func (s *Snapshot) writeOutcomes(c *chunker) {
	whole := uint64(0)
	if s.outcomes.whole {
		whole = 1
	}
	c.buf = appendUint(appendArray(c.buf, recordFields[recordWindow]), recordWindow)
	c.buf = appendUint(appendUint(c.buf, s.outcomes.base), whole)
	c.records++
	for _, chunk := range s.outcomes.chunks {
		for i := range chunk {
			o := &chunk[i]
			b := appendUint(appendArray(c.buf, recordFields[recordOutcome]), recordOutcome)
			b = appendUint(appendUint(appendUint(b, uint64(o.origin.Member)), uint64(o.origin.Incarnation)), o.number)
			b = appendInt(appendUint(appendInt(b, int64(o.session)), uint64(o.request)), int64(o.zxid))
			c.buf = appendUint(appendUint(appendString(appendInt(b, o.at), o.path), uint64(o.code)), uint64(o.op))
			c.records++
			c.flush(chunkBytes)
		}
	}
}

func appendZnode(b []byte, path string, z *state) []byte {
	b = appendUint(appendArray(b, recordFields[recordZnode]), recordZnode)
	b = appendBytes(appendString(b, path), z.data)
	b = append(b, z.acl.key...)
	b = appendUint(b, uint64(z.kind))
	b = appendInt(appendInt(b, int64(z.owner)), z.ttl.Milliseconds())
	b = appendInt(appendInt(appendInt(b, int64(z.czxid)), int64(z.mzxid)), int64(z.pzxid))
	b = appendInt(appendInt(b, z.ctime), z.mtime)
	return appendInt(appendInt(appendInt(b, int64(z.version)), int64(z.aversion)), int64(z.creates))
}

// walk encodes the entries of a table as they were when the snapshot began. They are gathered a shard at a time under the lock,
// so that the applier waits for pointers only; values never change, so they are sorted and encoded without it.
func walk[K cmp.Ordered, V any](t *Tree, x *table[K, V], c *chunker, encode func([]byte, K, *V) []byte) {
	var es []entry[K, V]
	for more := true; more && c.err == nil; {
		t.mu.RLock()
		es, more = x.step(es[:0])
		t.mu.RUnlock()
		sortEntries(es)
		for _, e := range es {
			c.buf = encode(c.buf, e.key, e.value)
			c.records++
			c.flush(chunkBytes)
		}
		clear(es)
	}
}

// chunker groups records into chunks. The first error sticks.
type chunker struct {
	w       io.Writer
	n       int64 // bytes written
	err     error
	buf     []byte // the records of the open chunk
	records int
}

func (c *chunker) write(b []byte) {
	if c.err == nil {
		var n int
		n, c.err = c.w.Write(b)
		c.n += int64(n)
	}
}

// flush closes the open chunk if it has some records, and at least as many bytes.
func (c *chunker) flush(least int) {
	if c.records == 0 || len(c.buf) < least {
		return
	}
	var room [16]byte
	array := appendArray(room[8:8], c.records)
	head := room[:8+len(array)]
	size := len(array) + len(c.buf)
	if size > maxChunkBytes && c.err == nil {
		c.err = fmt.Errorf("a chunk of %d bytes", size)
	}
	binary.BigEndian.PutUint32(head, uint32(size))
	binary.BigEndian.PutUint32(head[4:], crc32.Update(crc32.Checksum(array, castagnoli), castagnoli, c.buf))
	c.write(head)
	c.write(c.buf)
	c.buf, c.records = c.buf[:0], 0
}
