package main

import (
	"context"
	"io"

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
