package tree

import (
	"github.com/strata-coord/strata/tiers"
)

// Reaping deletes a container or a TTL znode whose end has come, if it is still the one that was created in Czxid.
type Reaping struct {
	Path  string
	Czxid tiers.Zxid
}

// mortals are the paths of the containers and TTL znodes, in no order, so that who looks for those that are due need not walk
// the tree. It follows from the znodes.
type mortals struct {
	paths []string
	at    map[string]int // where in paths
}

func (m *mortals) add(path string) {
	if m.at == nil {
		m.at = make(map[string]int)
	}
	m.at[path] = len(m.paths)
	m.paths = append(m.paths, path)
}

func (m *mortals) remove(path string) {
	i, last := m.at[path], len(m.paths)-1
	m.paths[i] = m.paths[last]
	m.at[m.paths[i]] = i
	m.paths[last] = ""
	m.paths = m.paths[:last]
	delete(m.at, path)
}

func (k kind) mortal() bool { return k == container || k == expiring }

// due tells whether the znode's end has come (zk-protocol 6.9): it is childless, and a container that had children, or an
// expiring one whose data has not changed for longer than its TTL. Callers hold Tree.mu at least shared.
func (z *state) due(at int64) bool {
	switch {
	case z.kids.len() > 0:
		return false
	case z.kind == container:
		return z.creates > 0
	case z.kind == expiring:
		return at-z.mtime > z.ttl.Milliseconds()
	}
	return false
}

// reapScan is how many containers and TTL znodes Due looks at, so that writes wait for it a fraction of a millisecond only.
const reapScan = 4096

// Due looks for containers and TTL znodes whose end has come at a time in milliseconds since the Unix epoch, in a part of the
// index. It begins at place from, 0 for the first; next is where to go on, 0 at the end. What moves in the index meanwhile may
// be missed until the next time.
func (t *Tree) Due(at int64, from int) (due []Reaping, next int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	at = max(at, t.at)
	all := t.mortals.paths
	from = min(from, len(all))
	next = min(from+reapScan, len(all))
	for _, path := range all[from:next] {
		if z := t.znodes.get(path); z.due(at) {
			due = append(due, Reaping{path, z.czxid})
		}
	}
	if next == len(all) {
		next = 0
	}
	return due, next
}

// Reap deletes what its time has come for, by the time of the entry, each in a commit of its own. What has changed since it was
// proposed, so that its end has not come any more, stays.
func (t *Tree) Reap(at int64, rs []Reaping) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at = t.clock(at)
	for _, r := range rs {
		z := t.znodes.get(r.Path)
		if z == nil || z.czxid != r.Czxid || !z.due(at) {
			continue
		}
		t.take(r.Path, z, t.zxid+1)
		t.succeed(t.zxid + 1)
	}
}
