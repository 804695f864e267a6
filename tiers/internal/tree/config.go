package tree

import (
	"fmt"

	"github.com/strata-coord/strata/tiers"
)

// Rank is what a reconfiguration has decided about a member. The values are written to the log and to snapshots.
type Rank uint8

const (
	RankOwn     Rank = iota // nothing: the member is what it asks to be
	RankReplica             // it has no vote, whatever it asks for
	RankRemoved             // it is not to be taken in again
	ranks                   // how many there are
)

// Standing gives a member a rank.
type Standing struct {
	Member uint32
	Rank   Rank
}

// SetStandings ranks registered members. Others, and ranks of later versions, are passed over, on every member alike.
func (t *Tree) SetStandings(ss []Standing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range ss {
		if m, ok := t.members[s.Member]; ok && s.Rank < ranks {
			m.Rank = s.Rank
			t.members[s.Member] = m
		}
	}
}

// Configure makes ConfigPath tell of the members, in a commit of its own, whose zxid is the version in the last line (zk-protocol 10.5).
func (t *Tree) Configure(at int64, servers []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, zxid := t.clock(at), t.zxid+1
	old := t.znodes.get(ConfigPath)
	z := *old
	z.data = fmt.Appendf(nil, "%s\nversion=%x", servers, int64(zxid))
	z.version = -1
	z.mzxid, z.mtime = zxid, at
	t.edit(ConfigPath, &z, nil)
	t.account(ConfigPath, 0, len(z.data)-len(old.data))
	t.event(tiers.NodeDataChanged, ConfigPath, &z, zxid)
	t.succeed(zxid)
}

// MayConfigure tells whether the caller may change the configuration: by the ACL of ConfigPath, only super may at first.
func (t *Tree) MayConfigure(caller []tiers.Identity) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.znodes.get(ConfigPath).acl.allows(tiers.PermWrite, caller)
}
