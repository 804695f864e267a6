package coord

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/strong"
)

// BackupInfo tells what is in a backup.
type BackupInfo = strong.BackupInfo

// ErrBackup: a file is not a whole backup that this version can read.
var ErrBackup = strong.ErrBackup

// Backup writes the replicated tree as it is at one moment to w, with everything that was acknowledged anywhere before the call; it needs the
// majority for that. With stale, it writes what this member has, without asking anyone. The cluster goes on meanwhile. What is in the eventual tier is not
// in it: its members announce that again by themselves. A backup holds the cluster's secret and all digests in ACLs: keep it as private as the data
// directory. Errors: ErrUnavailable without a majority, ctx's, w's.
func (n *Node) Backup(ctx context.Context, w io.Writer, stale bool) (BackupInfo, error) {
	if !stale {
		if err := tiers.Sync(ctx, n.strong, "/"); err != nil {
			return BackupInfo{}, fmt.Errorf("coord: before a backup, learn what is newest: %w", err)
		}
	}
	info, err := n.strong.Backup(ctx, w, n.cluster())
	if err != nil {
		return BackupInfo{}, fmt.Errorf("coord: %w", err)
	}
	return info, nil
}

// ReadBackup reads a whole backup and checks all of it; it takes as much memory as the tree in it. Errors: ErrBackup, r's.
func ReadBackup(r io.Reader) (BackupInfo, error) { return strong.ReadBackup(r) }

// Restored is what a restore has done.
type Restored = strong.Restored

// What can go wrong with a restore, besides ErrBackup and tiers.ErrUnknownOutcome.
var (
	ErrRestoring   = strong.ErrRestoring
	ErrNotRestored = strong.ErrNotRestored
)

// spoolPattern names the file in which a backup waits until all of it is checked.
const spoolPattern = "restore-*.spool"

// Restore puts the tree of a backup in the place of the cluster's, on all members at one place of the commit order; it may be asked of any member. All
// of r is read and checked first, by way of a file in the data directory; a damaged one changes nothing. What that does:
//
//   - All sessions that the replicated tree knew, then or now, end: who holds a lock loses it, and contends again.
//   - Zxids, and so fencing tokens, versions and sequence numbers go on above what either tree had; watches fire for what differs.
//   - The members, their numbers and the cluster's secret stay.
//
// Errors: ErrBackup, ErrRestoring, ErrNotRestored with the reason; tiers.ErrUnknownOutcome when the leader was lost at the last step.
func (n *Node) Restore(ctx context.Context, r io.Reader) (_ Restored, err error) {
	f, err := os.CreateTemp(n.cfg.Dir, spoolPattern)
	if err != nil {
		return Restored{}, fmt.Errorf("coord: make room for the backup: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := io.Copy(f, r); err != nil {
		return Restored{}, fmt.Errorf("coord: receive the backup: %w: %w", err, ErrNotRestored)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Restored{}, fmt.Errorf("coord: read the backup: %w", err)
	}
	done, err := n.strong.RestoreBackup(ctx, f)
	if err != nil {
		return Restored{}, fmt.Errorf("coord: %w", err)
	}
	return done, nil
}

// dropSpools removes what restores have left behind that did not end.
func (d *dataDir) dropSpools() error {
	names, err := filepath.Glob(filepath.Join(d.path, spoolPattern))
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	if err != nil {
		return fmt.Errorf("coord: remove the rest of an earlier restore: %w", err)
	}
	return nil
}
