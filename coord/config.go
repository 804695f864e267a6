package coord

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/strata-coord/strata/internal/peernet"
)

// Role is what a member is in the replicated tree.
type Role string

const (
	// Voter keeps the tree, and counts towards majorities.
	Voter Role = "voter"
	// Replica keeps the tree and serves clients, without a vote.
	Replica Role = "replica"
)

// The tiers that a Route can name.
const (
	TierStrong   = "strong"
	TierReadonly = "readonly"
	TierEventual = "eventual"
)

// Route gives the paths at and below Prefix to a tier; the longest prefix wins. It is the same on every member.
type Route struct {
	Prefix string
	Tier   string // TierStrong, TierReadonly or TierEventual
	// MaxStaleness is the age beyond which a readonly route refuses reads; 0: it never refuses for age.
	MaxStaleness time.Duration
}

// DefaultRoutes are those of a Config without any.
func DefaultRoutes() []Route {
	return []Route{
		{Prefix: "/", Tier: TierStrong},
		{Prefix: "/locks", Tier: TierStrong},
		{Prefix: "/services", Tier: TierEventual},
		{Prefix: "/config", Tier: TierReadonly},
		{Prefix: "/configs", Tier: TierReadonly},
	}
}

// Config says what member a Node is. Name, Dir and Bind are required.
type Config struct {
	// Name of the member: unique in the cluster, the same at every start.
	Name string
	// Dir keeps the log, snapshots and identity of this member. It is made if missing; it is refused if it holds anything else.
	Dir string
	// Bind is where the other members reach this one, TCP and UDP, "host:port"; port 0 takes a free one.
	Bind string
	// Advertise is the address that the other members are told, if it is not Bind's.
	Advertise string
	// ClientAddress is where this member's listener for ZooKeeper clients is, "host:port"; empty: it has none. Clients learn it from the
	// znode /zookeeper/config, so they must reach it. A host that stands for all addresses is replaced by one of this machine's.
	ClientAddress string
	// Join are addresses of other members; this one may be among them. Some suffice: the rest is learnt.
	Join []string
	// BootstrapExpect counts at the first start only: the cluster is formed when so many voters are there. With 0 or 1, a member that
	// has nobody to join forms a cluster of its own, and one that has never does: it waits to be added.
	BootstrapExpect int
	// Role of this member; default Voter.
	Role Role
	// Routes; none: DefaultRoutes. "/" is strong unless a route says otherwise.
	Routes []Route

	// Tick is the unit of session timeouts. Default 2s.
	Tick time.Duration
	// MinSessionTimeout and MaxSessionTimeout clamp what clients ask for. Default 2 and 20 ticks.
	MinSessionTimeout, MaxSessionTimeout time.Duration

	// Heartbeat sets the pace at which a leader that hangs is noticed: it is replaced after 3/2 of it, or after 4 round trips where those take
	// longer, up to MaxHeartbeat. A leader whose process has ended is replaced at once. Shorter tolerates less: scheduling pauses must not exceed
	// it. Default 200ms, and ten Heartbeats. Give all members the same.
	Heartbeat, MaxHeartbeat time.Duration

	// DiskDeadline is how long a write to the log may take before a leader lets another member lead. Default 5/2 of Heartbeat; at least Heartbeat.
	DiskDeadline time.Duration
	// DiskReserve is how much of the disk under Dir is kept back, in bytes: while the disks of a majority have less room, writes fail with
	// tiers.ErrNoSpace, but for deletes and the ends of sessions. Default 64 MiB, or a twentieth of a smaller disk.
	DiskReserve uint64

	// ContainerCheckInterval is how often the leader looks for containers without children and TTL znodes whose time is over, down to
	// tens of milliseconds. Default 60s. It is the leader's that counts: give all members the same.
	ContainerCheckInterval time.Duration

	// EnforceQuota: writes beyond a hard limit of a quota in /zookeeper/quota are refused. Else they are only logged, as all are beyond soft
	// limits. It is the leader's that counts: give all members the same.
	EnforceQuota bool

	// MaxTxn bounds a replicated txn, encoded, in bytes. Default, and least, 4 MiB.
	MaxTxn int

	Logger *slog.Logger
	// Network replaces the operating system's, for tests.
	Network peernet.Network
}

// minHeartbeat leaves room for Go's scheduler.
const minHeartbeat = 20 * time.Millisecond

func (c *Config) complete() error {
	switch {
	case c.Name == "":
		return errors.New("coord: Config.Name is empty: give the member a name that is unique in the cluster")
	case strings.ContainsAny(c.Name, " \t\r\n/=,"):
		return fmt.Errorf("coord: Config.Name %q: a member's name can't contain spaces, slashes, commas or equals signs", c.Name)
	case c.Dir == "":
		return errors.New("coord: Config.Dir is empty: say where this member keeps its data")
	case c.Bind == "":
		return errors.New(`coord: Config.Bind is empty: say where the other members reach this one, like "127.0.0.1:7400"`)
	case c.ClientAddress != "" && !announceable(c.ClientAddress):
		return fmt.Errorf("coord: Config.ClientAddress %q: want HOST:PORT, of at most %d bytes", c.ClientAddress, maxClientAddress)
	case c.BootstrapExpect < 0:
		return fmt.Errorf("coord: Config.BootstrapExpect is %d: a cluster has at least one voter", c.BootstrapExpect)
	case c.Role != "" && c.Role != Voter && c.Role != Replica:
		return fmt.Errorf("coord: Config.Role %q: a member is a %s or a %s", c.Role, Voter, Replica)
	case c.Heartbeat < 0 || c.Heartbeat > 0 && c.Heartbeat < minHeartbeat:
		return fmt.Errorf("coord: Config.Heartbeat is %v: want at least %v, or 0 for the default", c.Heartbeat, minHeartbeat)
	case c.DiskDeadline < 0 || c.DiskDeadline > 0 && c.DiskDeadline < max(c.Heartbeat, minHeartbeat):
		return fmt.Errorf("coord: Config.DiskDeadline is %v: want at least Heartbeat, or 0 for the default", c.DiskDeadline)
	case c.MaxHeartbeat < 0 || c.MaxHeartbeat > 0 && c.MaxHeartbeat < c.Heartbeat:
		return fmt.Errorf("coord: Config.MaxHeartbeat is %v: want at least Heartbeat, %v, or 0 for the default", c.MaxHeartbeat, c.Heartbeat)
	case c.ContainerCheckInterval < 0:
		return fmt.Errorf("coord: Config.ContainerCheckInterval %v can't be negative", c.ContainerCheckInterval)
	case c.Tick < 0, c.MinSessionTimeout < 0, c.MaxSessionTimeout < 0:
		return errors.New("coord: Config.Tick, MinSessionTimeout and MaxSessionTimeout can't be negative")
	}
	if c.Role == "" {
		c.Role = Voter
	}
	if c.Tick == 0 {
		c.Tick = 2 * time.Second
	}
	if c.MinSessionTimeout == 0 {
		c.MinSessionTimeout = 2 * c.Tick
	}
	if c.MaxSessionTimeout == 0 {
		c.MaxSessionTimeout = max(20*c.Tick, c.MinSessionTimeout)
	}
	if c.MinSessionTimeout > c.MaxSessionTimeout {
		return fmt.Errorf("coord: Config.MinSessionTimeout %v is above MaxSessionTimeout %v", c.MinSessionTimeout, c.MaxSessionTimeout)
	}
	c.MaxTxn = max(c.MaxTxn, 4<<20)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Network == nil {
		c.Network = peernet.System()
	}
	return c.completeRoutes()
}

func (c *Config) completeRoutes() error {
	if len(c.Routes) == 0 {
		c.Routes = DefaultRoutes()
	}
	c.Routes = slices.Clone(c.Routes)
	if !slices.ContainsFunc(c.Routes, func(r Route) bool { return r.Prefix == "/" }) {
		c.Routes = append(c.Routes, Route{Prefix: "/", Tier: TierStrong})
	}
	for _, r := range c.Routes {
		switch r.Tier {
		case TierStrong, TierReadonly, TierEventual:
		default:
			return fmt.Errorf("coord: route %s: no tier is called %q: there are %s, %s and %s", r.Prefix, r.Tier, TierStrong, TierReadonly, TierEventual)
		}
		if r.MaxStaleness < 0 || r.MaxStaleness > 0 && r.Tier != TierReadonly {
			return fmt.Errorf("coord: route %s: MaxStaleness %v: only a %s route has one, and it is positive", r.Prefix, r.MaxStaleness, TierReadonly)
		}
	}
	slices.SortFunc(c.Routes, func(a, b Route) int { return strings.Compare(a.Prefix, b.Prefix) })
	return nil
}
