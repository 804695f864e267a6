// Package strong is the linearizable tier: a replicated tree whose commit order hashicorp/raft decides.
//
// # The way of a write
//
// Submit numbers the txn and queues it in this member's outbox. The sender carries the queue to the leader over one stream;
// the leader's proposer packs what all members sent into one raft entry; every member applies the entry to its tree; and the
// outbox of the member that was asked completes the Pending when its own tree has applied the txn. The answer comes out of
// the log, never out of the leader's mouth.
//
// # Exactly once
//
// Each member numbers its txns 1, 2, 3, ... under (member number, incarnation). After a change of leader, a broken stream or a
// silence, the outbox sends everything unanswered again, in order; the tree skips the numbers that it has seen.
//
// # Linearizable reads
//
// See round.go. hashicorp/raft's VerifyLeader is not a read barrier and is never used.
package strong

import (
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/internal/peernet"
)

// Config is what Open needs. Durations of zero take the default.
type Config struct {
	Name     string   // raft id of this member: unique in the cluster, the same at every start
	Identity [16]byte // of the data directory: two members with one name differ in it
	Dir      string   // where log, vote and snapshots live
	Port     *peernet.Port
	// Advertise is the address under which the other members reach Port.
	Advertise string
	// Resolve finds the address of a member now. It is asked at each dial; when it does not know, the address of the raft configuration is used.
	Resolve func(name string) (addr string, ok bool)
	Logger  *slog.Logger

	// Heartbeat sets the pace of failure detection: the leader is asked for a sign of life four times in it, and a leader that hangs is replaced
	// after 3/2 of it, or later where round trips are long; one whose process has ended at once. Shorter fails over faster and tolerates
	// less: it must exceed scheduling pauses. Default 200ms.
	Heartbeat time.Duration
	// MaxHeartbeat bounds to what round trips may stretch the patience with a silent leader. Default ten Heartbeats.
	MaxHeartbeat time.Duration
	// Patience is how long a request waits for a leader before it is refused with ErrUnavailable. Default 5s: an election is a pause.
	Patience time.Duration
	// TouchInterval is how often touched sessions are reported to the voters, in one batch each. Default 250ms.
	TouchInterval time.Duration
	// FreshInterval is how often a member that is asked for its staleness learns the commit index. Default 200ms.
	FreshInterval time.Duration
	// ReadOnlyAfter is for how long no majority can be confirmed before read-only mode begins. Default ten Heartbeats: elections are shorter.
	ReadOnlyAfter time.Duration
	// ReapInterval is how often the leader looks for containers and TTL znodes whose end has come. Default 60s.
	ReapInterval time.Duration
	// EnforceQuota: while this member leads, writes beyond a hard limit of a quota are refused with ErrQuotaExceeded. Else they are logged
	// only, as all are beyond soft limits.
	EnforceQuota bool
	// MaxTxn bounds the encoded size of one txn in bytes. Default 4 MiB.
	MaxTxn int

	// DiskDeadline is how long a write to the log may take before a leader counts its disk as hanging, and lets another member lead.
	// Default 5/2 of Heartbeat.
	DiskDeadline time.Duration

	// DiskReserve is how much of the disk is kept back, in bytes: see space. Default 64 MiB, or a twentieth of a smaller disk.
	DiskReserve uint64
	// Space tells how much room the disk has, and its size, in bytes. Default: that of the file system of Dir; without Dir, it is not known.
	Space func() (free, total uint64, err error)

	// Guard keeps a member without state out of raft until Bootstrap, Admit, or a leader that knows its Identity; see admission. Without it, a member that has lost its
	// disk can stand in for the voter that it was.
	Guard bool

	// Clock is the wall clock, default time.Now: what Stats tell, and what the ends of TTL znodes are counted by. Timers don't depend on it.
	Clock func() time.Time

	// Stores replaces the stores in Dir, for tests on fake time.
	Stores func() (*Stores, error)
	// tune, if set, changes raft's configuration: for tests of this package.
	tune func(*raft.Config)
	// flaw is a planted bug: for tests of this package.
	flaw flaw
}

// Stores are raft's three stores, and what closes them.
type Stores struct {
	Log       raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	// Reopen, if set, opens the log again after a write to it failed; the new one replaces Log, and the old one stays readable until
	// then. It is called by one goroutine at a time.
	Reopen func() (raft.LogStore, error)
	// Incarnation is this start's number: greater than any earlier start's of the same data. 0: Open counts in Stable.
	Incarnation uint32
	Closers     []io.Closer
	// snapshots is the directory of Snapshots; empty: it has none.
	snapshots string
}

func (c *Config) setDefaults() error {
	switch {
	case c.Name == "":
		return errors.New("strong: Config.Name is empty: give the member a name")
	case c.Port == nil:
		return errors.New("strong: Config.Port is missing")
	case c.Dir == "" && c.Stores == nil:
		return errors.New("strong: Config.Dir is empty: say where the log shall live")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Advertise == "" {
		c.Advertise = c.Port.Addr().String()
	}
	if c.Space == nil {
		c.Space = func() (free, total uint64, err error) {
			if c.Dir == "" {
				return 0, 0, errors.ErrUnsupported
			}
			return statfs(c.Dir)
		}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Resolve == nil {
		c.Resolve = func(string) (string, bool) { return "", false }
	}
	setDuration(&c.Heartbeat, 200*time.Millisecond)
	setDuration(&c.MaxHeartbeat, 10*c.Heartbeat)
	setDuration(&c.Patience, 5*time.Second)
	setDuration(&c.TouchInterval, 250*time.Millisecond)
	setDuration(&c.FreshInterval, 200*time.Millisecond)
	setDuration(&c.ReadOnlyAfter, 10*c.Heartbeat)
	setDuration(&c.ReapInterval, time.Minute)
	setDuration(&c.DiskDeadline, c.Heartbeat*5/2)
	if c.MaxTxn == 0 {
		c.MaxTxn = 4 << 20
	}
	return nil
}

func setDuration(d *time.Duration, otherwise time.Duration) {
	if *d == 0 {
		*d = otherwise
	}
}

func (c *Config) raft() *raft.Config {
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(c.Name)
	// The second line behind succession.go. A leader without a majority steps down after the lease.
	rc.HeartbeatTimeout = c.Heartbeat * 5 / 2
	rc.ElectionTimeout = rc.HeartbeatTimeout
	rc.LeaderLeaseTimeout = rc.HeartbeatTimeout
	rc.CommitTimeout = 250 * time.Millisecond // the last resort behind a beat
	rc.MaxAppendEntries = 256
	rc.SnapshotInterval = 30 * time.Second
	rc.SnapshotThreshold = 16384
	rc.TrailingLogs = 8192
	rc.ShutdownOnRemove = false
	rc.NoLegacyTelemetry = true
	rc.Logger = newHCLog(c.Logger)
	if c.tune != nil {
		c.tune(rc)
	}
	return rc
}
