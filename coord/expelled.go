package coord

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/tiers/strong"
)

// ErrExpelled: a reconfiguration has taken this member out of its cluster.
var ErrExpelled = errors.New("removed from the cluster by a reconfiguration: stop this member, or take it in again with a reconfiguration; with an empty data directory it joins by itself")

const (
	// remindEvery is how often a leader tells a live member that it was removed.
	remindEvery = 10 * time.Second
	// readmitted is for how long a removed member must hear a leader before it believes that it is part of the cluster again.
	readmitted = time.Second
)

// verdict is what a leader tells a member about its place in the cluster.
type verdict struct {
	_msgpack struct{} `msgpack:",as_array"`
	Name     string   // whom it is about
	Identity [16]byte
	Cluster  string // of the leader
	Removed  bool   // it is no part of the cluster; else: it is about to be
}

// expulsion is whether this member was removed, as far as it knows. A member that was away learns it when it comes back.
type expulsion struct {
	mu      sync.Mutex
	removed bool
	heard   time.Time // since when a leader has been heard although it is removed; zero: none is
}

// Expelled tells why this member serves nobody any more: ErrExpelled, or nil. It may become nil again.
func (n *Node) Expelled() error {
	n.expulsion.mu.Lock()
	defer n.expulsion.mu.Unlock()
	if n.expulsion.removed {
		return ErrExpelled
	}
	return nil
}

// tellVerdict tells the member at addr.
func (n *Node) tellVerdict(ctx context.Context, addr string, v *verdict) {
	body, err := msgpack.Marshal(v)
	if err == nil {
		_, err = n.greeter.call(ctx, methodVerdict, addr, body)
	}
	if err != nil {
		n.log.Debug("a member was not told about its place in the cluster", "member", v.Name, "removed", v.Removed, "err", err)
	}
}

// handleVerdict notes what a leader says of this member.
func (n *Node) handleVerdict(body []byte) ([]byte, error) {
	var v verdict
	if err := msgpack.Unmarshal(body, &v); err != nil {
		return nil, fmt.Errorf("malformed verdict: %w", err)
	}
	if v.Name != n.cfg.Name || v.Identity != n.dir.identity() || n.cluster() != "" && v.Cluster != n.cluster() {
		return nil, errors.New("this is about another member")
	}
	n.setExpelled(v.Removed)
	return nil, nil
}

func (n *Node) setExpelled(removed bool) {
	n.expulsion.mu.Lock()
	was := n.expulsion.removed
	n.expulsion.removed, n.expulsion.heard = removed, time.Time{}
	n.expulsion.mu.Unlock()
	n.strong.SetRemoved(removed)
	switch {
	case removed && !was:
		n.log.Error("this member serves no clients any more", "err", ErrExpelled)
	case !removed && was:
		n.log.Info("this member is part of the cluster again")
	}
}

// lookForLeader ends the expulsion of a member that a leader sends its log again.
func (n *Node) lookForLeader(now time.Time) {
	leader, _ := n.strong.Leader()
	n.expulsion.mu.Lock()
	x := &n.expulsion
	switch {
	case leader == "":
		x.heard = time.Time{}
	case x.removed && x.heard.IsZero():
		x.heard = now
	}
	back := x.removed && !x.heard.IsZero() && now.Sub(x.heard) > readmitted
	n.expulsion.mu.Unlock()
	if back {
		n.setExpelled(false)
	}
}

// forgetRemoved drops, at every member, what gossip knows of removed members that are gone.
func (n *Node) forgetRemoved(registered []strong.Registered) {
	for _, m := range n.members() {
		if m.State != "" && m.State != stateAlive && m.Role == "" && m.Name != n.cfg.Name && rankOf(registered, m) == strong.RankRemoved {
			n.eventual.Forget(m.Name)
		}
	}
}

// rankOf is what was decided about a member.
func rankOf(registered []strong.Registered, m acquainted) strong.Rank {
	number := numberOf(registered, m.Name, m.identity)
	for _, r := range registered {
		if r.Number == number {
			return r.Rank
		}
	}
	return strong.RankOwn
}
