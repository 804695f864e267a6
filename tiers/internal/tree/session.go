package tree

import (
	"maps"
	"slices"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// SessionStatus is what the tree knows of a session.
type SessionStatus uint8

const (
	SessionUnknown SessionStatus = iota // never opened here
	SessionLive
	SessionEnded // for ever
)

// SessionInfo is a live session.
type SessionInfo struct {
	ID         tiers.SessionID
	Timeout    time.Duration
	Host       Origin     // where its client is attached
	Since      tiers.Zxid // of the last open or move
	Ephemerals int
}

type session struct {
	timeout    time.Duration
	host       Origin
	since      tiers.Zxid
	ephemerals map[string]struct{} // paths; follows from the znodes
}

func (s *session) info(id tiers.SessionID) SessionInfo {
	return SessionInfo{ID: id, Timeout: s.timeout, Host: s.host, Since: s.since, Ephemerals: len(s.ephemerals)}
}

// endedSet is every session that was ever opened in the tree and has ended, as bits: ids of one start of a member follow each
// other, so a block of 512 is mostly one client crowd.
type endedSet struct{ blocks *table[int64, [8]uint64] }

func newEndedSet() *endedSet {
	return &endedSet{newTable[int64, [8]uint64](hashNumber)}
}

func (e *endedSet) has(id tiers.SessionID) bool {
	b := e.blocks.get(int64(id) >> 9)
	return b != nil && b[id>>6&7]&(1<<(id&63)) != 0
}

func (e *endedSet) add(id tiers.SessionID) {
	k := int64(id) >> 9
	b := e.blocks.change(k)
	if b == nil {
		b = new([8]uint64)
		e.blocks.put(k, b)
	}
	b[id>>6&7] |= 1 << (id & 63)
}

// Session tells what the tree knows of a session; the info is that of a live one.
func (t *Tree) Session(id tiers.SessionID) (SessionInfo, SessionStatus) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if s := t.live.get(id); s != nil {
		return s.info(id), SessionLive
	}
	if t.ended.has(id) {
		return SessionInfo{}, SessionEnded
	}
	return SessionInfo{}, SessionUnknown
}

// EachSession calls f with the live sessions until it returns false. f must not call the tree.
func (t *Tree) EachSession(f func(SessionInfo) bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	t.live.each(func(id tiers.SessionID, s *session) bool { return f(s.info(id)) })
}

// OnSessionEnd calls f at each session's end, from the applier, after the txn that ended it. Before the first Apply only.
func (t *Tree) OnSessionEnd(f func(tiers.SessionID)) { t.onEnd = append(t.onEnd, f) }

// OnSessionMove calls f whenever a session is opened or moved, from the applier, after that txn. Before the first Apply only.
func (t *Tree) OnSessionMove(f func(SessionInfo)) { t.onMove = append(t.onMove, f) }

// Expire ends the sessions that were not opened or moved after what their Expiry says, each in a commit of its own.
func (t *Tree) Expire(at int64, xs []Expiry) {
	t.mu.Lock()
	at = t.clock(at)
	for _, x := range xs {
		if s := t.live.get(x.Session); s != nil && s.since == x.Since {
			t.endSession(x.Session, t.zxid+1)
			t.succeed(t.zxid + 1)
		}
	}
	t.mu.Unlock()
	t.tell()
}

func (t *Tree) openSession(id tiers.SessionID, timeout time.Duration, host Origin, z tiers.Zxid) error {
	switch {
	case id == 0 || timeout <= 0:
		return tiers.ErrBadArguments
	case t.ended.has(id):
		return tiers.ErrSessionExpired
	}
	s := t.live.change(id)
	if s == nil {
		s = &session{ephemerals: make(map[string]struct{})}
		t.live.put(id, s)
	}
	s.timeout, s.host, s.since = timeout, host, z
	t.toldMove = append(t.toldMove, s.info(id))
	return nil
}

// endSession ends a live session for ever and deletes its ephemerals, all in commit z.
func (t *Tree) endSession(id tiers.SessionID, z tiers.Zxid) {
	s := t.live.get(id)
	for _, path := range slices.Sorted(maps.Keys(s.ephemerals)) {
		t.deleteZnode(path, z)
	}
	t.live.delete(id)
	t.ended.add(id)
	t.toldEnd = append(t.toldEnd, id)
}

// tell reports the sessions that ended or moved. Callers do not hold mu.
func (t *Tree) tell() {
	for _, info := range t.toldMove {
		for _, f := range t.onMove {
			f(info)
		}
	}
	for _, id := range t.toldEnd {
		for _, f := range t.onEnd {
			f(id)
		}
	}
	t.toldMove, t.toldEnd = t.toldMove[:0], t.toldEnd[:0]
}
