package coord

import (
	"context"
	"net"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// Node is one member of a cluster. Its methods may be called concurrently.
type Node struct{ cfg Config }

// Open starts a member. It returns when the member is started, not when it is ready: see Ready. ctx bounds Open alone. Errors say
// what to do: a taken port, a data directory that is in use, corrupt, another member's or no member's, another live member of the
// same name; then nothing was changed.
func Open(_ context.Context, cfg Config) (*Node, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	return nil, errNotAssembled
}

// Tier is the whole tree: each path under the contract of its route, each session opened where it needs to be.
func (n *Node) Tier() tiers.Tier { return nil }

// Sessions is the session table of this member, for listeners.
func (n *Node) Sessions() tiers.Sessions { return nil }

// Ready returns when this member is part of a cluster, and has caught up with it. Error: ctx's, with what is awaited.
func (n *Node) Ready(context.Context) error { return errNotAssembled }

// ReadyErr is nil when this member is ready now, else it says what is awaited.
func (n *Node) ReadyErr() error { return errNotAssembled }

// Status is a picture of this member.
func (n *Node) Status() Status { return Status{Member: n.cfg.Name} }

// Session is the node's own session, opened at first use and, when it was lost, again.
func (n *Node) Session(context.Context) (*Session, error) { return nil, errNotAssembled }

// NewSession opens another session; its Close is the caller's business, or ends with the Node's.
func (n *Node) NewSession(context.Context, time.Duration) (*Session, error) {
	return nil, errNotAssembled
}

// Addr is where the other members reach this one: with the port that was really taken.
func (n *Node) Addr() net.Addr { return nil }

// Close hands the leadership over, ends the node's own sessions, leaves the cluster's membership and gives everything back. Sessions
// of clients live on until their timeout. Later calls return nil.
func (n *Node) Close() error { return nil }
