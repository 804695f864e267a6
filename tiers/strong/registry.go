package strong

import (
	"bytes"
	"fmt"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// Rank is what a reconfiguration has decided about a member; it is replicated.
type Rank = tree.Rank

const (
	RankOwn     = tree.RankOwn     // nothing: the member is what it asks to be
	RankReplica = tree.RankReplica // it has no vote, whatever it asks for
	RankRemoved = tree.RankRemoved // it is not to be taken in again
)

// Registered is a member that has a number, whether or not it is part of the cluster now.
type Registered struct {
	Number   uint32
	Name     string
	Identity [16]byte
	Rank     Rank
}

// Registered are all members that ever registered, as far as this one has applied, in the order of their numbers.
func (t *Tier) Registered() (rs []Registered) {
	for n, m := range t.tree.Members() {
		rs = append(rs, Registered{Number: n, Name: m.Name, Identity: m.Identity, Rank: m.Rank})
	}
	return rs
}

// Enroll gives a member its number before it asks for it. Leaders only. Errors: raft's.
func (t *Tier) Enroll(name string, identity [16]byte) error {
	if err := t.commit(&tree.Entry{Register: &tree.Registration{Name: name, Identity: identity}}); err != nil {
		return fmt.Errorf("strong: register %s: %w", name, err)
	}
	return nil
}

// SetRank ranks the member with that number. Leaders only. Errors: raft's.
func (t *Tier) SetRank(number uint32, r Rank) error {
	if err := t.commit(&tree.Entry{Standings: []tree.Standing{{Member: number, Rank: r}}}); err != nil {
		return fmt.Errorf("strong: rank member %d: %w", number, err)
	}
	return nil
}

// Configure makes ZooKeeper's configuration znode tell of the members. servers are its lines without that of the version; a commit
// follows even if they are the same as before. Leaders only. Errors: raft's.
func (t *Tier) Configure(servers []byte) error {
	if err := t.commit(&tree.Entry{Config: servers}); err != nil {
		return fmt.Errorf("strong: publish the configuration: %w", err)
	}
	return nil
}

// Configuration is ZooKeeper's configuration znode as this member has it: its lines without that of the version, and all of it. Both are
// empty in a cluster that never had a second member.
func (t *Tier) Configuration() (servers []byte, v tiers.View, err error) {
	v, err = t.tree.Read(tiers.Query{Path: tree.ConfigPath, Want: tiers.WantData, Caller: []tiers.Identity{{Scheme: "super"}}})
	if i := bytes.LastIndexByte(v.Data, '\n'); i >= 0 {
		servers = v.Data[:i]
	}
	return servers, v, err
}

// MayConfigure tells whether the caller may change the configuration, by the ACL of its znode.
func (t *Tier) MayConfigure(caller []tiers.Identity) bool { return t.tree.MayConfigure(caller) }

// SetRemoved tells this member that it is no part of the cluster any more, or is again. While it is not, what it is asked is refused
// at once with ErrUnavailable; what was asked before gets no answer here, so it ends as if the leader had been lost.
func (t *Tier) SetRemoved(removed bool) {
	if was := t.removed.Swap(removed); removed && !was {
		t.giveUp(time.Now())
	}
}
