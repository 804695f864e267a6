package tiers

import "errors"

// Reconfig asks for another membership of the cluster, in the words of ZooKeeper's reconfig (zk-protocol 10.5).
type Reconfig struct {
	Session SessionID  // the asker's; 0: none
	Caller  []Identity // must have the permission to write /zookeeper/config

	// Joining has server specs and Leaving numbers of members, separated by commas: they change the configuration. If Whole, they mean
	// nothing, and Members has all servers of the new one.
	Joining, Leaving string
	Whole            bool
	Members          string
	// Version is that of the configuration to be changed, as its last line tells it; AnyConfig for any.
	Version int64
}

// AnyConfig is the Version of a Reconfig that is about whatever the configuration is.
const AnyConfig int64 = -1

// What can be wrong with a Reconfig, besides ErrSessionExpired, ErrBadVersion, ErrBadArguments, ErrNoAuth, ErrUnavailable and
// ErrUnknownOutcome.
var (
	ErrStandalone         = errors.New("the cluster never had more than one member")
	ErrReconfigInProgress = errors.New("another reconfiguration is under way")
	ErrNewConfigNoQuorum  = errors.New("too few voters of the new configuration are reachable and up to date")
)
