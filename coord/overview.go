package coord

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/strong"
)

// SessionInfo is a session as a member knows it.
type SessionInfo struct {
	ID      tiers.SessionID
	Timeout time.Duration // 0: not known here
	// Heard is when its client was last heard, as far as this member knows: of sessions hosted elsewhere, that may be a moment ago. Zero: not known here.
	Heard      time.Time
	Ephemerals []string // in all tiers, sorted
	Local      bool     // it owns nothing in the replicated tree, which does not know it
}

// SessionList is the sessions of the replicated tree, those that this member hosts, and those that own ephemerals in the eventual tier, in the order of their ids. It
// costs time in proportion to them: it is for people, not for programs.
func (n *Node) SessionList() []SessionInfo {
	known := make(map[tiers.SessionID]*SessionInfo)
	at := func(id tiers.SessionID) *SessionInfo {
		if known[id] == nil {
			known[id] = &SessionInfo{ID: id, Local: true}
		}
		return known[id]
	}
	n.strong.EachSession(func(s strong.Session, heard time.Time) {
		x := at(s.ID)
		x.Timeout, x.Heard, x.Local = s.Timeout, heard, false
	})
	n.sessions.Each(func(id tiers.SessionID, timeout time.Duration, heard time.Time) {
		x := at(id)
		if x.Timeout == 0 {
			x.Timeout = timeout
		}
		if heard.After(x.Heard) {
			x.Heard = heard
		}
	})
	for _, id := range n.eventual.Owners() {
		at(id)
	}
	list := make([]SessionInfo, 0, len(known))
	for id, x := range known {
		q := tiers.Query{Want: tiers.WantEphemerals, Session: id}
		// Neither can fail: they read memory, and nothing in particular.
		if v, err := n.strong.ReadLocal(q); err == nil {
			x.Ephemerals = append(x.Ephemerals, v.Children...)
		}
		if v, err := n.eventual.Read(context.Background(), q); err == nil {
			x.Ephemerals = append(x.Ephemerals, v.Children...)
		}
		slices.Sort(x.Ephemerals)
		list = append(list, *x)
	}
	slices.SortFunc(list, func(a, b SessionInfo) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// EachDataWatch calls f with every watch at this member that sees changes of a znode's data, once for each watcher and path of a tree. f must be
// quick and not call the node: nobody can arm a watch meanwhile.
func (n *Node) EachDataWatch(f func(w tiers.Watcher, path string)) {
	n.strong.EachDataWatch(f)
	n.eventual.EachDataWatch(f)
}

// Measure sums up what was measured since the start.
type Measure struct {
	Count         int64
	Sum, Min, Max time.Duration
}

// Figures are measures of this member's part in the replicated tree, since its start.
type Figures struct {
	Fsync    Measure // of a batch of entries into the log, made durable
	Snapshot Measure // of the writing of a snapshot
	// What it proposed as the leader: bytes of a log entry, which carries many txns; -1 before the first.
	LastProposal, MinProposal, MaxProposal int64

	LeadsSince   time.Time  // when it last began to lead; zero: never
	SnapshotZxid tiers.Zxid // of the newest snapshot of this start
	SnapshotTime time.Time  // likewise; zero: there is none
}

// Number is the number of a member in the cluster, by which ZooKeeper's configuration names it; 0 if it is not known.
func (n *Node) Number(member string) (number int64) {
	for _, r := range n.strong.Registered() {
		if r.Name == member {
			number = int64(r.Number) // the last one counts: a fresh directory under the old name is a new member
		}
	}
	return number
}

// Membership is the text of /zookeeper/config at this member; empty in a cluster that never had a second member.
func (n *Node) Membership() string {
	_, v, err := n.strong.Configuration()
	if err != nil {
		return "" // it can't be read by nobody: it reads memory, as super
	}
	return string(v.Data)
}

// Figures may be called at any time before Close.
func (n *Node) Figures() Figures {
	f := n.strong.Figures()
	return Figures{
		Fsync: Measure(f.Fsync), Snapshot: Measure(f.Snapshot),
		LastProposal: f.LastProposal, MinProposal: f.MinProposal, MaxProposal: f.MaxProposal,
		LeadsSince: f.LeadsSince, SnapshotZxid: f.SnapshotZxid, SnapshotTime: f.SnapshotTime,
	}
}
