package main

import (
	"errors"
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
	s.ReadOnly = n.ReadOnly
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
	node := v.node.Load()
	if node == nil || v.ready() != nil {
		return i
	}
	n := node.Status()
	i.Mode, i.ReadOnly = mode(n), n.ReadOnly
	i.Zxid, i.Znodes, i.Ephemerals, i.DataBytes = tiers.Zxid(n.Zxid), n.Tree.Znodes, n.Tree.Ephemerals, n.Tree.DataBytes
	i.Sessions, i.Watches = n.Tree.Sessions, n.Watches
	if n.RaftState == "leader" {
		i.Followers = max(0, len(n.Members)-1)
		for _, m := range n.Members {
			if m.Name != n.Member && m.State == "alive" {
				i.SyncedFollowers++
			}
		}
	}
	return i
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
