package coord

import "time"

// Status is a picture of a member, for people and metrics.
type Status struct {
	Member  string `json:"member"`
	Role    Role   `json:"role"`
	Address string `json:"address"` // under which the other members reach it
	Ready   bool   `json:"ready"`
	Reason  string `json:"reason,omitempty"` // why it is not ready

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
	Watches  int            `json:"watches"` // armed at this member in the replicated tree
	Tree     TreeStatus     `json:"tree"`
}

// Member is one member of the cluster as another sees it.
type Member struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Role    string `json:"role,omitempty"`  // in the raft configuration; empty: not in it
	State   string `json:"state,omitempty"` // alive, suspect, dead or left; empty: gossip has not heard of it
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
