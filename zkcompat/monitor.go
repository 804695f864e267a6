package zkcompat

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// mntr has one line for each figure, as exporters expect.
func (s *Server) mntr(*conn) string {
	var b strings.Builder
	for _, f := range s.monitor() {
		fmt.Fprintf(&b, "zk_%s\t%v\n", f.Name, f.Value)
	}
	return b.String()
}

// monitor is the figures that exporters have expected since 3.4, those that 3.6 put beside them, and summaries of what this member measures.
func (s *Server) monitor() (fs Fields) {
	i, st := s.cfg.Server(), s.Stats()
	fs.add("version", i.version())
	fs.add("server_state", i.mode())
	switch {
	case i.ReadOnly:
	case i.Mode == "leader":
		fs.add("peer_state", "leading - broadcast")
	case i.Mode == "follower":
		fs.add("peer_state", "following - broadcast")
	case i.Mode == "observer":
		fs.add("peer_state", "observing - broadcast")
	}
	fs.add("ephemerals_count", i.Ephemerals)
	fs.add("num_alive_connections", st.Connections)
	fs.add("avg_latency", decimal(st.AvgLatency))
	fs.add("outstanding_requests", st.Outstanding)
	fs.add("znode_count", i.Znodes)
	fs.add("global_sessions", i.Sessions)
	fs.add("local_sessions", i.LocalSessions)
	fs.add("packets_sent", st.Sent)
	fs.add("packets_received", st.Received)
	fs.add("last_client_response_size", s.totals.lastSize.Load())
	fs.add("min_client_response_size", s.totals.minSize.Load())
	fs.add("max_client_response_size", s.totals.maxSize.Load())
	fs.add("connection_drop_probability", decimal(0)) // connections are never dropped by lot
	fs.add("watch_count", i.Watches)
	fs.add("auth_failed_count", s.totals.authFailures.Load())
	fs.add("min_latency", ms(st.MinLatency))
	fs.add("max_latency", ms(st.MaxLatency))
	fs.add("approximate_data_size", i.DataBytes)
	if open, limit, ok := descriptors(); ok {
		fs.add("open_file_descriptor_count", open)
		fs.add("max_file_descriptor_count", limit)
	}
	fs.add("uptime", i.uptime())
	fs.add("outstanding_tls_handshake", s.totals.handshakes.Load())
	fs.add("fsync_threshold_exceed_count", 0) // there is no such threshold
	// With TLS or without, members never reach each other by this listener.
	fs.add("non_mtls_remote_conn_count", 0)
	fs.add("non_mtls_local_conn_count", 0)
	if i.Mode == "leader" && !i.ReadOnly {
		fs.add("leader_uptime", i.leaderUptime())
		fs.add("quorum_size", i.Voters)
		fs.add("learners", i.Followers+i.Observers)
		fs.add("followers", i.Followers) // the name of learners up to 3.5
		fs.add("synced_followers", i.SyncedFollowers)
		fs.add("synced_observers", i.SyncedObservers)
		fs.add("synced_non_voting_followers", 0) // that is an observer here
		fs.add("pending_syncs", 0)               // a sync does not pass the leader's log
		fs.add("last_proposal_size", i.LastProposal)
		fs.add("max_proposal_size", i.MaxProposal)
		fs.add("min_proposal_size", i.MinProposal)
	}
	reads, updates := s.totals.byKind()
	fs.summary("readlatency", reads)
	fs.summary("updatelatency", updates)
	fs.summary("fsynctime", i.Fsync)
	fs.summary("snapshottime", i.Snapshot)
	return fs
}

// summary tells of a measure as ZooKeeper does, in milliseconds.
func (fs *Fields) summary(name string, m Measure) {
	fs.add("avg_"+name, decimal(m.avg()))
	fs.add("min_"+name, ms(m.Min))
	fs.add("max_"+name, ms(m.Max))
	fs.add("cnt_"+name, m.Count)
	fs.add("sum_"+name, ms(m.Sum))
}

// mode is what a member that serves is called.
func (i *ServerInfo) mode() string {
	if i.ReadOnly {
		return "read-only"
	}
	return cmp.Or(i.Mode, "standalone")
}

// uptime is in milliseconds.
func (i *ServerInfo) uptime() int64 {
	if i.Started.IsZero() {
		return 0
	}
	return ms(time.Since(i.Started))
}

// leaderUptime is in milliseconds, from the beginning of the leadership.
func (i *ServerInfo) leaderUptime() int64 {
	if i.LeadsSince.IsZero() {
		return 0
	}
	return ms(time.Since(i.LeadsSince))
}

// descriptors counts this process's open files where the system tells.
func descriptors() (open int, limit int64, ok bool) {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, 0, false
	}
	limits, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		return 0, 0, false
	}
	for l := range strings.Lines(string(limits)) {
		if rest, found := strings.CutPrefix(l, "Max open files"); found {
			if f := strings.Fields(rest); len(f) > 0 {
				n, err := strconv.ParseInt(f[0], 10, 64)
				if err != nil {
					n = -1 // unlimited
				}
				return len(files), n, true
			}
		}
	}
	return 0, 0, false
}
