package coord

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/strong"
)

var (
	// ErrNotEmpty: the data directory has something in it already.
	ErrNotEmpty = errors.New("data directory is not empty")
	// ErrNoState: the data directory has nothing to recover.
	ErrNoState = strong.ErrNoState
)

// RestoreDir makes of a backup, in the empty directory cfg.Dir, the first member of a new cluster: cfg.Name, reached at cfg.Bind. Others join it with
// empty directories. As the new cluster has a secret of its own, members and sessions of the old one are not taken for its own; and zxids, fencing tokens,
// sequence numbers and member numbers go on as far above the backup's as the cluster can have come since. Of a damaged backup nothing is written.
// Errors: bad Config, ErrBackup, ErrNotEmpty, ErrDirInUse, r's.
func RestoreDir(_ context.Context, r io.Reader, cfg Config) (_ Restored, err error) {
	if err := cfg.complete(); err != nil {
		return Restored{}, err
	}
	d, err := openDir(cfg.Dir, cfg.Name)
	if errors.Is(err, ErrForeignDir) || errors.Is(err, ErrOtherName) || err == nil && !d.new {
		err = fmt.Errorf("coord: %s: %w: choose an empty one, so that nothing is lost", cfg.Dir, errors.Join(ErrNotEmpty, err))
	}
	if d != nil {
		defer func() { err = errors.Join(err, d.close()) }()
	}
	if err != nil {
		return Restored{}, err
	}
	seed, err := strong.ReadSeed(r)
	if err != nil {
		return Restored{}, fmt.Errorf("coord: %w", err)
	}
	if err := d.reserve(); err != nil {
		return Restored{}, err
	}
	done, err := seed.Plant(filepath.Join(cfg.Dir, strongDir), strong.Alone{
		Name: cfg.Name, Identity: d.identity(), Address: cfg.Bind, Time: time.Now(), Logger: cfg.Logger,
	})
	if err != nil {
		return Restored{}, fmt.Errorf("coord: %w", err)
	}
	// Only now it is a member's: one that was begun and not ended could start as an empty cluster.
	return done, d.save()
}

// Remains is what a member's directory has of its cluster.
type Remains struct {
	Member   string    // whose it is
	Members  []Member  // of the cluster, as far as this one knows; Role tells who has a vote
	Index    uint64    // of the last entry of the log
	LogTerm  uint64    // of that entry
	Term     uint64    // that the member has heard of
	Snapshot uint64    // index of the snapshot that the log goes on from; 0: there is none
	Changed  time.Time // the leader's time of the last change; zero: there was none
	Zxid     tiers.Zxid
	Tree     TreeStatus
	Unread   int // entries of the log that this version can't read
}

// Recover makes, of the data directory of a member that is not running, the first member of a cluster that goes on from it, for when the majority is
// lost for ever. What the lost members had committed without this one is lost too. All sessions have ended; zxids, fencing tokens, sequence numbers and member
// numbers go on as far ahead as the cluster can have come since this member's last entry. Other members join with empty directories, also those
// that survived; the lost ones must never run again. With dry, it only tells what is there. zxid is where the tree goes on. Errors, with nothing changed:
// ErrDirInUse, ErrForeignDir, ErrCorruptDir, ErrNoState.
func Recover(dir string, dry bool, log *slog.Logger) (_ Remains, zxid tiers.Zxid, err error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d, err := openDir(dir, "")
	if err != nil {
		return Remains{}, 0, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if d.new {
		return Remains{}, 0, fmt.Errorf("coord: %s: %w", dir, ErrNoState)
	}
	a := strong.Alone{Name: d.meta.Name, Identity: d.identity(), Time: time.Now(), Logger: log}
	r, _, err := strong.Recover(filepath.Join(dir, strongDir), a, true)
	if err == nil && !dry {
		for _, s := range r.Servers {
			if s.Name == a.Name {
				a.Address = s.Address
			}
		}
		if a.Address == "" {
			a.Address = a.Name // it was a member no more; its address is found by its name
		}
		r, zxid, err = strong.Recover(filepath.Join(dir, strongDir), a, false)
	}
	switch {
	case errors.Is(err, strong.ErrCorrupt):
		return Remains{}, 0, fmt.Errorf("coord: %s: %w: %w: recover another survivor, or restore a backup", dir, ErrCorruptDir, err)
	case err != nil:
		return Remains{}, 0, fmt.Errorf("coord: %s: %w", dir, err)
	}
	x := Remains{
		Member: a.Name, Index: r.LastIndex, LogTerm: r.LastTerm, Term: r.Term, Snapshot: r.Snapshot, Changed: r.LastEntry, Zxid: r.Zxid, Unread: r.Unread,
		Tree: TreeStatus{Znodes: r.Tree.Znodes, Ephemerals: r.Tree.Ephemerals, Sessions: r.Tree.Sessions, DataBytes: r.Tree.DataBytes},
	}
	for _, s := range r.Servers {
		m := Member{Name: s.Name, Address: s.Address, Role: string(Replica)}
		if s.Voter {
			m.Role = string(Voter)
		}
		x.Members = append(x.Members, m)
	}
	return x, zxid, nil
}
