package strong

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"go.etcd.io/bbolt"
)

const snapshotsKept = 2

var (
	incarnationKey = []byte("strata/incarnation")
	reachKey       = []byte("strata/reach")
)

// ErrCorrupt: the stores do not hold what they held at the last stop.
var ErrCorrupt = errors.New("strong: data is corrupt")

// openStores opens the stores in dir: log/ (raft-wal: half bolt's latency, and no stall when the log is cut), stable.db (raft's
// term and vote, and our incarnation) and snapshots/.
func openStores(c *Config) (_ *Stores, err error) {
	hc := newHCLog(c.Logger)
	s := &Stores{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	logDir := filepath.Join(c.Dir, "log")
	if err := os.MkdirAll(logDir, 0o700); err != nil {
		return nil, fmt.Errorf("strong: make the log directory: %w", err)
	}
	// The log's Close leaves its metadata open, and locked; so it is ours to close, after the log.
	meta := new(metadb.BoltMetaDB)
	s.Closers = append(s.Closers, meta)
	log := &walFile{dir: logDir, meta: meta, log: hc.Named("wal"), size: segmentSize}
	err = intact(func() error { s.Log, err = log.reopen(); return err })
	if errors.Is(err, ErrCorrupt) {
		return nil, fmt.Errorf("strong: open the log in %s: %w: %s", logDir, err, whenCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("strong: open the log in %s: %w", logDir, err)
	}
	s.Reopen = log.reopen
	s.Closers = append(s.Closers, log)

	path := filepath.Join(c.Dir, "stable.db")
	var stable *raftboltdb.BoltStore
	err = intact(func() error {
		// The list of free pages is kept: without one, bbolt looks for them in a goroutine of its own, where a damaged file would end the process.
		stable, err = raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bbolt.Options{Timeout: time.Second}})
		if err != nil {
			return err
		}
		return readStable(stable)
	})
	if errors.Is(err, ErrCorrupt) {
		return nil, fmt.Errorf("strong: open %s: %w: %s", path, err, whenCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("strong: open %s: %w", path, err)
	}
	s.Stable = stable
	s.Closers = append(s.Closers, stable)

	s.Snapshots, err = raft.NewFileSnapshotStoreWithLogger(c.Dir, snapshotsKept, hc.Named("snapshots"))
	s.snapshots = filepath.Join(c.Dir, "snapshots")
	if err == nil {
		err = removeUnfinished(s.snapshots)
	}
	if err != nil {
		return nil, fmt.Errorf("strong: open the snapshots in %s: %w", c.Dir, err)
	}
	return s, nil
}

// whenCorrupt is what to do.
const whenCorrupt = "put the directory back from a backup of this member, or start it with an empty one under a new name and let the cluster fill it"

// intact runs open, which reads a file that may be damaged: bbolt checks its first pages only, may panic on what others hold, and
// faults where its file is too short.
func intact(open func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, r)
		}
	}()
	switch err := open(); {
	case errors.Is(err, bbolt.ErrInvalid), errors.Is(err, bbolt.ErrChecksum), errors.Is(err, bbolt.ErrVersionMismatch), errors.Is(err, wal.ErrCorrupt):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	default:
		return err
	}
}

// readStable reads what raft and this package keep there.
func readStable(s raft.StableStore) error {
	for _, key := range [][]byte{currentTermKey, []byte("LastVoteTerm"), []byte("LastVoteCand"), incarnationKey, reachKey} {
		if _, err := s.Get(key); err != nil && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
			return err
		}
	}
	return nil
}

// nextIncarnation counts this start, durably, before the member does anything under the new number.
func nextIncarnation(stable raft.StableStore) (uint32, error) {
	b, err := stable.Get(incarnationKey)
	if err != nil && !errors.Is(err, raftboltdb.ErrKeyNotFound) && err.Error() != "not found" {
		return 0, err
	}
	var n uint32
	if len(b) == 4 {
		n = binary.BigEndian.Uint32(b)
	}
	n++
	return n, stable.Set(incarnationKey, binary.BigEndian.AppendUint32(nil, n))
}

func (s *Stores) close() error {
	var errs []error
	for i := len(s.Closers) - 1; i >= 0; i-- {
		if err := s.Closers[i].Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// begin checks the stores and counts this start.
func (s *Stores) begin(dir string, f flaw) error {
	if err := s.checkReach(dir); err != nil && f != flawShortLog {
		return err
	}
	if s.Incarnation != 0 {
		return nil
	}
	n, err := nextIncarnation(s.Stable)
	if err != nil {
		return fmt.Errorf("strong: count this start in %s: %w", dir, err)
	}
	s.Incarnation = n
	return nil
}

// checkReach refuses stores whose log ends before what was noted of it. The log drops a damaged end as if its last write had been
// torn; a voter that forgot what it had acknowledged could make the cluster lose it.
func (s *Stores) checkReach(dir string) error {
	b, err := s.Stable.Get(reachKey)
	if err != nil || len(b) != 8 {
		return nil // never noted
	}
	last, err := s.Log.LastIndex()
	if err != nil {
		return fmt.Errorf("strong: read the log in %s: %w", dir, err)
	}
	snapshots, err := s.Snapshots.List()
	if err != nil {
		return fmt.Errorf("strong: list the snapshots in %s: %w", dir, err)
	}
	if len(snapshots) > 0 {
		last = max(last, snapshots[0].Index)
	}
	if reach := binary.BigEndian.Uint64(b); last < reach {
		return fmt.Errorf("%w: the log in %s ends at entry %d, and it has reached %d: %s",
			ErrCorrupt, dir, last, reach, whenCorrupt)
	}
	return nil
}

// keepReach notes now and then how far the log reaches. The disk may hang: so nothing else waits for it.
func (t *Tier) keepReach(ctx context.Context) {
	tick := time.NewTicker(t.cfg.Patience / 8)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.noteReach()
		}
	}
}

// noteReach notes how far the log reaches, for the next start's check.
func (t *Tier) noteReach() {
	reach := t.applied.now()
	if reach == 0 || reach == t.reach.Swap(reach) {
		return
	}
	if err := t.stable.Set(reachKey, binary.BigEndian.AppendUint64(nil, reach)); err != nil {
		t.log.Warn("could not note how far the log reaches", "err", err)
	}
}
