package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/strata-coord/strata/admin"
	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat"
)

var (
	errStarting = errors.New("starting: the data directory is being opened")
	errStopping = errors.New("stopping")
)

// ready is nil when clients are served now.
func (v *server) ready() error {
	node := v.node.Load()
	switch {
	case v.leaving.Load():
		return errStopping
	case node == nil:
		return errStarting
	}
	return node.ReadyErr()
}

// status is the member as admin tells it. Before the node is open, only what was configured is known.
func (v *server) status() admin.Status {
	s := admin.Status{
		Member: v.settings.name, Version: version(), Role: v.settings.role, Address: v.settings.bind, Ready: true,
		UptimeMS: time.Since(v.began).Milliseconds(),
	}
	if err := v.ready(); err != nil {
		s.Ready, s.Reason = false, err.Error()
	}
	for _, r := range v.routes {
		t := admin.Route{Prefix: r.prefix, Tier: r.tier}
		if r.maxStaleness > 0 {
			t.MaxStaleness = r.maxStaleness.String()
		}
		s.Routes = append(s.Routes, t)
	}
	if clients := v.clients.Load(); clients != nil {
		c := clients.Stats()
		s.Connections, s.Outstanding = c.Connections, c.Outstanding
	}
	node := v.node.Load()
	if node == nil {
		return s
	}
	n := node.Status()
	s.Address, s.RaftState, s.Leader, s.LeaderAddress = n.Address, n.RaftState, n.Leader, n.LeaderAddress
	s.ReadOnly, s.Disk = n.ReadOnly, n.Disk
	s.Term, s.CommitIndex, s.AppliedIndex, s.Zxid = n.Term, n.CommitIndex, n.AppliedIndex, tiers.Zxid(n.Zxid).String()
	if n.StalenessKnown {
		ms := n.Staleness.Milliseconds()
		s.StalenessMS = &ms
	}
	for _, m := range n.Members {
		s.Members = append(s.Members, admin.Member{Name: m.Name, Address: m.Address, Role: m.Role, State: m.State})
	}
	s.Sessions, s.Watches = n.Sessions.Hosted, n.Watches
	s.Znodes, s.Ephemerals, s.DataBytes = n.Tree.Znodes, n.Tree.Ephemerals, n.Tree.DataBytes
	return s
}

// traffic is what the client listener has done.
func (v *server) traffic() admin.Traffic {
	clients := v.clients.Load()
	if clients == nil {
		return admin.Traffic{}
	}
	c := clients.Stats()
	return admin.Traffic{Received: c.Received, Sent: c.Sent}
}

// serverInfo is the member as ZooKeeper's four-letter words tell it.
func (v *server) serverInfo() zkcompat.ServerInfo {
	i := zkcompat.ServerInfo{Version: strings.ReplaceAll(version(), "+", "-"), Built: built(), Started: v.began, DataDir: v.settings.dataDir}
	i.DataDirSize = sizeOf(v.settings.dataDir)
	i.LogDirSize = i.DataDirSize // log and snapshots are in one directory
	node := v.node.Load()
	if node == nil || v.ready() != nil {
		return i
	}
	n, f := node.Status(), node.Figures()
	i.Mode, i.ReadOnly = mode(n), n.ReadOnly
	i.ID, i.Zxid, i.Term = node.Number(n.Member), tiers.Zxid(n.Zxid), n.Term
	i.Znodes, i.Ephemerals, i.DataBytes = n.Tree.Znodes, n.Tree.Ephemerals, n.Tree.DataBytes
	i.Sessions, i.LocalSessions, i.Watches = n.Tree.Sessions, n.Sessions.Local, n.Watches
	i.LeaderID, i.LeaderAddress, i.Membership = node.Number(n.Leader), n.LeaderAddress, node.Membership()
	i.Fsync, i.Snapshot = zkcompat.Measure(f.Fsync), zkcompat.Measure(f.Snapshot)
	i.LastProposal, i.MinProposal, i.MaxProposal = f.LastProposal, f.MinProposal, f.MaxProposal
	i.LeadsSince, i.SnapshotZxid, i.SnapshotTime = f.LeadsSince, f.SnapshotZxid, f.SnapshotTime
	for _, m := range n.Members {
		count(&i, m, m.Name == n.Member)
	}
	return i
}

// count counts a member of the cluster.
func count(i *zkcompat.ServerInfo, m coord.Member, self bool) {
	if m.Role == roleVoter {
		i.Voters++
	}
	if self || m.Role == "" {
		return
	}
	all, synced := &i.Followers, &i.SyncedFollowers
	if m.Role == roleReplica {
		all, synced = &i.Observers, &i.SyncedObservers
	}
	*all++
	if m.State == "alive" {
		*synced++
	}
}

// applied is what this member has applied.
func (v *server) applied() tiers.Zxid {
	if node := v.node.Load(); node != nil {
		return node.Zxid()
	}
	return 0
}

// sessionList is the sessions that the member knows.
func (v *server) sessionList() (list []zkcompat.SessionInfo) {
	node := v.node.Load()
	if node == nil {
		return nil
	}
	for _, s := range node.SessionList() {
		list = append(list, zkcompat.SessionInfo{ID: s.ID, Timeout: s.Timeout, Heard: s.Heard, Ephemerals: s.Ephemerals})
	}
	return list
}

// command answers a command of ZooKeeper's AdminServer.
func (v *server) command(name string, arg func(string) string) (json.Marshaler, error) {
	clients := v.clients.Load()
	if clients == nil {
		return nil, errStarting
	}
	return clients.Command(name, arg)
}

// sizeOf is how many bytes the files below a directory have, as far as they can be looked at.
func sizeOf(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // it may be gone already
		}
		if f, err := d.Info(); err == nil {
			n += f.Size()
		}
		return nil
	})
	return n
}

// mode is ZooKeeper's word for the part that a member plays.
func mode(n coord.Status) string {
	switch {
	case n.RaftState == "leader" && len(n.Members) <= 1:
		return "standalone"
	case n.RaftState == "leader":
		return "leader"
	case n.Role == coord.Replica:
		return "observer"
	}
	return "follower"
}
