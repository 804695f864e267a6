package admin

// Status is the body of /v1/status. Names and meanings of fields are stable; fields may be added.
type Status struct {
	Member  string `json:"member"`           // its name
	Version string `json:"version"`          // of the program
	Role    string `json:"role"`             // voter or replica
	Address string `json:"address"`          // under which the other members reach it
	Ready   bool   `json:"ready"`            // clients are served
	Reason  string `json:"reason,omitempty"` // why not
	// ReadOnly: the majority is gone; clients that asked for read-only service see the past of strong routes.
	ReadOnly bool `json:"read_only"`
	// Disk is what is wrong with the member's disk; empty: nothing.
	Disk string `json:"disk,omitempty"`

	RaftState     string `json:"raft_state"`     // leader, follower, candidate, shutdown
	Leader        string `json:"leader"`         // name; empty when there is none
	LeaderAddress string `json:"leader_address"` // member to member
	Term          uint64 `json:"term"`
	CommitIndex   uint64 `json:"commit_index"`
	AppliedIndex  uint64 `json:"applied_index"` // by the tree of this member
	Zxid          string `json:"zxid"`          // hexadecimal, of the replicated tree at this member
	StalenessMS   *int64 `json:"staleness_ms"`  // how old a readonly answer may be now; null: not known yet

	Members []Member `json:"members"`
	Routes  []Route  `json:"routes"`

	Connections int `json:"connections"` // of clients, at this member
	Sessions    int `json:"sessions"`    // hosted by this member
	Watches     int `json:"watches"`     // armed by clients of this member
	Outstanding int `json:"outstanding"` // requests without an answer yet

	Znodes     int   `json:"znodes"`     // in the replicated tree
	Ephemerals int   `json:"ephemerals"` // of them
	DataBytes  int64 `json:"data_bytes"` // of the replicated tree
	UptimeMS   int64 `json:"uptime_ms"`
}

// Member is one member of the cluster as this one sees it.
type Member struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Role    string `json:"role,omitempty"`  // voter or replica; empty: not in the raft configuration
	State   string `json:"state,omitempty"` // alive, suspect, dead or left; empty: gossip has not heard of it
}

// Route says which tier keeps a prefix.
type Route struct {
	Prefix       string `json:"prefix"`
	Tier         string `json:"tier"`
	MaxStaleness string `json:"max_staleness,omitempty"` // a readonly route's bound; empty: none
}

// Traffic is what the member's client listener has done since its start.
type Traffic struct {
	Received uint64 // requests
	Sent     uint64 // replies and events
}
