package eventual

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/eventual/crdt"
	"github.com/strata-coord/strata/tiers/internal/watch"
)

// view is the map as a tree of znodes, with what is this member's own: zxids and counters of child lists.
//
// A znode is there if its record says so, or if something below it is: a record can arrive before its parent's, and outlive it.
type view struct {
	hub  *watch.Hub
	zxid func() tiers.Zxid

	// mu is held for each change with the firing of its events, and shared by readers: so a watch armed by a read sees every
	// change after it.
	mu      sync.RWMutex
	records *crdt.Map         // guarded by mu
	znodes  map[string]*znode // guarded by mu; those that are there
	mounts  map[string]bool   // never changes
	// hosted counts the live ephemerals of each host by session, and hidden are those of them that are not shown, as their host has
	// been away too long. Guarded by mu.
	hosted map[crdt.Origin]map[int64]int
	hidden map[crdt.Origin]map[int64]bool
	// owned has the paths of each session's live ephemerals. Guarded by mu.
	owned  map[int64]map[string]struct{}
	events []tiers.Event // of the change being made. Guarded by mu.
}

// znode is what this member knows of a path besides its record. Zxids are those of the replicated tree when this member
// learnt of the change, so they never exceed what it has applied.
type znode struct {
	record              *crdt.Record // nil: implied by what is below, or a mount
	czxid, mzxid, pzxid tiers.Zxid
	cversion            int32
	kids                map[string]struct{}
	sorted              atomic.Pointer[[]string] // kids, made at the first read after a change
}

func newView(records *crdt.Map, mounts []string, zxid func() tiers.Zxid) *view {
	v := &view{hub: watch.New(), zxid: zxid, records: records, znodes: make(map[string]*znode), mounts: make(map[string]bool),
		hosted: make(map[crdt.Origin]map[int64]int), hidden: make(map[crdt.Origin]map[int64]bool), owned: make(map[int64]map[string]struct{})}
	for _, m := range mounts {
		v.mounts[m] = true
	}
	for _, m := range mounts {
		v.appear(m)
	}
	records.All(func(r *crdt.Record) bool {
		v.index(r, 1)
		v.show(r.Path)
		return true
	})
	v.events = nil
	return v
}

func parentOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

func nameOf(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// visible tells whether a path's record is a znode now. Callers hold mu.
func (v *view) visible(r *crdt.Record) bool {
	return r != nil && !r.Deleted && (r.Session == 0 || !v.hidden[r.Host][r.Session])
}

// put takes a record in, shows what follows, and tells what it replaced and whether it is the last word. Callers hold mu.
func (v *view) put(r *crdt.Record) (old *crdt.Record, is bool) {
	old = v.records.Get(r.Path)
	if !v.records.Merge(r) {
		return old, false
	}
	if old != nil {
		v.index(old, -1)
	}
	v.index(r, 1)
	v.show(r.Path)
	v.fire()
	return old, true
}

// index counts a record in (1) or out (-1) of hosted and owned. Callers hold mu.
func (v *view) index(r *crdt.Record, by int) {
	if r.Deleted || r.Session == 0 {
		return
	}
	sessions, paths := v.hosted[r.Host], v.owned[r.Session]
	if by > 0 {
		if sessions == nil {
			sessions = make(map[int64]int)
			v.hosted[r.Host] = sessions
		}
		if paths == nil {
			paths = make(map[string]struct{})
			v.owned[r.Session] = paths
		}
		sessions[r.Session]++
		paths[r.Path] = struct{}{}
		return
	}
	if sessions[r.Session]--; sessions[r.Session] == 0 {
		delete(sessions, r.Session)
		v.hide(r.Host, r.Session, false)
	}
	if len(sessions) == 0 {
		delete(v.hosted, r.Host)
	}
	if delete(paths, r.Path); len(paths) == 0 {
		delete(v.owned, r.Session)
	}
}

// hide notes whether a host's ephemerals of a session are shown. Callers hold mu, and show the paths.
func (v *view) hide(host crdt.Origin, session int64, hide bool) {
	of := v.hidden[host]
	if !hide {
		if delete(of, session); len(of) == 0 {
			delete(v.hidden, host)
		}
		return
	}
	if of == nil {
		of = make(map[int64]bool)
		v.hidden[host] = of
	}
	of[session] = true
}

func (v *view) fire() {
	for _, e := range v.events {
		v.hub.Fire(e)
	}
	v.events = v.events[:0]
}

func (v *view) event(t tiers.EventType, path string, z tiers.Zxid) {
	v.events = append(v.events, tiers.Event{Type: t, Path: path, Zxid: z, ACL: tiers.OpenACL})
}

// ephemerals are the live records of a session, in the order of paths. Callers hold mu.
func (v *view) ephemerals(session int64) (rs []*crdt.Record) {
	for _, path := range slices.Sorted(maps.Keys(v.owned[session])) {
		rs = append(rs, v.records.Get(path))
	}
	return rs
}

// ephemeralPaths are those that are shown of a session's ephemerals, if they begin with prefix, sorted. Callers hold mu.
func (v *view) ephemeralPaths(session int64, prefix string) (paths []string) {
	for path := range v.owned[session] {
		if strings.HasPrefix(path, prefix) && v.visible(v.records.Get(path)) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// descendants counts the znodes below z. Callers hold mu.
func (v *view) descendants(path string, z *znode) (n int) {
	for name := range z.kids {
		below := strings.TrimSuffix(path, "/") + "/" + name
		n += 1 + v.descendants(below, v.znodes[below])
	}
	return n
}

// show makes the tree agree with a path's record. Callers hold mu.
func (v *view) show(path string) {
	r := v.records.Get(path)
	z := v.znodes[path]
	switch {
	case v.visible(r) && z == nil:
		z = v.appear(path)
		z.record = r
	case v.visible(r):
		changed := z.record == nil || z.record.Mtime != r.Mtime || z.record.Version != r.Version || string(z.record.Data) != string(r.Data)
		if z.record == nil || z.record.Ctime != r.Ctime {
			z.czxid = v.zxid()
		}
		z.record = r
		if changed {
			z.mzxid = v.zxid()
			v.event(tiers.NodeDataChanged, path, z.mzxid)
		}
	case z != nil:
		z.record = nil
		v.prune(path)
	}
}

// appear makes a znode, and its parents if need be.
func (v *view) appear(path string) *znode {
	z := v.znodes[path]
	if z != nil {
		return z
	}
	zxid := v.zxid()
	z = &znode{czxid: zxid, mzxid: zxid, pzxid: zxid}
	v.znodes[path] = z
	if path == "/" {
		return z
	}
	parent := v.appear(parentOf(path))
	if parent.kids == nil {
		parent.kids = make(map[string]struct{})
	}
	parent.kids[nameOf(path)] = struct{}{}
	parent.changed(zxid)
	v.event(tiers.NodeCreated, path, zxid)
	v.event(tiers.NodeChildrenChanged, parentOf(path), zxid)
	return z
}

// prune removes a znode that nothing holds any more, and then its parents.
func (v *view) prune(path string) {
	z := v.znodes[path]
	if z == nil || z.record != nil || len(z.kids) > 0 || v.mounts[path] || path == "/" {
		return
	}
	zxid := v.zxid()
	delete(v.znodes, path)
	parent := v.znodes[parentOf(path)]
	delete(parent.kids, nameOf(path))
	parent.changed(zxid)
	v.event(tiers.NodeDeleted, path, zxid)
	v.event(tiers.NodeChildrenChanged, parentOf(path), zxid)
	v.prune(parentOf(path))
}

func (z *znode) changed(zxid tiers.Zxid) {
	z.pzxid = zxid
	z.cversion++
	z.sorted.Store(nil)
}

func (z *znode) list() []string {
	if l := z.sorted.Load(); l != nil {
		return *l
	}
	l := slices.Sorted(maps.Keys(z.kids))
	z.sorted.Store(&l)
	return l
}

func (z *znode) stat() tiers.Stat {
	s := tiers.Stat{Czxid: z.czxid, Mzxid: z.mzxid, Pzxid: z.pzxid, Cversion: z.cversion, NumChildren: int32(len(z.kids))}
	if r := z.record; r != nil {
		s.Ctime, s.Mtime, s.Version = r.Ctime, r.Mtime, r.Version
		s.EphemeralOwner, s.DataLength = tiers.SessionID(r.Session), int32(len(r.Data))
	}
	return s
}

// read answers q and arms its watch in one step. A re-armed watch on a znode that is there always counts as missed: zxids of this
// tree do not compare across members.
func (v *view) read(q tiers.Query) (tiers.View, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	a := tiers.View{Zxid: v.zxid()}
	switch q.Want {
	case tiers.WantEphemerals:
		a.Children = v.ephemeralPaths(int64(q.Session), q.Path)
		return a, nil
	}
	path := q.Path
	if path == "" {
		path = "/"
	}
	w := q.Watch
	if q.Want == tiers.WantNothing {
		if w != nil {
			v.hub.Add(path, w.Scope, w.Watcher)
			a.Armed = true
		}
		return a, nil
	}
	z := v.znodes[path]
	if z == nil {
		if w != nil && q.Want == tiers.WantStat && (!w.Rearm || w.ExpectMissing) {
			v.hub.Add(path, w.Scope, w.Watcher)
			a.Armed = true
		}
		return a, &tiers.OpError{Op: "read", Path: q.Path, Err: tiers.ErrNoNode}
	}
	a.Stat = z.stat()
	switch q.Want {
	case tiers.WantData:
		if z.record != nil {
			a.Data = z.record.Data
		} else {
			a.Data = []byte{}
		}
	case tiers.WantChildren:
		a.Children = z.list()
	case tiers.WantDescendants:
		a.Count = int32(v.descendants(path, z))
	case tiers.WantACL:
		a.ACL = tiers.OpenACL
	}
	if w != nil && !w.Rearm {
		v.hub.Add(path, w.Scope, w.Watcher)
		a.Armed = true
	}
	return a, nil
}
