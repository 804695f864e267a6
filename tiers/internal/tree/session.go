package tree

import (
	"maps"
	"slices"
	"strings"
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
	Host       Origin     // where its client is attached: only from there it may write
	Since      tiers.Zxid // of the last open or move
	Ephemerals int
}

// session is a live session at one moment. It is not changed once it is in the tree, but for owned.
type session struct {
	timeout time.Duration
	host    Origin
	since   tiers.Zxid
	owned   map[string]struct{} // paths of its ephemerals; follows from the znodes. Guarded by Tree.mu; one for all moments
}

func (s *session) info(id tiers.SessionID) SessionInfo {
	return SessionInfo{ID: id, Timeout: s.timeout, Host: s.host, Since: s.since, Ephemerals: len(s.owned)}
}

// Session tells what the tree knows of a session; the info is that of a live one.
func (t *Tree) Session(id tiers.SessionID) (SessionInfo, SessionStatus) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if s := t.sessions.get(id); s != nil {
		return s.info(id), SessionLive
	}
	if t.ended.has(id) {
		return SessionInfo{}, SessionEnded
	}
	return SessionInfo{}, SessionUnknown
}

// EachSession calls f with the live sessions, in no order, until it returns false. f must not call the tree.
func (t *Tree) EachSession(f func(SessionInfo) bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	t.sessions.each(func(id tiers.SessionID, s *session) bool { return f(s.info(id)) })
}

// ephemeralsOf are the paths of a session's ephemerals that begin with prefix, sorted; nil if there are none. Callers hold mu at
// least shared.
func (t *Tree) ephemeralsOf(id tiers.SessionID, prefix string) (paths []string) {
	s := t.sessions.get(id)
	if s == nil {
		return nil
	}
	for path := range s.owned {
		if strings.HasPrefix(path, prefix) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// OnSessionEnd has f called at each session's end, by the applier, when the txn that ended it is applied and its events are
// fired. f may read the tree and must not block. To be set before the first Apply.
func (t *Tree) OnSessionEnd(f func(tiers.SessionID)) { t.onEnd = append(t.onEnd, f) }

// OnSessionMove is likewise called whenever a session is opened or moved, with how it is then.
func (t *Tree) OnSessionMove(f func(SessionInfo)) { t.onMove = append(t.onMove, f) }

// Expire ends the sessions that were not opened or moved after what their Expiry says, each in a commit of its own.
func (t *Tree) Expire(at int64, xs []Expiry) {
	t.mu.Lock()
	t.clock(at)
	for _, x := range xs {
		if s := t.sessions.get(x.Session); s != nil && s.since == x.Since {
			z := t.zxid + 1
			t.endSession(x.Session, z)
			t.succeed(z)
		}
	}
	t.mu.Unlock()
	t.tell()
}

// openSession makes a session known, or moves a known one to host, in commit z.
func (t *Tree) openSession(id tiers.SessionID, timeout time.Duration, host Origin, z tiers.Zxid) error {
	switch {
	case id == 0 || timeout < time.Millisecond:
		return tiers.ErrBadArguments
	case t.ended.has(id):
		return tiers.ErrSessionExpired
	}
	s := &session{timeout: timeout.Truncate(time.Millisecond), host: host, since: z}
	old := t.sessions.get(id)
	if old != nil {
		s.owned = old.owned
	} else {
		s.owned = make(map[string]struct{})
	}
	t.sessions.put(id, s)
	t.undo = append(t.undo, change{session: true, id: id, was: old})
	t.toldMove = append(t.toldMove, s.info(id))
	return nil
}

// endSession ends a session for ever and deletes its ephemerals, in the order of their paths, all in commit z. Nothing
// happens to one that is not live, and nothing is remembered of it.
func (t *Tree) endSession(id tiers.SessionID, z tiers.Zxid) {
	s := t.sessions.get(id)
	if s == nil {
		return
	}
	told := len(t.events)
	for _, path := range slices.Sorted(maps.Keys(s.owned)) {
		if t.flaw == FlawOrphan {
			break
		}
		t.take(path, t.znodes.get(path), z)
	}
	if t.flaw == FlawSessionEvent {
		t.events = t.events[:told]
	}
	t.sessions.put(id, nil)
	t.ended.add(id)
	t.undo = append(t.undo, change{session: true, id: id, was: s})
	t.toldEnd = append(t.toldEnd, id)
}

// tell reports the sessions that ended or moved, and excesses. Called by the applier without mu: who is told may read the tree.
func (t *Tree) tell() {
	if len(t.toldMove)+len(t.toldEnd)+len(t.excess) == 0 {
		return
	}
	for _, x := range t.excess {
		for _, f := range t.onExcess {
			f(x)
		}
	}
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
	t.toldMove, t.toldEnd, t.excess = nil, nil, nil
}
