package tree

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"math"
	"slices"

	"github.com/strata-coord/strata/tiers"
)

// Stage is one step of putting the state of a backup in the place of the tree's, through the log, so that all members do it at the same
// place of the commit order. The steps bring a snapshot in pieces, which are read beside the state; the last one swaps it in.
// What was staged is dropped by another first step, by the start of a term, and by a Restore. It is in no snapshot: see Staging.
type Stage struct {
	ID   [16]byte // names all steps of one
	Step uint64   // from 0 on, without gaps
	Data []byte   // whole chunks, the first one with the magic: see Pieces
	Last bool     // swap, behind all chunks
	Drop bool     // give it up
}

var (
	// ErrNotStaged: the step is not the next one of what is being staged; nothing was done.
	ErrNotStaged = errors.New("not the next step of what is being staged")
	// errNoRoom: see maxZxid.
	errNoRoom = errors.New("its zxid leaves no room for later ones")
)

// maxZxid is the last zxid that a state may have which others shall follow: a crafted one could leave none.
const maxZxid = math.MaxInt64 / 4

// staging is a state on its way into the tree.
type staging struct {
	id     [16]byte
	next   uint64
	loader *loader
}

// Staging tells whether a state is being staged: then no snapshot may be taken for the log, as it would leave that out.
func (t *Tree) Staging() bool { return t.staged.Load() }

// StartTerm drops what is being staged: who brings it has lost the leader, and a step may be lost with it.
func (t *Tree) StartTerm() { t.drop() }

func (t *Tree) drop() {
	t.staging = nil
	t.staged.Store(false)
}

// Stage takes a step, in the leader's time. The last one swaps the states (see follow), in a commit of its own, and tells watchers and sessions as Restore does. On
// an error the state of the tree is as it was, and what was staged under that ID is dropped. Errors: ErrNotStaged, ErrCorrupt (with
// ErrChecksum if that is why), ErrVersion.
func (t *Tree) Stage(at int64, s *Stage) error {
	err := t.stage(at, s)
	if err != nil && t.staging != nil && t.staging.id == s.ID {
		t.drop()
	}
	return err
}

func (t *Tree) stage(at int64, s *Stage) error {
	if s.Step == 0 {
		t.staging = &staging{id: s.ID, loader: &loader{Tree: Tree{content: newContent()}}}
		t.staged.Store(true)
	}
	x := t.staging
	if x == nil || x.id != s.ID || x.next != s.Step {
		return ErrNotStaged
	}
	x.next++
	if s.Drop {
		t.drop()
		return nil
	}
	if err := x.loader.feed(s.Data); err != nil {
		return fmt.Errorf("tree: stage: %w", err)
	}
	if !s.Last {
		return nil
	}
	if !x.loader.done {
		return fmt.Errorf("tree: stage: %w: it ends too early", ErrCorrupt)
	}
	if err := x.loader.connect(); err != nil {
		return fmt.Errorf("tree: stage: %w", err)
	}
	if x.loader.zxid < 0 || x.loader.zxid > maxZxid {
		return fmt.Errorf("tree: stage: %w: %w", ErrCorrupt, errNoRoom)
	}
	fresh := &x.loader.Tree
	t.drop()
	fresh.follow(&t.content, at) // nobody else writes the old state
	t.mu.Lock()
	old := t.content
	t.content = fresh.content
	for _, ev := range t.missed(&old) {
		t.hub.Fire(ev)
	}
	t.missedSessions(&old)
	t.mu.Unlock()
	t.tell()
	return nil
}

// feed loads some whole chunks.
func (l *loader) feed(data []byte) error {
	r := bytes.NewReader(data)
	if !l.begun {
		l.begun = true
		if err := readMagic(r); err != nil {
			return err
		}
	}
	for r.Len() > 0 {
		if l.done {
			return fmt.Errorf("%w: something follows its end", ErrCorrupt)
		}
		payload, err := readChunk(r)
		if err != nil {
			return err
		}
		if l.done, err = l.chunk(payload); err != nil {
			return err
		}
	}
	return nil
}

// pieceBytes is the least that Pieces puts together: far below what one entry of the log may have, as many of them are sent at once
// to a member that lags.
const pieceBytes = 128 << 10

// Pieces cuts a snapshot into what the steps of a Stage carry. It reads nothing that follows the snapshot. A piece must not be kept after the next one
// was asked for. After an error it ends. Errors: ErrCorrupt, ErrVersion, r's.
func Pieces(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if err := readMagic(r); err != nil {
			yield(nil, err)
			return
		}
		piece := []byte(snapshotMagic)
		for end := false; !end; {
			for len(piece) < pieceBytes && !end {
				payload, err := readChunk(r)
				if err != nil {
					yield(nil, err)
					return
				}
				end = isLast(payload)
				piece = binary.BigEndian.AppendUint32(piece, uint32(len(payload)))
				piece = binary.BigEndian.AppendUint32(piece, crc32.Checksum(payload, castagnoli))
				piece = append(piece, payload...)
			}
			if !yield(piece, nil) {
				return
			}
			piece = piece[:0]
		}
	}
}

// isLast tells whether a chunk is the one with the counts, which stands alone.
func isLast(payload []byte) bool {
	r := &reader{b: payload}
	return r.array(2) == 1 && r.array(1) == recordFields[recordEnd] && r.uint() == recordEnd && r.err == nil
}

func appendStage(b []byte, s *Stage) []byte {
	flags := uint64(0)
	if s.Last {
		flags |= 1
	}
	if s.Drop {
		flags |= 2
	}
	b = appendBytes(appendArray(b, 4), s.ID[:])
	return appendUint(appendBytes(appendUint(b, s.Step), s.Data), flags)
}

func (r *reader) stage() *Stage {
	s := &Stage{}
	r.fields(4)
	r.identity(&s.ID)
	s.Step = r.uint()
	if b := r.bytes(); len(b) > 0 {
		s.Data = b
	}
	flags := r.uint()
	if flags > 3 && r.err == nil {
		r.fail("unknown flags of a stage")
	}
	s.Last, s.Drop = flags&1 != 0, flags&2 != 0
	return s
}

// sortedSessions are the live sessions.
func (t *Tree) sortedSessions() (ids []tiers.SessionID) {
	t.sessions.each(func(id tiers.SessionID, _ *session) bool {
		ids = append(ids, id)
		return true
	})
	slices.Sort(ids)
	return ids
}
