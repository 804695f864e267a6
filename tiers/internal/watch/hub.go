// Package watch keeps which watchers watch which paths of one tree, and tells them of changes.
package watch

import (
	"slices"
	"strings"
	"sync"

	"github.com/strata-coord/strata/tiers"
)

// Hub is the watches of one tree at one member. Its methods may be called concurrently; a tree that calls Fire under the lock
// of its writes, and Add under the lock of its reads, makes arming atomic with reading.
type Hub struct {
	mu    sync.Mutex
	paths map[string]map[tiers.Watcher]scopes // guarded by mu
	// of has the paths of each watcher, to remove it as a whole. Guarded by mu.
	of map[tiers.Watcher]map[string]struct{}
	// recursive counts the recursive watches: without any, Fire need not look at ancestors. Guarded by mu.
	recursive int
	watches   int // guarded by mu
}

// scopes is the set of scopes that one watcher has on one path, by bit.
type scopes uint8

func bit(s tiers.Scope) scopes { return 1 << s }

const (
	anyScope  = scopes(1<<tiers.ScopeData | 1<<tiers.ScopeChildren | 1<<tiers.ScopePersistent | 1<<tiers.ScopeRecursive)
	recursive = scopes(1 << tiers.ScopeRecursive)
)

func bits(s tiers.Scope) scopes {
	if s == tiers.ScopeAny {
		return anyScope
	}
	return bit(s)
}

func count(s scopes) (n int) {
	for ; s != 0; s &= s - 1 {
		n++
	}
	return n
}

// New returns an empty hub.
func New() *Hub {
	return &Hub{paths: make(map[string]map[tiers.Watcher]scopes), of: make(map[tiers.Watcher]map[string]struct{})}
}

// Add arms a watch; arming it again changes nothing.
func (h *Hub) Add(path string, s tiers.Scope, w tiers.Watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ws := h.paths[path]
	if ws == nil {
		ws = make(map[tiers.Watcher]scopes)
		h.paths[path] = ws
	}
	if h.of[w] == nil {
		h.of[w] = make(map[string]struct{})
	}
	h.of[w][path] = struct{}{}
	h.set(ws, w, ws[w]|bit(s))
}

func (h *Hub) set(ws map[tiers.Watcher]scopes, w tiers.Watcher, to scopes) {
	from := ws[w]
	h.watches += count(to) - count(from)
	h.recursive += count(to&recursive) - count(from&recursive)
	ws[w] = to
}

// Has tells whether w has a watch of that scope (ScopeAny: of any) on exactly that path.
func (h *Hub) Has(path string, s tiers.Scope, w tiers.Watcher) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.paths[path][w]&bits(s) != 0
}

// Remove removes w's watches of that scope on exactly that path and tells whether there were any. An empty path with ScopeAny
// removes all watches of w.
func (h *Hub) Remove(path string, s tiers.Scope, w tiers.Watcher) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if path != "" || s != tiers.ScopeAny {
		return h.remove(path, bits(s), w)
	}
	had := false
	for p := range h.of[w] {
		had = h.remove(p, anyScope, w) || had
	}
	return had
}

func (h *Hub) remove(path string, s scopes, w tiers.Watcher) bool {
	ws := h.paths[path]
	if ws[w]&s == 0 {
		return false
	}
	h.set(ws, w, ws[w]&^s)
	if ws[w] == 0 {
		delete(ws, w)
		if delete(h.of[w], path); len(h.of[w]) == 0 {
			delete(h.of, w)
		}
		if len(ws) == 0 {
			delete(h.paths, path)
		}
	}
	return true
}

// Fire tells the watchers of one change. Those of one scope set get it once each; one-shot watches that match are consumed: a
// deletion consumes both kinds.
func (h *Hub) Fire(ev tiers.Event) {
	for _, w := range h.match(ev) {
		w.Notify(ev)
	}
}

func (h *Hub) match(ev tiers.Event) []tiers.Watcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	var oneShot, all scopes
	switch ev.Type {
	case tiers.NodeCreated, tiers.NodeDataChanged:
		oneShot = bit(tiers.ScopeData)
		all = oneShot | bit(tiers.ScopePersistent) | recursive
	case tiers.NodeDeleted:
		oneShot = bit(tiers.ScopeData) | bit(tiers.ScopeChildren)
		all = oneShot | bit(tiers.ScopePersistent) | recursive
	case tiers.NodeChildrenChanged:
		oneShot = bit(tiers.ScopeChildren)
		all = oneShot | bit(tiers.ScopePersistent)
	}
	var ws []tiers.Watcher
	for w, has := range h.paths[ev.Path] {
		if has&all != 0 {
			ws = append(ws, w)
		}
	}
	for _, w := range ws {
		h.remove(ev.Path, oneShot, w)
	}
	if h.recursive > 0 && all&recursive != 0 {
		for p := parent(ev.Path); p != ""; p = parent(p) {
			for w, has := range h.paths[p] {
				if has&recursive != 0 && !slices.Contains(ws, w) {
					ws = append(ws, w)
				}
			}
		}
	}
	return ws
}

// parent is the path one level up; empty above the root.
func parent(path string) string {
	if path == "/" {
		return ""
	}
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return "/"
	}
	return path[:i]
}

// Stats counts watchers, watched paths and watches.
func (h *Hub) Stats() (watchers, paths, watches int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.of), len(h.paths), h.watches
}

// Paths are the watched paths, sorted.
func (h *Hub) Paths() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	ps := make([]string, 0, len(h.paths))
	for p := range h.paths {
		ps = append(ps, p)
	}
	slices.Sort(ps)
	return ps
}

// Recursive tells whether anyone has a recursive watch on path.
func (h *Hub) Recursive(path string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, has := range h.paths[path] {
		if has&recursive != 0 {
			return true
		}
	}
	return false
}
