package admin

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// A metric is one series without variable labels, read off a snapshot of the member.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*sample) float64
}

type sample struct {
	Status
	Traffic
}

// collector turns one Status per scrape into metrics, so that the figures of a scrape belong together. It has no state.
type collector struct {
	cfg     Config
	metrics []metric
	state   *prometheus.Desc // labels: state
	info    *prometheus.Desc // labels: member, role, version
	members *prometheus.Desc // labels: state
	stale   *prometheus.Desc
}

// raftStates are the values of the label of strata_raft_state: exactly one of them is 1.
var raftStates = [...]string{"leader", "follower", "candidate", "shutdown"}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("strata_"+name, help, labels, nil)
}

func newCollector(cfg Config) *collector {
	c := &collector{
		cfg:     cfg,
		state:   desc("raft_state", "1 for the raft state that this member is in, 0 for the others.", "state"),
		info:    desc("info", "Always 1; the labels say who this is.", "member", "role", "version"),
		members: desc("members", "Members of the cluster by liveness, as this member sees them.", "state"),
		stale:   desc("staleness_seconds", "How old an answer of a readonly route may be now; absent while unknown."),
	}
	gauge := func(name, help string, read func(*sample) float64) {
		c.metrics = append(c.metrics, metric{desc(name, help), prometheus.GaugeValue, read})
	}
	counter := func(name, help string, read func(*sample) float64) {
		c.metrics = append(c.metrics, metric{desc(name, help), prometheus.CounterValue, read})
	}
	gauge("ready", "1 when clients are served.", func(s *sample) float64 { return flag(s.Ready) })
	gauge("read_only", "1 when this member has been without a majority for longer than an election takes.", func(s *sample) float64 { return flag(s.ReadOnly) })
	gauge("connections", "Connections of clients at this member.", func(s *sample) float64 { return float64(s.Connections) })
	gauge("sessions", "Sessions hosted by this member.", func(s *sample) float64 { return float64(s.Sessions) })
	gauge("watches", "Watches armed by clients of this member.", func(s *sample) float64 { return float64(s.Watches) })
	gauge("outstanding_requests", "Requests of clients without an answer yet.", func(s *sample) float64 { return float64(s.Outstanding) })
	gauge("raft_term", "Raft term.", func(s *sample) float64 { return float64(s.Term) })
	gauge("raft_commit_index", "Raft commit index.", func(s *sample) float64 { return float64(s.CommitIndex) })
	gauge("raft_applied_index", "Raft index that the tree of this member has applied.", func(s *sample) float64 { return float64(s.AppliedIndex) })
	gauge("raft_has_leader", "1 when this member knows a leader.", func(s *sample) float64 { return flag(s.Leader != "") })
	gauge("znodes", "Znodes in the replicated tree.", func(s *sample) float64 { return float64(s.Znodes) })
	gauge("ephemerals", "Ephemeral znodes in the replicated tree.", func(s *sample) float64 { return float64(s.Ephemerals) })
	gauge("data_bytes", "Bytes of the replicated tree.", func(s *sample) float64 { return float64(s.DataBytes) })
	gauge("uptime_seconds", "Since the start of the member.", func(s *sample) float64 { return float64(s.UptimeMS) / 1000 })
	counter("requests_total", "Requests received from clients.", func(s *sample) float64 { return float64(s.Received) })
	counter("responses_total", "Replies and events sent to clients.", func(s *sample) float64 { return float64(s.Sent) })
	return c
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		ch <- m.desc
	}
	ch <- c.state
	ch <- c.info
	ch <- c.members
	ch <- c.stale
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := sample{Status: c.cfg.Status()}
	s.Ready = c.cfg.Ready() == nil
	if c.cfg.Traffic != nil {
		s.Traffic = c.cfg.Traffic()
	}
	for _, m := range c.metrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(&s))
	}
	for _, state := range raftStates {
		ch <- prometheus.MustNewConstMetric(c.state, prometheus.GaugeValue, flag(s.RaftState == state), state)
	}
	ch <- prometheus.MustNewConstMetric(c.info, prometheus.GaugeValue, 1, s.Member, s.Role, s.Version)
	for state, n := range countMembers(s.Members) {
		ch <- prometheus.MustNewConstMetric(c.members, prometheus.GaugeValue, n, state)
	}
	if s.StalenessMS != nil {
		ch <- prometheus.MustNewConstMetric(c.stale, prometheus.GaugeValue, float64(*s.StalenessMS)/1000)
	}
}

// countMembers counts by liveness. The usual states are always there, so that an alert on "dead" has a series to look at.
func countMembers(members []Member) map[string]float64 {
	n := map[string]float64{"alive": 0, "suspect": 0, "dead": 0, "left": 0}
	for _, m := range members {
		state := m.State
		if state == "" {
			state = "unknown"
		}
		n[state]++
	}
	return n
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// newRegistry is private to one handler: several members may live in one process.
func newRegistry(cfg Config) (*prometheus.Registry, error) {
	r := prometheus.NewRegistry()
	return r, errors.Join(
		r.Register(newCollector(cfg)),
		r.Register(collectors.NewGoCollector()),
		r.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	)
}
