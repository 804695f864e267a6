package main

import (
	"context"
	"io"

	"github.com/strata-coord/strata/admin"
	"github.com/strata-coord/strata/coord"
)

// opened is the node, once it is open.
func (v *server) opened() (*coord.Node, error) {
	node := v.node.Load()
	switch {
	case v.leaving.Load():
		return nil, errStopping
	case node == nil:
		return nil, errStarting
	}
	return node, nil
}

// backup is what admin streams.
func (v *server) backup(ctx context.Context, w io.Writer, stale bool) error {
	node, err := v.opened()
	if err != nil {
		return err
	}
	info, err := node.Backup(ctx, w, stale)
	if err == nil {
		v.log.Info("wrote a backup", "zxid", info.Zxid, "bytes", info.Bytes, "stale", stale)
	}
	return err
}

// restore is what admin replaces the tree by.
func (v *server) restore(ctx context.Context, backup io.Reader) (admin.Restored, error) {
	node, err := v.opened()
	if err != nil {
		return admin.Restored{}, err
	}
	done, err := node.Restore(ctx, backup)
	if err != nil {
		return admin.Restored{}, err
	}
	return admin.Restored{Zxid: done.Zxid.String(), BackupZxid: done.Backup.Zxid.String(), Znodes: done.Backup.Tree.Znodes, EndedSessions: done.Ended}, nil
}
