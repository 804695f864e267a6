package tree

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// ErrCorrupt: the stream is not a whole snapshot.
var ErrCorrupt = errors.New("snapshot is corrupt")

// Restore replaces the state by a snapshot, chunk by chunk. On an error the old state is kept. Then the watches whose znodes
// differ are told, as their events between the two states are not known here, and so are the sessions that ended or moved.
// Errors: ErrCorrupt, ErrVersion, r's.
func (t *Tree) Restore(r io.Reader) error {
	fresh := &Tree{}
	fresh.reset()
	if err := fresh.load(bufio.NewReaderSize(r, chunkBytes)); err != nil {
		return fmt.Errorf("tree: restore: %w", err)
	}
	t.mu.Lock()
	old := fresh.swap(t)
	for _, ev := range t.missed(old) {
		t.hub.Fire(ev)
	}
	t.missedSessions(old)
	t.mu.Unlock()
	t.tell()
	return nil
}

// content is what a snapshot replaces.
type content struct {
	zxid   tiers.Zxid
	znodes *table[string, znode]
	live   *table[tiers.SessionID, session]
}

// swap moves the fresh state into t and returns what was there.
func (fresh *Tree) swap(t *Tree) *content {
	old := &content{zxid: t.zxid, znodes: t.znodes, live: t.live}
	t.zxid, t.at, t.key = fresh.zxid, fresh.at, fresh.key
	t.znodes, t.live, t.ended = fresh.znodes, fresh.live, fresh.ended
	t.origins, t.members, t.acls = fresh.origins, fresh.members, fresh.acls
	t.dataBytes, t.ephemerals = fresh.dataBytes, fresh.ephemerals
	return old
}

func (t *Tree) load(r *bufio.Reader) error {
	magic := make([]byte, len(snapshotMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if string(magic) != snapshotMagic {
		if bytes.HasPrefix(magic, []byte(snapshotMagic[:7])) {
			return fmt.Errorf("%w: snapshot format %d", ErrVersion, magic[7])
		}
		return fmt.Errorf("%w: it does not begin like one", ErrCorrupt)
	}
	for {
		payload, err := readChunk(r)
		if err != nil {
			return err
		}
		rd := &reader{b: payload}
		for range rd.array() {
			done, err := t.record(rd)
			switch {
			case rd.err != nil:
				return fmt.Errorf("%w: %w", ErrCorrupt, rd.err)
			case err != nil:
				return err
			case done:
				return t.connect()
			}
		}
		if rd.err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, rd.err)
		}
	}
}

func readChunk(r *bufio.Reader) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("%w: it ends too early: %w", ErrCorrupt, err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxChunkBytes {
		return nil, fmt.Errorf("%w: a chunk of %d bytes", ErrCorrupt, size)
	}
	// The buffer grows with what is there, not with what the length claims.
	var buf bytes.Buffer
	if n, err := io.CopyN(&buf, r, int64(size)); err != nil {
		return nil, fmt.Errorf("%w: a chunk ends after %d of %d bytes: %w", ErrCorrupt, n, size, err)
	}
	if crc32.Checksum(buf.Bytes(), castagnoli) != binary.BigEndian.Uint32(head[4:]) {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, ErrChecksum)
	}
	return buf.Bytes(), nil
}

// record loads one record and tells whether it was the last.
func (t *Tree) record(r *reader) (done bool, err error) {
	n := r.array()
	kind := r.uint()
	if want := map[uint64]int{recordHead: 4, recordMember: 4, recordOrigin: 4, recordSession: 6, recordEnded: 10, recordZnode: 15, recordEnd: 3}[kind]; r.err == nil && n != want {
		return false, fmt.Errorf("%w: a record of kind %d with %d fields", ErrCorrupt, kind, n)
	}
	switch kind {
	case recordHead:
		t.zxid, t.at, t.key = tiers.Zxid(r.int()), r.int(), bytes.Clone(r.bytes())
	case recordMember:
		n, m := r.uint32(), Member{Name: r.string()}
		copy(m.Identity[:], r.bytes())
		t.members[n] = m
	case recordOrigin:
		n := r.uint32()
		t.origins[n] = position{incarnation: r.uint32(), number: r.uint()}
	case recordSession:
		id := tiers.SessionID(r.int())
		s := &session{timeout: time.Duration(r.int()) * time.Millisecond, ephemerals: make(map[string]struct{})}
		s.host = Origin{r.uint32(), r.uint32()}
		s.since = tiers.Zxid(r.int())
		t.live.put(id, s)
	case recordEnded:
		k, b := r.int(), new([8]uint64)
		for i := range b {
			b[i] = r.uint()
		}
		t.ended.blocks.put(k, b)
	case recordZnode:
		path, z := r.string(), new(znode)
		r.znode(&z.state)
		if r.err == nil && !validPath(path) {
			return false, fmt.Errorf("%w: path %q", ErrCorrupt, path)
		}
		z.acl = t.intern(z.acl)
		t.znodes.put(path, z)
	case recordEnd:
		if znodes, sessions := r.uint(), r.uint(); r.err == nil && (znodes != uint64(t.znodes.size) || sessions != uint64(t.live.size)) {
			return false, fmt.Errorf("%w: %d of %d znodes, %d of %d sessions", ErrCorrupt, t.znodes.size, znodes, t.live.size, sessions)
		}
		return true, nil
	}
	return false, nil
}

func (r *reader) znode(z *state) {
	z.data, z.acl = bytes.Clone(r.bytes()), r.acl()
	z.kind = kind(r.uint())
	z.owner = tiers.SessionID(r.int())
	z.ttl = time.Duration(r.int()) * time.Millisecond
	z.czxid, z.mzxid, z.pzxid = tiers.Zxid(r.int()), tiers.Zxid(r.int()), tiers.Zxid(r.int())
	z.ctime, z.mtime = r.int(), r.int()
	z.version, z.aversion, z.creates = r.int32(), r.int32(), r.int32()
}

// connect builds what follows from the znodes: child lists, ephemerals of sessions, counts.
func (t *Tree) connect() error {
	if t.znodes.get("/") == nil {
		return fmt.Errorf("%w: it has no root", ErrCorrupt)
	}
	var bad string
	t.znodes.each(func(path string, z *znode) bool {
		t.count(z, 1)
		if z.kind == ephemeral {
			if s := t.live.get(z.owner); s != nil {
				s.ephemerals[path] = struct{}{}
			} else {
				bad = path
			}
		}
		if path == "/" {
			return bad == ""
		}
		parent, name := split(path)
		p := t.znodes.get(parent)
		if p == nil {
			bad = path
			return false
		}
		if p.kids == nil {
			p.kids = &children{names: make(map[string]struct{})}
		}
		p.kids.add(name)
		return bad == ""
	})
	if bad != "" {
		return fmt.Errorf("%w: %q has no parent, or no live owner", ErrCorrupt, bad)
	}
	return nil
}

// missed are the events that would lead from the old state to the present one, for the watched paths.
func (t *Tree) missed(old *content) (events []tiers.Event) {
	compare := func(path string) {
		before, now := old.znodes.get(path), t.znodes.get(path)
		add := func(e tiers.EventType, z *znode) {
			events = append(events, tiers.Event{Type: e, Path: path, Zxid: t.zxid, ACL: z.acl})
		}
		switch {
		case before == nil && now == nil:
		case now == nil:
			add(tiers.NodeDeleted, before)
		case before == nil:
			add(tiers.NodeCreated, now)
		default:
			if before.mzxid != now.mzxid {
				add(tiers.NodeDataChanged, now)
			}
			if before.pzxid != now.pzxid {
				add(tiers.NodeChildrenChanged, now)
			}
		}
	}
	var roots []string
	for _, path := range t.hub.Paths() {
		compare(path)
		if t.hub.Recursive(path) {
			roots = append(roots, path)
		}
	}
	for _, root := range roots {
		below := strings.TrimSuffix(root, "/") + "/"
		for _, znodes := range []*table[string, znode]{t.znodes, old.znodes} {
			znodes.each(func(path string, _ *znode) bool {
				if strings.HasPrefix(path, below) && path != root && (znodes == t.znodes || t.znodes.get(path) == nil) {
					compare(path)
				}
				return true
			})
		}
	}
	return events
}

// missedSessions reports the sessions that ended or moved between the old state and the present one.
func (t *Tree) missedSessions(old *content) {
	old.live.each(func(id tiers.SessionID, _ *session) bool {
		if t.live.get(id) == nil {
			t.toldEnd = append(t.toldEnd, id)
		}
		return true
	})
	t.live.each(func(id tiers.SessionID, s *session) bool {
		if was := old.live.get(id); was == nil || was.since != s.since {
			t.toldMove = append(t.toldMove, s.info(id))
		}
		return true
	})
}
