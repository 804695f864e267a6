package tree

import (
	"slices"
	"strings"

	"github.com/strata-coord/strata/tiers"
)

// missed are the events that lead the watched paths from an old state to the present one. What happened in between is not
// known, so they are the fewest that can have: a watcher hears of each difference, not of each change. Deletions come first,
// children before their parents; then the rest, parents before their children.
func (t *Tree) missed(old *content) []tiers.Event {
	var gone, rest []tiers.Event
	for _, path := range t.watched(old) {
		before, now := old.znodes.get(path), t.znodes.get(path)
		event := func(e tiers.EventType, z *state) tiers.Event {
			return tiers.Event{Type: e, Path: path, Zxid: t.zxid, ACL: z.acl.entries}
		}
		again := before != nil && now != nil && before.czxid != now.czxid // deleted and created
		if before != nil && (now == nil || again) {
			gone = append(gone, event(tiers.NodeDeleted, before))
		}
		if now != nil && (before == nil || again) {
			rest = append(rest, event(tiers.NodeCreated, now))
		}
		if now == nil {
			continue
		}
		if before != nil && !again && before.mzxid != now.mzxid {
			rest = append(rest, event(tiers.NodeDataChanged, now))
		}
		if (before == nil || again) && now.kids.len() > 0 || before != nil && !again && before.pzxid != now.pzxid {
			rest = append(rest, event(tiers.NodeChildrenChanged, now))
		}
	}
	slices.Reverse(gone)
	return append(gone, rest...)
}

// watched are the paths of the old state and the present one that someone watches, sorted, each once.
func (t *Tree) watched(old *content) []string {
	paths, roots := t.hub.Watched()
	if len(roots) == 0 {
		return paths
	}
	below := func(path string, _ *state) bool {
		for _, root := range roots {
			if root == "/" || strings.HasPrefix(path, root) && len(path) > len(root) && path[len(root)] == '/' {
				paths = append(paths, path)
				break
			}
		}
		return true
	}
	t.znodes.each(below)
	old.znodes.each(below)
	slices.Sort(paths)
	return slices.Compact(paths)
}

// missedSessions reports the sessions that ended, came or moved between an old state and the present one.
func (t *Tree) missedSessions(old *content) {
	old.sessions.each(func(id tiers.SessionID, _ *session) bool {
		if t.sessions.get(id) == nil {
			t.toldEnd = append(t.toldEnd, id)
		}
		return true
	})
	t.sessions.each(func(id tiers.SessionID, s *session) bool {
		if was := old.sessions.get(id); was == nil || was.since != s.since {
			t.toldMove = append(t.toldMove, s.info(id))
		}
		return true
	})
	slices.Sort(t.toldEnd)
}
