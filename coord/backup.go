package coord

import (
	"context"
	"fmt"
	"io"

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
