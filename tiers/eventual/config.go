// Package eventual is the tier for discovery: each member writes at once to its own memory, and what it wrote spreads.
//
// # Records
//
// The tree is a view of a mergeable map (package crdt). A write is acknowledged when it is in this member's map. It is sent to all
// reachable members at once, over warm streams; and about every second each member compares what it knows with a few others
// and gets exactly what it lacks, so nothing depends on those messages arriving. Both sides of a partition stay writable, and
// converge when it heals: the last word on a path wins.
//
// # Membership
//
// hashicorp/memberlist tells who is alive, and nothing else: records do not ride on it. It forgets members that were away for long, so
// this package keeps trying those that it ever knew.
//
// # Ephemerals
//
// An ephemeral belongs to a session and to the member to which the session is attached, its host. When the host is no
// longer reachable, the others keep its ephemerals for the session's timeout, so that the client can come back by another member,
// which takes them over; and as long as they cannot reach a majority of the members they keep everything, as it may be they who
// are cut off. A host that comes back says again what is its own; a new start of it does not hold what the last one did.
//
// Which host has a session is decided by when it was attached, on the hybrid clock: a former host, on the other side of a
// partition say, cannot take away what the new one holds, and what it still held goes to the new one.
package eventual

import (
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/tiers"
)

// Config is what Open needs. Durations of zero take the default.
type Config struct {
	Name      string   // unique in the cluster, the same at every start
	Identity  [16]byte // of the member's data: two members with one name differ in it
	Port      *peernet.Port
	Advertise string   // the address under which the others reach Port; default: its own
	Seeds     []string // addresses of other members
	Dir       string   // where records and the known members are kept; empty: nowhere
	Mounts    []string // paths that always exist here and cannot be deleted: where the router mounts this tree
	Meta      []byte   // what the others shall see of this member; at most 256 bytes
	Zxid      func() tiers.Zxid
	// Number is this member's number in the cluster, never another's, from 1; false before it is known. Nil: sequential creates are
	// refused, as nothing makes their names unique.
	Number func() (uint32, bool)
	Label  string // members of another label are not heard
	Logger *slog.Logger
	// Expire makes the tier itself end the sessions hosted here that are not touched for their timeout. Leave it off where a session
	// table does that: touches then cost nothing.
	Expire bool

	ProbeInterval time.Duration // how often memberlist probes another member. Default 500ms
	ProbeTimeout  time.Duration // Default 200ms
	SyncInterval  time.Duration // how often what is known is compared with another member. Default 1s
	JoinInterval  time.Duration // how often members that are away are tried. Default 2s
	TombstoneAge  time.Duration // how long deletions, and members that are away, are remembered: who is away for longer may bring back what was deleted. Default 24h
}

func (c *Config) setDefaults() error {
	switch {
	case c.Name == "":
		return errors.New("eventual: Config.Name is empty: give the member a name")
	case c.Port == nil:
		return errors.New("eventual: Config.Port is missing")
	case len(c.Meta) > maxMeta:
		return fmt.Errorf("eventual: Config.Meta has %d bytes: at most %d fit", len(c.Meta), maxMeta)
	}
	for _, m := range c.Mounts {
		if !strings.HasPrefix(m, "/") || path.Clean(m) != m {
			return errors.New("eventual: mount " + m + " is not a clean path")
		}
	}
	if !slices.Contains(c.Mounts, "/") && len(c.Mounts) == 0 {
		c.Mounts = []string{"/"}
	}
	if c.Zxid == nil {
		c.Zxid = func() tiers.Zxid { return 0 }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Advertise == "" {
		c.Advertise = c.Port.Addr().String()
	}
	for _, d := range []struct {
		v         *time.Duration
		otherwise time.Duration
	}{
		{&c.ProbeInterval, 500 * time.Millisecond}, {&c.ProbeTimeout, 200 * time.Millisecond}, {&c.SyncInterval, time.Second},
		{&c.JoinInterval, 2 * time.Second}, {&c.TombstoneAge, 24 * time.Hour},
	} {
		if *d.v == 0 {
			*d.v = d.otherwise
		}
	}
	return nil
}
