package strong

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// Server is one line of raft's configuration.
type Server struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Voter   bool   `json:"voter"`
}

// Fresh tells that this member has never belonged to a cluster: no log, no vote, no snapshot.
func (t *Tier) Fresh() (bool, error) {
	has, err := raft.HasExistingState(t.stores.Log, t.stores.Stable, t.stores.Snapshots)
	if err != nil {
		return false, fmt.Errorf("strong: look for existing state: %w", err)
	}
	return !has, nil
}

// Bootstrap forms the cluster of these voters, this one among them. It must be called at exactly one of them, ever; the
// others learn of it by replication. Error: it has state already.
func (t *Tier) Bootstrap(voters []Server) error {
	var c raft.Configuration
	for _, v := range voters {
		c.Servers = append(c.Servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(v.Name), Address: raft.ServerAddress(v.Address)})
	}
	t.Admit()
	if err := t.await(t.raft.BootstrapCluster(c)); err != nil {
		return fmt.Errorf("strong: form the cluster of %d voters: %w", len(voters), err)
	}
	return nil
}

// Servers is raft's latest configuration as this member knows it; empty before it belongs to a cluster.
func (t *Tier) Servers() []Server {
	f := t.raft.GetConfiguration()
	if f.Error() != nil {
		return nil
	}
	var ss []Server
	for _, s := range f.Configuration().Servers {
		ss = append(ss, Server{Name: string(s.ID), Address: string(s.Address), Voter: s.Suffrage == raft.Voter})
	}
	return ss
}

// Add makes a member part of the cluster, as a voter or as a replica (which gets the log and answers reads, but has no vote). A
// new voter starts as a replica and gets its vote once it has caught up, so that it never counts towards a majority that it
// would only hold up. Leaders only; one change at a time. Errors: raft's, ctx's.
func (t *Tier) Add(ctx context.Context, s Server) error {
	known := false
	for _, old := range t.Servers() {
		if old.Name == s.Name {
			if old.Voter == s.Voter && old.Address == s.Address {
				return nil
			}
			known = true
		}
	}
	id, addr := raft.ServerID(s.Name), raft.ServerAddress(s.Address)
	if !s.Voter || !known {
		if err := t.await(t.raft.AddNonvoter(id, addr, 0, t.cfg.Patience)); err != nil {
			return fmt.Errorf("strong: add %s: %w", s.Name, err)
		}
	}
	if !s.Voter {
		return nil
	}
	if err := t.awaitCaughtUp(ctx, s.Name); err != nil {
		return fmt.Errorf("strong: %s has not caught up, so it gets no vote yet: %w", s.Name, err)
	}
	if err := t.await(t.raft.AddVoter(id, addr, 0, t.cfg.Patience)); err != nil {
		return fmt.Errorf("strong: give %s its vote: %w", s.Name, err)
	}
	return nil
}

// Remove takes a member out of the cluster. Leaders only.
func (t *Tier) Remove(name string) error {
	if err := t.await(t.raft.RemoveServer(raft.ServerID(name), 0, t.cfg.Patience)); err != nil {
		return fmt.Errorf("strong: remove %s: %w", name, err)
	}
	return nil
}

// Demote takes a voter's vote; it stays as a replica. Leaders only.
func (t *Tier) Demote(name string) error {
	if err := t.await(t.raft.DemoteVoter(raft.ServerID(name), 0, t.cfg.Patience)); err != nil {
		return fmt.Errorf("strong: take the vote of %s: %w", name, err)
	}
	return nil
}

// Reachable are those of the named members that answer within a few heartbeats; this one does.
func (t *Tier) Reachable(ctx context.Context, names []string) map[string]bool {
	ctx, cancel := context.WithTimeout(ctx, 5*t.cfg.Heartbeat)
	defer cancel()
	answered := make(chan string, len(names))
	var asks sync.WaitGroup
	for _, name := range names {
		asks.Go(func() {
			if name == t.cfg.Name {
				answered <- name
			} else if _, err := t.statusOf(ctx, name); err == nil {
				answered <- name
			}
		})
	}
	asks.Wait()
	close(answered)
	there := make(map[string]bool)
	for name := range answered {
		there[name] = true
	}
	return there
}

func (t *Tier) awaitCaughtUp(ctx context.Context, name string) error {
	goal := t.raft.CommitIndex()
	for {
		s, err := t.statusOf(ctx, name)
		if err == nil && s.Applied >= goal {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(t.cfg.Heartbeat / 2):
		}
	}
}

func (t *Tier) statusOf(ctx context.Context, name string) (*PeerStatus, error) {
	b, err := t.peers.get(name).Call(ctx, methodStatus, nil)
	if err != nil {
		return nil, err
	}
	s := new(PeerStatus)
	if err := msgpack.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("malformed status of %s: %w", name, err)
	}
	return s, nil
}

// Handover gives the leadership, if this member has it, to the voter that has the most of the log: always to a named one, as
// a transfer to whoever answers first can race a step-down. Errors: no other voter answers, raft's, ctx's.
func (t *Tier) Handover(ctx context.Context) error {
	voters, _ := t.voters()
	if len(voters) == 0 {
		return nil
	}
	return t.HandoverTo(ctx, voters)
}

// HandoverTo is Handover to one of these other voters.
func (t *Tier) HandoverTo(ctx context.Context, voters []string) error {
	if t.raft.State() != raft.Leader {
		return nil
	}
	var best string
	var bestIndex uint64
	for _, v := range voters {
		callCtx, cancel := context.WithTimeout(ctx, 5*t.cfg.Heartbeat)
		s, err := t.statusOf(callCtx, v)
		cancel()
		if err == nil && s.Disk == "" && (best == "" || s.LastIndex > bestIndex) {
			best, bestIndex = v, s.LastIndex
		}
	}
	if best == "" {
		return errors.New("strong: no other voter answers, so the leadership stays here until this member stops")
	}
	addr, err := t.address(best)
	if err != nil {
		return err
	}
	moved := make(chan error, 1)
	f := t.raft.LeadershipTransferToServer(raft.ServerID(best), raft.ServerAddress(addr))
	t.work.Go(func() { moved <- t.await(f) })
	select {
	case err = <-moved:
		if err != nil {
			return fmt.Errorf("strong: hand the leadership to %s: %w", best, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("strong: hand the leadership to %s: %w", best, context.Cause(ctx))
	}
}

// Leader is the leader as this member knows it; empty for none.
func (t *Tier) Leader() (name, addr string) {
	a, id := t.raft.LeaderWithID()
	return string(id), string(a)
}

// LeaderChanged is closed at the next change of leader.
func (t *Tier) LeaderChanged() <-chan struct{} { return t.lead.changed() }

// Leads tells whether this member is the leader and has started its term.
func (t *Tier) Leads() bool { return t.leads() != 0 }

// Status is a picture of this member's part for people and metrics.
type Status struct {
	State       string      `json:"state"` // raft's: Follower, Candidate, Leader, Shutdown
	Leader      string      `json:"leader"`
	Term        uint64      `json:"term"`
	CommitIndex uint64      `json:"commit_index"`
	Applied     uint64      `json:"applied_index"` // by the tree
	LastIndex   uint64      `json:"last_index"`
	Zxid        tiers.Zxid  `json:"zxid"`
	Number      uint32      `json:"member_number"`
	Incarnation uint32      `json:"incarnation"`
	Servers     []Server    `json:"servers"`
	Tree        TreeStatus  `json:"tree"`
	Watches     WatchStatus `json:"watches"`
	LastContact time.Time   `json:"last_contact"` // with the leader; zero at the leader itself
	// Disk is what is wrong with the disk of this member, in words; empty: nothing.
	Disk string `json:"disk,omitempty"`
	// Patience is for how long the leader may be silent before this member finds it gone, RoundTrip the longest way to it and back of
	// the last half minute.
	Patience  time.Duration `json:"leader_patience_ns"`
	RoundTrip time.Duration `json:"leader_round_trip_ns"`
}

// TreeStatus counts what the replicated tree holds.
type TreeStatus struct {
	Znodes     int   `json:"znodes"`
	Ephemerals int   `json:"ephemerals"`
	Sessions   int   `json:"sessions"`
	DataBytes  int64 `json:"data_bytes"`
}

// WatchStatus counts the watches armed at this member.
type WatchStatus struct {
	Watchers int `json:"watchers"`
	Paths    int `json:"paths"`
	Watches  int `json:"watches"`
}

// Status may be called at any time, also after Close.
func (t *Tier) Status() Status {
	leader, _ := t.Leader()
	number, incarnation, _ := t.Number()
	s := Status{
		State: t.raft.State().String(), Leader: leader, Term: t.raft.CurrentTerm(), CommitIndex: t.raft.CommitIndex(),
		Applied: t.applied.now(), LastIndex: t.raft.LastIndex(), Zxid: t.tree.Zxid(),
		Number: number, Incarnation: incarnation, Servers: t.Servers(), LastContact: t.raft.LastContact(), Disk: t.diskTrouble(),
	}
	s.Patience, s.RoundTrip = t.detector.figures()
	ts := t.tree.Stats()
	s.Tree = TreeStatus{Znodes: ts.Znodes, Ephemerals: ts.Ephemerals, Sessions: ts.Sessions, DataBytes: ts.DataBytes}
	s.Watches.Watchers, s.Watches.Paths, s.Watches.Watches = t.tree.Hub().Stats()
	return s
}

// SessionState is what the replicated tree knows of a session.
type SessionState uint8

const (
	SessionUnknown SessionState = iota // never opened in this tier, as far as this member has applied
	SessionLive
	SessionEnded // for ever
)

// Session is a session of the replicated tree.
type Session struct {
	ID          tiers.SessionID
	Timeout     time.Duration
	Host        uint32 // number of the member that it is attached to
	Incarnation uint32 // of that member
	Ephemerals  int
}

// Lookup tells what this member's tree knows of a session; for the latest word, Sync first.
func (t *Tier) Lookup(id tiers.SessionID) (Session, SessionState) {
	info, status := t.tree.Session(id)
	s := Session{ID: id, Timeout: info.Timeout, Host: info.Host.Member, Incarnation: info.Host.Incarnation, Ephemerals: info.Ephemerals}
	switch status {
	case tree.SessionLive:
		return s, SessionLive
	case tree.SessionEnded:
		return s, SessionEnded
	}
	return s, SessionUnknown
}

// OnSessionMove calls f when a session is opened in this tier or attached to another member, from the goroutine that applies: it must not block.
func (t *Tier) OnSessionMove(f func(Session)) {
	t.mu.Lock()
	t.onMove = append(t.onMove, f)
	t.mu.Unlock()
}

// MemberName is the name of the member with that number; false if this member's tree has not heard of it.
func (t *Tier) MemberName(number uint32) (string, bool) {
	for n, m := range t.tree.Members() {
		if n == number {
			return m.Name, true
		}
	}
	return "", false
}

// Progress is how far those of the named members have applied the log that answer within a few heartbeats.
func (t *Tier) Progress(ctx context.Context, names []string) map[string]uint64 {
	ctx, cancel := context.WithTimeout(ctx, 5*t.cfg.Heartbeat)
	defer cancel()
	var mu sync.Mutex
	var asks sync.WaitGroup
	applied := make(map[string]uint64)
	for _, name := range names {
		asks.Go(func() {
			s := t.peerStatus()
			if name != t.cfg.Name {
				var err error
				if s, err = t.statusOf(ctx, name); err != nil {
					return
				}
			}
			mu.Lock()
			applied[name] = s.Applied
			mu.Unlock()
		})
	}
	asks.Wait()
	return applied
}
