package zkcompat

import (
	"slices"
	"strings"

	"github.com/strata-coord/strata/tiers"
)

// arming is a watch whose arming reply is not sent yet.
type arming struct {
	path  string
	scope tiers.Scope
	// firm: zxids of these events don't compare with those of replies, so they are never taken to be older than the arming.
	firm bool
	seq  uint64 // of the slot
}

// matches tells whether the watch sees such an event of its path, or (recursive) of one below.
func (a *arming) matches(t tiers.EventType) bool {
	switch a.scope {
	case tiers.ScopeData:
		return t != tiers.NodeChildrenChanged
	case tiers.ScopeChildren:
		return t == tiers.NodeChildrenChanged || t == tiers.NodeDeleted
	case tiers.ScopePersistent:
		return true
	case tiers.ScopeRecursive:
		return t != tiers.NodeChildrenChanged
	}
	return false
}

// arms are the watches of a connection whose arming replies are not sent yet. output.mu guards it.
type arms struct {
	exact     map[string][]arming
	recursive []arming
}

func (a *arms) add(w arming) {
	switch w.scope {
	case 0:
	case tiers.ScopeRecursive:
		a.recursive = append(a.recursive, w)
	default:
		if a.exact == nil {
			a.exact = make(map[string][]arming)
		}
		a.exact[w.path] = append(a.exact[w.path], w)
	}
}

func (a *arms) remove(w arming) {
	same := func(x arming) bool { return x.seq == w.seq }
	switch w.scope {
	case 0:
	case tiers.ScopeRecursive:
		a.recursive = slices.DeleteFunc(a.recursive, same)
	default:
		if left := slices.DeleteFunc(a.exact[w.path], same); len(left) > 0 {
			a.exact[w.path] = left
		} else {
			delete(a.exact, w.path)
		}
	}
}

// hold tells which slot's reply the event must not overtake (0: none), as the watch that it is for may be the one armed there.
func (a *arms) hold(ev *tiers.Event) (after uint64, firm bool) {
	for _, w := range a.exact[ev.Path] {
		if w.matches(ev.Type) {
			after, firm = max(after, w.seq), firm || w.firm
		}
	}
	for _, w := range a.recursive {
		if w.matches(ev.Type) && below(ev.Path, w.path) {
			after, firm = max(after, w.seq), firm || w.firm
		}
	}
	return after, firm
}

// below tells whether path is top or below it.
func below(path, top string) bool {
	rest, ok := strings.CutPrefix(path, top)
	return ok && (rest == "" || rest[0] == '/' || top == "/")
}
