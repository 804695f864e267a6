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

// members are the members as admin tells them.
func (v *server) members(ctx context.Context) (list []admin.MemberStatus, err error) {
	node, err := v.opened()
	if err != nil {
		return nil, err
	}
	ms := node.MemberList(ctx)
	var last uint64
	for _, m := range ms {
		last = max(last, m.Applied)
	}
	for _, m := range ms {
		x := admin.MemberStatus{Member: admin.Member{Name: m.Name, Address: m.Address, Role: m.Role, State: m.State}, Leader: m.Leads}
		if m.Known {
			behind := last - m.Applied
			x.Behind = &behind
		}
		list = append(list, x)
	}
	return list, nil
}

// changeMember is what admin changes a member by.
func (v *server) changeMember(ctx context.Context, name, change string, force bool) error {
	node, err := v.opened()
	if err != nil {
		return err
	}
	return node.ChangeMember(ctx, name, coord.MemberChange(change), force)
}
