package tree

import (
	"bytes"
	"maps"
	"math"

	"github.com/strata-coord/strata/tiers"
)

// A state that was saved comes back into a world that has gone on: txns were acknowledged after it that it does not know. What those have
// given away must not be given again: zxids (a fencing token is one), sequence numbers, session ids, member numbers. How many there were can't be known, but
// it can be bounded by the time since the state's last entry, at rates that no cluster reaches. So each count leaps:
//
//	zxid              by 2^32 and one for each microsecond, up to the next multiple of 2^32
//	sequence numbers  by 2^16 and one hundred for each second, at most 2^26
//	member numbers    by 16 and one for each hour, at most 1024
//
// As time counts, the same state may come back again and again: each time it leaps further than the time before can have gone.
const (
	zxidEpoch   = 1 << 32
	perMilli    = 1000
	centuryMS   = 100 * 365 * 24 * 3600 * 1000
	leastCreate = 1 << 16
	mostCreate  = 1 << 26
	leastMember = 16
	mostMember  = 1024
	lastMember  = 1<<15 - 1 // that fits into a session's id
)

// leap is how far counts go ahead of a saved state, by the milliseconds since its last entry.
type leap struct{ ms int64 }

func leapFrom(since, now int64) leap { return leap{min(max(now-since, 0), centuryMS)} }

func (l leap) zxid(from tiers.Zxid) tiers.Zxid {
	z := int64(from) + zxidEpoch + l.ms*perMilli
	return tiers.Zxid((z + zxidEpoch - 1) / zxidEpoch * zxidEpoch)
}

func (l leap) creates(from int32) int32 {
	n := int64(from) + min(leastCreate+l.ms/10, mostCreate)
	if n > math.MaxInt32 {
		return from // there is no room; a sequence ends there in any case
	}
	return int32(n)
}

func (l leap) member(from uint32) uint32 {
	return max(from, min(from+min(leastMember+uint32(l.ms/3_600_000), mostMember), lastMember-mostMember))
}

// endAll ends all sessions, with their ephemerals, in commit z. Nobody is told.
func (t *Tree) endAll(z tiers.Zxid) {
	for _, id := range t.sortedSessions() {
		t.endSession(id, z)
		t.forget()
	}
	t.toldEnd, t.excess = nil, nil
}

// ahead makes the sequence numbers of a znode leap, if it may have children. A container must not look as if it had had any.
func (z *state) ahead(l leap) {
	if z.kind != ephemeral && (z.kind != container || z.creates > 0) {
		z.creates = l.creates(z.creates)
	}
}

// follow makes t, which nobody sees yet, the successor of old in the same cluster, in a commit of its own:
//
//   - All sessions have ended, those of t and those of old, with their ephemerals.
//   - Members, their numbers, what each has sent and what became of it, the cluster's secret and ConfigPath are those of old: they are of the running members.
//   - zxid is greater than both's.
//   - A znode that differs from old's of that path was changed in this commit, by its mzxid (or created, by its czxid), its version is above both's, and
//     so are the sequence numbers of its children. Who has seen either state sees that it has gone on.
func (t *Tree) follow(old *content, at int64) {
	same := len(old.key) > 0 && bytes.Equal(t.key, old.key) // else: of another cluster, whose session ids mean nothing here
	l := leapFrom(t.at, max(at, old.at))
	t.zxid = l.zxid(max(t.zxid, old.zxid))
	t.at = max(t.at, old.at, at)
	t.endAll(t.zxid)
	if !same {
		t.ended = newEndedSet()
	}
	t.ended.ids.Or(old.ended.ids)
	old.sessions.each(func(id tiers.SessionID, _ *session) bool {
		t.ended.add(id)
		return true
	})
	t.key, t.origins, t.members = old.key, maps.Clone(old.origins), maps.Clone(old.members)
	t.starts, t.seals, t.outcomes = maps.Clone(old.starts), maps.Clone(old.seals), old.outcomes.now()
	t.znodes.each(func(path string, z *state) bool {
		z.after(old.znodes.get(path), t.zxid, l, same)
		return true
	})
	config := *old.znodes.get(ConfigPath)
	config.acl, config.kids = t.intern(config.acl.entries), t.znodes.get(ConfigPath).kids
	t.set(ConfigPath, &config, nil)
}

// after makes z the successor of w (nil: there is none) in commit zxid.
func (z *state) after(w *state, zxid tiers.Zxid, l leap, same bool) {
	if w == nil {
		z.czxid, z.mzxid, z.pzxid = zxid, zxid, zxid
		z.ahead(l)
		return
	}
	acls, others := z.acl.key != w.acl.key || z.aversion != w.aversion, z.czxid != w.czxid || z.kind != w.kind || z.ttl != w.ttl
	if z.czxid != w.czxid {
		z.czxid = zxid
	}
	if others || z.mzxid != w.mzxid || z.version != w.version || !bytes.Equal(z.data, w.data) {
		z.mzxid = zxid
		z.version = max(z.version, w.version) + 1
	}
	if acls {
		z.aversion = max(z.aversion, w.aversion) + 1
	}
	came := int32(0)
	for name := range z.kids.set() {
		if _, was := w.kids.set()[name]; !was {
			came++
		}
	}
	if came > 0 || z.kids.len() != w.kids.len() || z.pzxid != w.pzxid {
		z.pzxid = zxid
	}
	z.creates = max(z.creates, w.creates)
	if !same {
		z.ahead(l)
	}
	if z.creates < math.MaxInt32-came { // those that come back are created once more, so the cversion does not go back
		z.creates += came
	}
}

// set are the names in a list.
func (c *children) set() map[string]struct{} {
	if c == nil {
		return nil
	}
	return c.names
}

// Rebirth makes the tree the beginning of another cluster, of which the member with that identity is the only one yet; it may have
// another name. All sessions have ended; zxids, sequence numbers and member numbers leap ahead; the members of before are out of it, and so is what
// ConfigPath told of them; key is the new cluster's secret, so that neither members nor sessions of the old one are taken for its own.
// at is the time now, milliseconds since the Unix epoch. To be called before anyone reads. Error: there is no room for later zxids.
func (t *Tree) Rebirth(at int64, key []byte, identity [16]byte) error {
	if t.zxid < 0 || t.zxid > maxZxid {
		return errNoRoom
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l := leapFrom(t.at, at)
	t.zxid = l.zxid(t.zxid)
	t.at = max(t.at, at)
	t.endAll(t.zxid)
	t.key = bytes.Clone(key)
	var last uint32
	for n, m := range t.members {
		m.Rank = RankRemoved
		if m.Identity == identity {
			m.Rank = RankOwn
		}
		t.members[n] = m
		last = max(last, n)
	}
	// Nobody has the number below the next one: it only holds its place.
	if n := l.member(last); n > last {
		t.members[n] = Member{Rank: RankRemoved}
	}
	t.znodes.each(func(_ string, z *state) bool {
		z.ahead(l)
		return true
	})
	config := *t.znodes.get(ConfigPath)
	config.data, config.mzxid = []byte{}, t.zxid
	t.set(ConfigPath, &config, nil)
	return nil
}
