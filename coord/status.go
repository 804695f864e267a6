package coord

import (
	"slices"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// Status is a picture of a member, for people and metrics.
type Status struct {
	Member  string `json:"member"`
	Role    Role   `json:"role"`
	Address string `json:"address"` // under which the other members reach it
	Ready   bool   `json:"ready"`
	Reason  string `json:"reason,omitempty"` // why it is not ready
	// ReadOnly: see Node.ReadOnly.
	ReadOnly bool `json:"read_only"`
	// Disk is what is wrong with the member's disk; empty: nothing.
	Disk string `json:"disk,omitempty"`

	RaftState     string `json:"raft_state"`     // leader, follower, candidate, shutdown
	Leader        string `json:"leader"`         // name; empty: none is known
	LeaderAddress string `json:"leader_address"` // member to member
	Term          uint64 `json:"term"`
	CommitIndex   uint64 `json:"commit_index"`
	AppliedIndex  uint64 `json:"applied_index"` // by the tree of this member
	Zxid          int64  `json:"zxid"`          // of the replicated tree at this member
	// Staleness is how old a readonly answer of this member may be now; StalenessKnown is false until it has caught up once.
	Staleness      time.Duration `json:"staleness_ns"`
	StalenessKnown bool          `json:"staleness_known"`

	Members  []Member       `json:"members"`
	Routes   []Route        `json:"routes"`
	Sessions SessionsStatus `json:"sessions"`
	Watches  int            `json:"watches"` // armed at this member; one that reaches into several trees counts in each
	Tree     TreeStatus     `json:"tree"`
}

// Member is one member of the cluster as another sees it.
type Member struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	// Client is where its clients connect; empty: nowhere, or gossip has not heard of it.
	Client string `json:"client,omitempty"`
	Role   string `json:"role,omitempty"`  // in the raft configuration; empty: not in it
	State  string `json:"state,omitempty"` // alive, suspect, dead or left; empty: gossip has not heard of it
}

// SessionsStatus counts the sessions that are attached to this member or wait here for their client.
type SessionsStatus struct {
	Hosted int `json:"hosted"`
	Local  int `json:"local"`  // of them, those that own nothing in the replicated tree and cost it nothing
	Opened int `json:"opened"` // of them, those that the replicated tree knows
}

// TreeStatus counts what the replicated tree holds.
type TreeStatus struct {
	Znodes     int   `json:"znodes"`
	Ephemerals int   `json:"ephemerals"`
	Sessions   int   `json:"sessions"`
	DataBytes  int64 `json:"data_bytes"`
}

const stateAlive = "alive"

// acquainted is a member as gossip and raft's configuration together know it.
type acquainted struct {
	Member
	wants    Role     // what it wants to be; empty: gossip does not know
	identity [16]byte // zero: not known
	cluster  string   // of the replicated tree that it belongs to; empty: none yet, or not known
}

func (n *Node) members() []acquainted {
	known := make(map[string]acquainted)
	for _, s := range n.strong.Servers() {
		m := acquainted{Member: Member{Name: s.Name, Address: s.Address, Role: string(Replica)}}
		if s.Voter {
			m.Role = string(Voter)
		}
		known[s.Name] = m
	}
	for _, g := range n.eventual.Members() {
		m := known[g.Name]
		m.Name, m.State = g.Name, strings.ToLower(g.State.String())
		if g.Addr != "" {
			m.Address = g.Addr
		}
		var meta memberMeta
		if msgpack.Unmarshal(g.Meta, &meta) == nil {
			m.wants, m.cluster, m.Client = meta.Role, meta.Cluster, meta.Client
		}
		m.identity = g.Identity
		known[g.Name] = m
	}
	ms := make([]acquainted, 0, len(known))
	for _, m := range known {
		ms = append(ms, m)
	}
	slices.SortFunc(ms, func(a, b acquainted) int { return strings.Compare(a.Name, b.Name) })
	return ms
}

// Status is a picture of this member; it may be taken at any time before Close.
func (n *Node) Status() Status {
	r := n.strong.Status()
	_, leaderAddr := n.strong.Leader()
	age, known := n.strong.Freshness()
	hosted, opened := n.sessions.Stats()
	s := Status{
		Member: n.cfg.Name, Role: n.cfg.Role, Address: n.cfg.Advertise, Ready: true, ReadOnly: n.ReadOnly(), Disk: r.Disk,
		RaftState: strings.ToLower(r.State), Leader: r.Leader, LeaderAddress: leaderAddr, Term: r.Term,
		CommitIndex: r.CommitIndex, AppliedIndex: r.Applied, Zxid: int64(r.Zxid), Staleness: age, StalenessKnown: known,
		Routes: slices.Clone(n.cfg.Routes), Sessions: SessionsStatus{Hosted: hosted, Local: hosted - opened, Opened: opened},
		Watches: r.Watches.Watches + n.eventual.Stats().Watches,
		Tree:    TreeStatus{Znodes: r.Tree.Znodes, Ephemerals: r.Tree.Ephemerals, Sessions: r.Tree.Sessions, DataBytes: r.Tree.DataBytes},
	}
	if err := n.ReadyErr(); err != nil {
		s.Ready, s.Reason = false, err.Error()
	}
	for _, m := range n.members() {
		s.Members = append(s.Members, m.Member)
	}
	return s
}
