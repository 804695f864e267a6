package zkcompat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// Config is what a [Server] serves, and where.
type Config struct {
	Listen   net.Listener // owned by the Server from Listen on; nil if TLS has one
	Tier     tiers.Tier
	Sessions tiers.Sessions

	// Server tells about the member, for four-letter words and commands. Nil: nothing is known.
	Server func() ServerInfo
	// Applied is what the member has applied. Called at every handshake, so it must be quick. Nil: what Server says.
	Applied func() tiers.Zxid
	// Ready tells why clients cannot be served now: they are sent away at the handshake, to try another member. Nil: always ready.
	Ready func() error

	// ReadOnly tells whether the member is in read-only mode: it has been without a majority for longer than an election takes. Called for
	// every request that may write, so it must be cheap. Nil: never.
	ReadOnly func() bool
	// MajorityOnly tells that no route answers without a majority. Then clients that did not ask for read-only service are sent away in
	// read-only mode, to try another member; else they stay, for the routes that go on.
	MajorityOnly bool

	// Reconfig changes the membership of the cluster and returns the new content of /zookeeper/config with its Stat; it may take a minute,
	// and ends with its context. Its errors are told to clients by their kinds (tiers.ErrStandalone and those named there). Nil: it is
	// disabled, as ZooKeeper's is without reconfigEnabled.
	Reconfig func(context.Context, tiers.Reconfig) (tiers.View, error)
	// Gone tells why this member serves nobody any more: connections end within a fraction of a second, and at their next request, so
	// that clients look for another member. Called for every request, so it must be cheap. Nil: never.
	Gone func() error

	// Tick and the bounds of session timeouts are only reported (by the word conf): Sessions negotiates. Zero: 2 s, 2 and 20 ticks.
	Tick, MinTimeout, MaxTimeout time.Duration

	// MaxFrame is the longest request in bytes, without its length field (ZooKeeper's jute.maxbuffer). Zero: 1048575. setWatches and
	// setWatches2 may be [WatchesFactor] times as long.
	MaxFrame int

	MaxPerAddress  int // connections of one remote address; 0: no limit (ZooKeeper's maxClientCnxns)
	MaxConnections int // of all; 0: no limit

	// FourLetterWords are the words that are answered; srvr always is. Nil: all but stmk, wchc and wchp. "*" is all.
	FourLetterWords []string
	// SessionList is the sessions that this member knows, sorted by id, for the word dump. Nil: none.
	SessionList func() []SessionInfo
	// EachDataWatch calls its argument with every watch at this member that sees changes of data, once for each watcher and path. Nil: there are none.
	EachDataWatch func(func(w tiers.Watcher, path string))

	// SuperDigest is "super:<base64 of SHA-1>": who authenticates as that passes every ACL check. Empty: nobody does.
	SuperDigest string

	TLS  *TLS  // nil: without encryption only
	SASL *SASL // nil: not offered
	// EnforceAuth names schemes (digest, sasl, x509): a client without an identity in one of them is answered -124 and sent away
	// with its first request that is not to authenticate. Empty: anyone is served.
	EnforceAuth []string

	Logger *slog.Logger // nil: slog.Default()

	// HandshakeTimeout closes connections that have no session by then: TLS, the connect request, and its answer. Zero: 10 s.
	HandshakeTimeout time.Duration
}

// ServerInfo is what the four-letter words tell about a member. What is zero is told as zero.
type ServerInfo struct {
	Mode string // leader, follower, observer, standalone; empty: not serving
	// ReadOnly: the member is in read-only mode; Mode is the part that it plays otherwise.
	ReadOnly bool
	Version  string // of the program, as it shows itself to operators: digits, letters, dots, dashes
	Built    time.Time
	ID       int64 // the member's number
	Started  time.Time

	Zxid       tiers.Zxid // applied here
	Term       uint64     // raft's
	Znodes     int
	Ephemerals int
	DataBytes  int64

	Sessions      int // of the whole cluster that own something in the replicated tree, or did
	LocalSessions int // others, at this member
	Watches       int // at this member

	LeadsSince                                             time.Time // zero: it does not lead
	Voters                                                 int       // of the cluster, itself included
	Followers, SyncedFollowers, Observers, SyncedObservers int       // besides itself; synced are those that answer
	LeaderID                                               int64
	LeaderAddress                                          string // empty: there is none
	Membership                                             string // the text of /zookeeper/config; empty for a member that was always alone

	Fsync, Snapshot                        Measure
	LastProposal, MinProposal, MaxProposal int64 // bytes of what it proposed as the leader; -1 before the first
	// SnapshotZxid and SnapshotTime are those of the newest snapshot; a zero time for none.
	SnapshotZxid tiers.Zxid
	SnapshotTime time.Time

	DataDir                 string
	DataDirSize, LogDirSize int64 // bytes
}

// WatchesFactor is by how much a setWatches may exceed Config.MaxFrame: a client that comes back with all its watches in one
// request must not be turned away for having many.
const WatchesFactor = 16

func (c *Config) setDefaults() error {
	switch {
	case c.Listen == nil && (c.TLS == nil || c.TLS.Listen == nil):
		return errors.New("zkcompat: a listener is missing")
	case c.Tier == nil || c.Sessions == nil:
		return errors.New("zkcompat: a tier and a session table are needed")
	}
	if err := c.TLS.check(); err != nil {
		return err
	}
	if err := c.checkEnforced(); err != nil {
		return err
	}
	if c.SASL != nil && c.SASL.Users == nil {
		return errors.New("zkcompat: SASL without users: set its Users")
	}
	if c.SuperDigest != "" {
		if err := CheckSuperDigest(c.SuperDigest); err != nil {
			return fmt.Errorf("zkcompat: the super digest: %w", err)
		}
	}
	if c.Server == nil {
		c.Server = func() ServerInfo { return ServerInfo{Mode: "standalone"} }
	}
	if c.Applied == nil {
		c.Applied = func() tiers.Zxid { return c.Server().Zxid }
	}
	if c.Ready == nil {
		c.Ready = func() error { return nil }
	}
	if c.FourLetterWords == nil {
		c.FourLetterWords = defaultWords()
	}
	if err := CheckWords(c.FourLetterWords); err != nil {
		return fmt.Errorf("zkcompat: %w", err)
	}
	if c.SessionList == nil {
		c.SessionList = func() []SessionInfo { return nil }
	}
	if c.EachDataWatch == nil {
		c.EachDataWatch = func(func(tiers.Watcher, string)) {}
	}
	if c.ReadOnly == nil {
		c.ReadOnly = func() bool { return false }
	}
	if c.Tick <= 0 {
		c.Tick = 2 * time.Second
	}
	if c.MinTimeout <= 0 {
		c.MinTimeout = 2 * c.Tick
	}
	if c.MaxTimeout <= 0 {
		c.MaxTimeout = 20 * c.Tick
	}
	switch {
	case c.MaxFrame < 0 || c.MaxFrame > math.MaxInt32/WatchesFactor:
		return fmt.Errorf("zkcompat: Config.MaxFrame is %d: want 0 to %d bytes", c.MaxFrame, math.MaxInt32/WatchesFactor)
	case c.MaxFrame == 0:
		c.MaxFrame = 0xfffff
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.HandshakeTimeout <= 0 {
		c.HandshakeTimeout = 10 * time.Second
	}
	return nil
}
