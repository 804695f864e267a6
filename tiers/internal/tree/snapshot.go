package tree

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/strata-coord/strata/tiers"
)

// A snapshot is: magic, then chunks, then nothing. A chunk is its length and its CRC-32C (4 bytes each, big-endian) and msgpack:
// an array of records, each an array that begins with its kind. The last chunk has the one record recordEnd with the counts.
const (
	snapshotMagic   = "strata\x00\x01"
	chunkBytes      = 64 << 10
	maxChunkBytes   = 64 << 20
	recordHead      = 1 // zxid, at, key
	recordMember    = 2 // number, name, identity
	recordOrigin    = 3 // member, incarnation, number
	recordSession   = 4 // id, timeout, host member, host incarnation, since
	recordEnded     = 5 // block, 8 words
	recordZnode     = 6 // path, data, acl, kind, owner, ttl, czxid, mzxid, pzxid, ctime, mtime, version, aversion, creates
	recordEnd       = 7 // znodes, sessions
	recordsPerChunk = 1 << 15
)

// Snapshot is the tree at one moment, while it is streamed. One goroutine uses it.
type Snapshot struct {
	t      *Tree
	znodes *table[string, znode] // as t's at the beginning: a Restore gives t others
	live   *table[tiers.SessionID, session]
	ended  *endedSet

	head    []byte // the small tables, encoded when the snapshot was taken
	heads   int
	release sync.Once
}

var errSnapshotting = errors.New("tree: another snapshot is being streamed")

// Snapshot takes the state of this moment, in the time that it takes to copy the members; WriteTo streams it while the tree
// goes on. Release must be called. Error: an earlier one is not released.
func (t *Tree) Snapshot() (*Snapshot, error) {
	if !t.snapshotting.CompareAndSwap(false, true) {
		return nil, errSnapshotting
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &Snapshot{t: t, znodes: t.znodes, live: t.live, ended: t.ended}
	s.head = appendBytes(appendInt(appendInt(appendUint(appendArray(s.head, 4), recordHead), int64(t.zxid)), t.at), t.key)
	s.heads++
	for _, n := range slices.Sorted(maps.Keys(t.members)) {
		m := t.members[n]
		s.head = appendBytes(appendString(appendUint(appendUint(appendArray(s.head, 4), recordMember), uint64(n)), m.Name), m.Identity[:])
		s.heads++
	}
	for _, n := range slices.Sorted(maps.Keys(t.origins)) {
		p := t.origins[n]
		s.head = appendUint(appendUint(appendUint(appendUint(appendArray(s.head, 4), recordOrigin), uint64(n)), uint64(p.incarnation)), p.number)
		s.heads++
	}
	t.znodes.begin()
	t.live.begin()
	t.ended.blocks.begin()
	return s, nil
}

// Release ends the snapshot, streamed or not.
func (s *Snapshot) Release() {
	s.release.Do(func() {
		s.t.mu.Lock()
		s.znodes.end()
		s.live.end()
		s.ended.blocks.end()
		s.t.mu.Unlock()
		s.t.snapshotting.Store(false)
	})
}

// WriteTo streams the snapshot, once. It holds the tree only while it encodes one shard.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	c := &chunker{w: bufio.NewWriterSize(w, chunkBytes)}
	c.raw([]byte(snapshotMagic))
	c.add(s.head, s.heads)
	znodes, sessions := 0, 0
	walk(s.t, s.live, c, func(b []byte, id tiers.SessionID, x *session) []byte {
		sessions++
		b = appendInt(appendUint(appendArray(b, 6), recordSession), int64(id))
		b = appendUint(appendUint(appendInt(b, x.timeout.Milliseconds()), uint64(x.host.Member)), uint64(x.host.Incarnation))
		return appendInt(b, int64(x.since))
	})
	walk(s.t, s.ended.blocks, c, func(b []byte, k int64, x *[8]uint64) []byte {
		b = appendInt(appendUint(appendArray(b, 10), recordEnded), k)
		for _, word := range x {
			b = appendUint(b, word)
		}
		return b
	})
	walk(s.t, s.znodes, c, func(b []byte, path string, z *znode) []byte {
		znodes++
		return appendZnode(b, path, &z.state)
	})
	c.add(appendUint(appendUint(appendUint(appendArray(nil, 3), recordEnd), uint64(znodes)), uint64(sessions)), 1)
	c.flush()
	if c.err == nil {
		c.err = c.w.Flush()
	}
	if c.err != nil {
		return c.n, fmt.Errorf("tree: write a snapshot: %w", c.err)
	}
	return c.n, nil
}

func appendZnode(b []byte, path string, z *state) []byte {
	b = appendBytes(appendString(appendUint(appendArray(b, 15), recordZnode), path), z.data)
	b = appendUint(appendACL(b, z.acl), uint64(z.kind))
	b = appendInt(appendInt(b, int64(z.owner)), z.ttl.Milliseconds())
	b = appendInt(appendInt(appendInt(b, int64(z.czxid)), int64(z.mzxid)), int64(z.pzxid))
	b = appendInt(appendInt(b, z.ctime), z.mtime)
	return appendInt(appendInt(appendInt(b, int64(z.version)), int64(z.aversion)), int64(z.creates))
}

// chunker groups records into chunks. The first error sticks.
type chunker struct {
	w       *bufio.Writer
	n       int64
	err     error
	buf     []byte
	records int
}

func (c *chunker) raw(b []byte) {
	if c.err == nil {
		var n int
		n, c.err = c.w.Write(b)
		c.n += int64(n)
	}
}

func (c *chunker) add(records []byte, n int) {
	c.buf = append(c.buf, records...)
	if c.records += n; len(c.buf) >= chunkBytes || c.records >= recordsPerChunk {
		c.flush()
	}
}

func (c *chunker) flush() {
	if c.records == 0 {
		return
	}
	payload := append(appendArray(nil, c.records), c.buf...)
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	c.raw(binary.BigEndian.AppendUint32(head, crc32.Checksum(payload, castagnoli)))
	c.raw(payload)
	c.buf, c.records = c.buf[:0], 0
}

// walk encodes the entries of a table as they were when the snapshot began. (A shard at a time, so that writers go on between.)
func walk[K cmp.Ordered, V any](t *Tree, x *table[K, V], c *chunker, encode func([]byte, K, *V) []byte) {
	var buf []byte
	for more := true; more && c.err == nil; {
		n := 0
		buf = buf[:0]
		t.mu.Lock()
		more = x.step(func(k K, v *V) {
			buf = encode(buf, k, v)
			n++
		})
		t.mu.Unlock()
		if n > 0 {
			c.add(buf, n)
		}
	}
}
