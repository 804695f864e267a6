package strong

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// ErrNoState: the directory has nothing to recover.
var ErrNoState = errors.New("strong: there is no log and no snapshot: this member never belonged to a cluster")

// Remains is what a member's directory has of its cluster.
type Remains struct {
	Servers   []Server  // of the latest configuration in it
	LastIndex uint64    // of the log
	LastTerm  uint64    // of its last entry
	Term      uint64    // that the member has heard of
	Snapshot  uint64    // index of the snapshot that the log goes on from; 0: there is none
	LastEntry time.Time // the leader's time of the last change; zero: there is none
	Zxid      tiers.Zxid
	Tree      TreeStatus
	Unread    int // entries that this version could not read
}

// Alone is the only member that a cluster is to have.
type Alone struct {
	Name     string
	Identity [16]byte
	Address  string
	Time     time.Time // now
	Logger   *slog.Logger
}

// Recover reads what is left in dir, where no member runs, and makes of it, unless dry, a cluster of this member alone, in which all that was committed
// as far as this member knows is kept. Sessions have ended, and counts go on ahead of what may have been lost (see tree.Rebirth). zxid is where the
// tree goes on. On an error nothing was changed, but that a torn end of the log was cut off, as a start does. Errors: ErrNoState, ErrCorrupt.
func Recover(dir string, a Alone, dry bool) (_ Remains, zxid tiers.Zxid, err error) {
	if _, err := os.Stat(filepath.Join(dir, "stable.db")); err != nil {
		return Remains{}, 0, fmt.Errorf("%w (%w)", ErrNoState, err)
	}
	stores, err := openStores(&Config{Dir: dir, Logger: a.Logger})
	if err != nil {
		return Remains{}, 0, err
	}
	defer func() { err = errors.Join(err, stores.close()) }()
	if err := stores.checkReach(dir); err != nil {
		return Remains{}, 0, err
	}
	return stores.recover(a, dry)
}

func (s *Stores) recover(a Alone, dry bool) (Remains, tiers.Zxid, error) {
	x := &remains{tree: tree.New()}
	if err := x.read(s); err != nil {
		return Remains{}, 0, err
	}
	if dry {
		return x.Remains, 0, nil
	}
	if err := rebirth(x.tree, a); err != nil {
		return Remains{}, 0, err
	}
	// The snapshot counts as soon as it is whole; a log that is not emptied then does no harm.
	if err := s.saveAlone(x.tree, a, x.LastIndex, x.LastTerm); err != nil {
		return Remains{}, 0, err
	}
	if x.first > 0 {
		if err := s.Log.DeleteRange(x.first, x.last); err != nil {
			return Remains{}, 0, fmt.Errorf("strong: empty the log: %w", err)
		}
	}
	return x.Remains, x.tree.Zxid(), nil
}

// remains is what is being read.
type remains struct {
	Remains
	tree        *tree.Tree
	first, last uint64 // of the log; 0: it is empty
}

func (x *remains) read(s *Stores) error {
	has, err := raft.HasExistingState(s.Log, s.Stable, s.Snapshots)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case !has:
		return ErrNoState
	}
	if x.Term, err = s.Stable.GetUint64([]byte("CurrentTerm")); err != nil && err.Error() != "not found" {
		return fmt.Errorf("%w: read the term: %w", ErrCorrupt, err)
	}
	if err := x.readSnapshot(s.Snapshots); err != nil {
		return err
	}
	if err := x.readLog(s.Log); err != nil {
		return err
	}
	if len(x.Servers) == 0 {
		return ErrNoState
	}
	st := x.tree.Stats()
	x.Zxid, x.Tree = x.tree.Zxid(), TreeStatus{Znodes: st.Znodes, Ephemerals: st.Ephemerals, Sessions: st.Sessions, DataBytes: st.DataBytes}
	if at := x.tree.At(); at != 0 {
		x.LastEntry = time.UnixMilli(at).UTC()
	}
	return nil
}

// readSnapshot reads the newest snapshot that is whole.
func (x *remains) readSnapshot(s raft.SnapshotStore) error {
	metas, err := s.List()
	if err != nil {
		return fmt.Errorf("%w: list the snapshots: %w", ErrCorrupt, err)
	}
	var errs []error
	for _, m := range metas {
		meta, r, err := s.Open(m.ID)
		if err == nil {
			err = errors.Join(x.tree.Restore(r), r.Close())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("snapshot %s: %w", m.ID, err))
			continue
		}
		x.Snapshot, x.LastIndex, x.LastTerm, x.Servers = meta.Index, meta.Index, meta.Term, serversOf(meta.Configuration)
		return nil
	}
	if len(metas) > 0 {
		return fmt.Errorf("%w: no snapshot can be read: %w", ErrCorrupt, errors.Join(errs...))
	}
	return nil
}

// readLog applies what follows the snapshot.
func (x *remains) readLog(log raft.LogStore) error {
	var err error
	if x.first, err = log.FirstIndex(); err != nil {
		return fmt.Errorf("%w: read the log: %w", ErrCorrupt, err)
	}
	if x.last, err = log.LastIndex(); err != nil {
		return fmt.Errorf("%w: read the log: %w", ErrCorrupt, err)
	}
	if x.last > x.Snapshot && x.first > x.Snapshot+1 {
		return fmt.Errorf("%w: the log begins at entry %d, and the newest snapshot that can be read ends at %d", ErrCorrupt, x.first, x.Snapshot)
	}
	for i := x.Snapshot + 1; i <= x.last; i++ {
		var l raft.Log
		if err := log.GetLog(i, &l); err != nil {
			return fmt.Errorf("%w: read entry %d of the log: %w", ErrCorrupt, i, err)
		}
		x.LastIndex, x.LastTerm = l.Index, l.Term
		switch l.Type {
		case raft.LogConfiguration:
			x.Servers = serversOf(raft.DecodeConfiguration(l.Data))
		case raft.LogCommand:
			e, err := tree.DecodeEntry(l.Data)
			switch {
			case errors.Is(err, tree.ErrChecksum):
				return fmt.Errorf("%w: entry %d of the log: %w", ErrCorrupt, i, err)
			case err != nil:
				x.Unread++ // as when it was committed: see fsm.Apply
				continue
			}
			replay(x.tree, e)
		default:
		}
	}
	return nil
}

// replay applies an entry to a tree of which nobody waits for anything.
func replay(t *tree.Tree, e *tree.Entry) {
	t.EnforceQuota(e.EnforceQuota)
	for i := range e.Batches {
		applyBatch(t, e.At, &e.Batches[i])
	}
	applyRest(t, e)
	if e.Stage != nil {
		_ = t.Stage(e.At, e.Stage) // who brought it was told what was wrong with it
	}
	if e.TermStart != nil {
		t.StartTerm()
	}
	if r := e.Register; r != nil {
		t.Register(r.Name, r.Identity)
	}
}

func serversOf(c raft.Configuration) (ss []Server) {
	for _, s := range c.Servers {
		ss = append(ss, Server{Name: string(s.ID), Address: string(s.Address), Voter: s.Suffrage == raft.Voter})
	}
	return ss
}

// Seed is a backup that was read, and checked, to begin a new cluster with.
type Seed struct {
	Info BackupInfo
	im   *tree.Image
}

// ReadSeed reads a backup. Errors: ErrBackup, r's.
func ReadSeed(r io.Reader) (*Seed, error) {
	info, im, err := readBackup(r)
	if err != nil {
		return nil, err
	}
	return &Seed{info, im}, nil
}

// Plant makes of the backup, in an empty directory, the state of a new cluster of one member. Once only.
func (s *Seed) Plant(dir string, a Alone) (_ Restored, err error) {
	t := s.im.Tree()
	if err := rebirth(t, a); err != nil {
		return Restored{}, err
	}
	stores, err := openStores(&Config{Dir: dir, Logger: a.Logger})
	if err != nil {
		return Restored{}, err
	}
	defer func() { err = errors.Join(err, stores.close()) }()
	if err := stores.Stable.SetUint64([]byte("CurrentTerm"), 1); err != nil {
		return Restored{}, fmt.Errorf("strong: begin a new cluster: %w", err)
	}
	if err := stores.saveAlone(t, a, 1, 1); err != nil {
		return Restored{}, err
	}
	return Restored{Backup: s.Info, Zxid: t.Zxid(), Ended: s.Info.Tree.Sessions}, nil
}

// rebirth makes t the tree of a new cluster, with a secret of its own.
func rebirth(t *tree.Tree, a Alone) error {
	key := make([]byte, 32)
	rand.Read(key)
	if err := t.Rebirth(a.Time.UnixMilli(), key, a.Identity); err != nil {
		return fmt.Errorf("strong: begin a new cluster: %w", err)
	}
	return nil
}

// saveAlone writes t as the snapshot, up to index, of a cluster of one member.
func (s *Stores) saveAlone(t *tree.Tree, a Alone, index, term uint64) error {
	self := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(a.Name), Address: raft.ServerAddress(a.Address)}}}
	_, nobody := raft.NewInmemTransport("")
	snap, err := t.Snapshot()
	if err != nil {
		return fmt.Errorf("strong: save the tree: %w", err)
	}
	defer snap.Release()
	sink, err := s.Snapshots.Create(raft.SnapshotVersionMax, index, term, self, 1, nobody)
	if err != nil {
		return fmt.Errorf("strong: save the tree: %w", err)
	}
	if _, err := snap.WriteTo(sink); err != nil {
		return errors.Join(fmt.Errorf("strong: save the tree: %w", err), sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("strong: save the tree: %w", err)
	}
	return nil
}
