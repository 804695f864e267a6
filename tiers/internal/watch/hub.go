// Package watch keeps which watchers watch which paths of one tree, and tells them of changes.
package watch

import (
	"slices"
	"strings"
	"sync"

	"github.com/strata-coord/strata/tiers"
)

// Hub is the watches of one tree at one member. Its methods may be called concurrently. A tree that calls Fire under the
// lock of its writes, and Add under the lock of its reads, makes arming atomic with reading.
//
// A watch is a (path, scope, watcher): arming it twice is the same as once. The scopes of one watcher on one path stand beside
// each other (as in ZooKeeper 3.9), so a one-shot watch never takes a persistent one away. Watchers are map keys: pointers, usually.
type Hub struct {
	mu    sync.Mutex
	paths map[string]map[tiers.Watcher]scopes // guarded by mu
	// of has the paths of each watcher, to remove it as a whole. Guarded by mu.
	of map[tiers.Watcher]map[string]struct{}
	// recursive counts the recursive watches: without any, Fire need not look at ancestors. Guarded by mu.
	recursive int
	watches   int // guarded by mu
}

// New returns an empty hub.
func New() *Hub {
	return &Hub{paths: make(map[string]map[tiers.Watcher]scopes), of: make(map[tiers.Watcher]map[string]struct{})}
}

// Add arms a watch of one scope. ScopeAny and unknown scopes arm nothing.
func (h *Hub) Add(path string, s tiers.Scope, w tiers.Watcher) {
	add := scopesOf(s)
	if add == 0 || add == all {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	ws := h.paths[path]
	if ws == nil {
		ws = make(map[tiers.Watcher]scopes, 1)
		h.paths[path] = ws
	}
	ps := h.of[w]
	if ps == nil {
		ps = make(map[string]struct{}, 1)
		h.of[w] = ps
	}
	ps[path] = struct{}{}
	h.set(ws, w, ws[w]|add)
}

// Has tells whether w has a watch of that scope (ScopeAny: of any) on exactly that path.
func (h *Hub) Has(path string, s tiers.Scope, w tiers.Watcher) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.paths[path][w]&scopesOf(s) != 0
}

// Remove removes w's watches of that scope (ScopeAny: of any) on exactly that path and tells whether there were any. An empty
// path with ScopeAny removes all watches of w. An event that is being fired at the same time may still reach w.
func (h *Hub) Remove(path string, s tiers.Scope, w tiers.Watcher) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if path != "" || s != tiers.ScopeAny {
		return h.remove(path, scopesOf(s), w)
	}
	had := len(h.of[w]) > 0
	for p := range h.of[w] {
		h.remove(p, all, w)
	}
	return had
}

// Fire tells every watcher that has a matching watch of the change, each once. One-shot watches that match are consumed; a
// deletion consumes the data and the child watch of the znode. Watchers are called without locks of the hub, in no
// particular order; the caller sees to it that one Fire ends before the next begins.
func (h *Hub) Fire(ev tiers.Event) {
	for _, w := range h.match(ev) {
		w.Notify(ev)
	}
}

// match returns whom to tell, and consumes their one-shot watches.
func (h *Hub) match(ev tiers.Event) []tiers.Watcher {
	oneShot, matching := matched(ev.Type)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watches == 0 {
		return nil
	}
	var to []tiers.Watcher
	at := h.paths[ev.Path]
	for w, has := range at {
		if has&matching != 0 {
			to = append(to, w)
		}
	}
	if h.recursive > 0 && matching&recursive != 0 {
		// Who has a recursive watch on several ancestors, or watches the path itself too, still gets one event.
		var seen map[tiers.Watcher]struct{}
		for p := parent(ev.Path); p != ""; p = parent(p) {
			for w, has := range h.paths[p] {
				if has&recursive == 0 || at[w]&matching != 0 {
					continue
				}
				if seen == nil {
					seen = make(map[tiers.Watcher]struct{})
				}
				if _, told := seen[w]; !told {
					seen[w] = struct{}{}
					to = append(to, w)
				}
			}
		}
	}
	for _, w := range to {
		h.remove(ev.Path, oneShot, w)
	}
	return to
}

// Watched are the paths with any watch, and those of them with a recursive one, both sorted.
func (h *Hub) Watched() (paths, recursively []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	paths = make([]string, 0, len(h.paths))
	for p, ws := range h.paths {
		paths = append(paths, p)
		for _, has := range ws {
			if has&recursive != 0 {
				recursively = append(recursively, p)
				break
			}
		}
	}
	slices.Sort(paths)
	slices.Sort(recursively)
	return paths, recursively
}

// Stats counts watchers, watched paths and watches.
func (h *Hub) Stats() (watchers, paths, watches int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.of), len(h.paths), h.watches
}

// set changes what w has on the path of ws and keeps the counts. Callers hold mu.
func (h *Hub) set(ws map[tiers.Watcher]scopes, w tiers.Watcher, to scopes) {
	from := ws[w]
	h.watches += to.len() - from.len()
	h.recursive += (to & recursive).len() - (from & recursive).len()
	ws[w] = to
}

// remove takes scopes of w on path away and tells whether it had one of them. Callers hold mu.
func (h *Hub) remove(path string, s scopes, w tiers.Watcher) bool {
	ws := h.paths[path]
	has := ws[w]
	if has&s == 0 {
		return false
	}
	h.set(ws, w, has&^s)
	if has&^s != 0 {
		return true
	}
	if delete(ws, w); len(ws) == 0 {
		delete(h.paths, path)
	}
	if delete(h.of[w], path); len(h.of[w]) == 0 {
		delete(h.of, w)
	}
	return true
}

// parent is the path one level up; empty above the root.
func parent(path string) string {
	if path == "/" {
		return ""
	}
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}
