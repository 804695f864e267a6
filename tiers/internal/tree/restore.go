package tree

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/strata-coord/strata/tiers"
)

// ErrCorrupt: the stream is not a whole snapshot.
var ErrCorrupt = errors.New("snapshot is corrupt")

// Restore replaces the state by a snapshot, reading it chunk by chunk beside the old state. On an error the old state is kept.
// Then the watches whose znodes differ are told, and so is who asked for the sessions that ended or moved. r must end where
// the snapshot does. Errors: ErrCorrupt (with ErrChecksum if that is why), ErrVersion, r's.
func (t *Tree) Restore(r io.Reader) error {
	b := bufio.NewReaderSize(r, chunkBytes)
	fresh, err := ReadImage(b)
	if err == nil {
		err = atEnd(b)
	}
	if err != nil {
		return fmt.Errorf("tree: restore: %w", err)
	}
	t.drop()
	t.mu.Lock()
	old := t.content
	t.content = fresh.l.content
	if t.leak(t.flaw); t.flaw == FlawForgetZxid {
		t.zxid = old.zxid
	}
	for _, ev := range t.missed(&old) {
		if t.flaw == FlawRestoreEvent {
			break
		}
		t.hub.Fire(ev)
	}
	t.missedSessions(&old)
	t.mu.Unlock()
	t.tell()
	return nil
}

// loader is a tree that is being read from a snapshot. Nobody else sees it.
type loader struct {
	Tree
	headed bool // the head was read
	begun  bool // by feed: the magic was read
	done   bool // by feed: the last record was read
	tally  tally
}

func (l *loader) load(r io.Reader) error {
	if err := readMagic(r); err != nil {
		return err
	}
	for done := false; !done; {
		payload, err := readChunk(r)
		if err != nil {
			return err
		}
		if done, err = l.chunk(payload); err != nil {
			return err
		}
	}
	return l.connect()
}

func readMagic(r io.Reader) error {
	magic := make([]byte, len(snapshotMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	last := len(magic) - 1
	switch {
	case string(magic[:last]) != snapshotMagic[:last]:
		return fmt.Errorf("%w: it does not begin like one", ErrCorrupt)
	case magic[last] != snapshotMagic[last]:
		return fmt.Errorf("%w: %d of a snapshot", ErrVersion, magic[last])
	}
	return nil
}

// atEnd tells whether nothing follows.
func atEnd(r *bufio.Reader) error {
	_, err := r.ReadByte()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		err = errors.New("something follows its end")
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

func readChunk(r io.Reader) ([]byte, error) {
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

// chunk loads the records of a payload and tells whether the last one was the end.
func (l *loader) chunk(payload []byte) (done bool, err error) {
	r := &reader{b: payload}
	for range r.array(2) {
		if done {
			return false, fmt.Errorf("%w: records after the last one", ErrCorrupt)
		}
		done, err = l.record(r)
		if r.err != nil {
			err = r.err
		}
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	}
	if r.end(); r.err != nil {
		return false, fmt.Errorf("%w: %w", ErrCorrupt, r.err)
	}
	return done, nil
}

// record loads one record and tells whether it was the last.
func (l *loader) record(r *reader) (done bool, err error) {
	fields, kind := r.array(1), r.uint()
	switch {
	case r.err != nil:
		return false, nil
	case kind >= recordKinds || recordFields[kind] != fields:
		return false, fmt.Errorf("a record of kind %d with %d fields", kind, fields)
	case l.headed == (kind == recordHead):
		return false, errors.New("no head, or a second one")
	}
	ok := true
	switch kind {
	case recordHead:
		l.headed = true
		l.zxid, l.at, l.key = tiers.Zxid(r.int()), r.int(), bytes.Clone(r.bytes())
	case recordMember:
		n, m := r.uint32(), Member{Name: r.string()}
		r.identity(&m.Identity)
		_, dup := l.members[n]
		ok = !dup && n > 0
		l.members[n] = m
		l.tally.members++
	case recordStanding:
		n, rank := r.uint32(), r.uint()
		m, known := l.members[n]
		ok = known && m.Rank == RankOwn && rank > uint64(RankOwn) && rank < uint64(ranks)
		m.Rank = Rank(rank)
		l.members[n] = m
	case recordOrigin:
		n := r.uint32()
		_, dup := l.origins[n]
		ok = !dup
		l.origins[n] = position{incarnation: r.uint32(), number: r.uint()}
		l.tally.origins++
	case recordSession:
		ok = l.session(r)
	case recordEnded:
		first, n := r.uint(), r.uint()
		ok = l.ended.addRun(first, n)
		l.tally.ended += n
	case recordStart:
		n, p := r.uint32(), position{incarnation: r.uint32(), number: r.uint()}
		olds := l.starts[n]
		ok = len(olds) < startsKept && p.incarnation > 0 && p.incarnation < l.origins[n].incarnation && (len(olds) == 0 || olds[len(olds)-1].incarnation < p.incarnation)
		l.starts[n] = append(olds, p)
	case recordPromise:
		p := promise{Origin: Origin{r.uint32(), r.uint32()}, Number: r.uint(), Session: tiers.SessionID(r.int()), Request: tiers.RequestID(r.uint())}
		ok = len(l.seals) < sealsKept && !l.sealed(p)
		l.seals[p] = struct{}{}
	case recordWindow:
		ok = len(l.outcomes.chunks) == 0
		l.outcomes.base, l.outcomes.whole = r.uint(), r.uint() != 0
		ok = ok && l.outcomes.base%outcomeChunk == 0
	case recordOutcome:
		ok = l.outcome(r)
	case recordZnode:
		return false, l.znode(r)
	case recordEnd:
		said := tally{members: r.uint(), origins: r.uint(), sessions: r.uint(), ended: r.uint(), znodes: r.uint()}
		if said != l.tally && r.err == nil {
			return false, fmt.Errorf("it has %+v, and says %+v", l.tally, said)
		}
		return true, nil
	}
	if !ok && r.err == nil {
		err = fmt.Errorf("a bad or repeated record of kind %d", kind)
	}
	return false, err
}

func (l *loader) session(r *reader) (ok bool) {
	id := tiers.SessionID(r.int())
	s := &session{timeout: r.milliseconds(), host: Origin{r.uint32(), r.uint32()}, since: tiers.Zxid(r.int()), owned: make(map[string]struct{})}
	l.tally.sessions++
	return r.err == nil && id != 0 && s.timeout > 0 && l.sessions.put(id, s) == nil
}

func (l *loader) outcome(r *reader) (ok bool) {
	o := outcome{
		origin: Origin{r.uint32(), r.uint32()}, number: r.uint(), session: tiers.SessionID(r.int()), request: tiers.RequestID(r.uint()),
		zxid: tiers.Zxid(r.int()), at: r.int(), path: r.string(),
	}
	code, op := r.uint(), r.uint()
	if r.err != nil || code >= uint64(len(outcomeErrors)) || op > math.MaxUint16 || len(l.outcomes.chunks) > outcomesKept/outcomeChunk+1 {
		return false
	}
	o.code, o.op = outcomeCode(code), uint16(op)
	base := l.outcomes.base
	l.outcomes.add(o)
	return l.outcomes.base == base // else there are more than a window holds
}

func (l *loader) znode(r *reader) error {
	path := r.string()
	z := &state{data: bytes.Clone(r.bytes())}
	list, what := r.acl(), r.uint()
	z.owner = tiers.SessionID(r.int())
	z.ttl = r.milliseconds()
	z.czxid, z.mzxid, z.pzxid = tiers.Zxid(r.int()), tiers.Zxid(r.int()), tiers.Zxid(r.int())
	z.ctime, z.mtime = r.int(), r.int()
	z.version, z.aversion, z.creates = r.int32(), r.int32(), r.int32()
	if r.err != nil {
		return nil
	}
	z.kind = kind(what)
	if !validPath(path) || what >= uint64(kinds) || (z.kind == ephemeral) != (z.owner != 0) ||
		(z.kind == expiring) != (z.ttl != 0) || z.ttl < 0 || z.ttl > tiers.MaxTTL || z.creates < 0 {
		return fmt.Errorf("znode %q is none", path)
	}
	z.acl = l.intern(list)
	l.grip(z.acl)
	l.tally.znodes++
	if l.znodes.put(path, z) != nil {
		return fmt.Errorf("znode %q comes twice", path)
	}
	return nil
}

// connect builds what follows from the records: child lists, the ephemerals of sessions, counts.
func (l *loader) connect() error {
	for _, path := range []string{"/", "/zookeeper", ConfigPath, "/zookeeper/quota"} {
		if l.znodes.get(path) == nil {
			return fmt.Errorf("%w: it has no %s", ErrCorrupt, path)
		}
	}
	var err error
	l.znodes.each(func(path string, z *state) bool {
		l.dataBytes += int64(len(z.data))
		l.limited(path, true)
		if z.kind.mortal() {
			l.mortals.add(path)
		}
		if z.kind == ephemeral {
			l.ephemerals++
			s := l.sessions.get(z.owner)
			if s == nil {
				err = fmt.Errorf("%w: the owner of %q does not live", ErrCorrupt, path)
				return false
			}
			s.owned[path] = struct{}{}
		}
		if path == "/" {
			return true
		}
		p := l.znodes.get(parentOf(path))
		if p == nil || p.kind == ephemeral {
			err = fmt.Errorf("%w: %q has no parent that may have children", ErrCorrupt, path)
			return false
		}
		if p.kids == nil {
			p.kids = newChildren(nil) // nobody has seen the state yet
		}
		p.kids.names[path[lastSlash(path)+1:]] = struct{}{}
		return true
	})
	if err != nil {
		return err
	}
	l.znodes.each(func(path string, z *state) bool {
		if z.kids != nil {
			z.kids.up = l.listOf(path)
		}
		return true
	})
	l.znodes.each(func(_ string, z *state) bool {
		z.kids.count(z.kids.len())
		return true
	})
	l.sessions.each(func(id tiers.SessionID, _ *session) bool {
		if l.ended.has(id) {
			err = fmt.Errorf("%w: session %v lives, and has ended", ErrCorrupt, id)
		}
		return err == nil
	})
	return err
}
