package tree

import (
	"fmt"
	"strings"

	"github.com/strata-coord/strata/tiers"
)

// A quota on /qa (zk-protocol 6.8) is what two znodes say: /zookeeper/quota/qa/zookeeper_limits, which clients write, and
// /zookeeper/quota/qa/zookeeper_stats, whose data the tree keeps up to date without any other trace. The state is in the znodes
// alone: what clients write into the stats is what is counted on from.
const (
	quotaRoot  = "/zookeeper/quota"
	limitsName = "/zookeeper_limits"
	statsName  = "/zookeeper_stats"
)

// quotaPath is the path that a limits or stats znode, by its name, is about. The root has no quota.
func quotaPath(path, name string) (of string, ok bool) {
	of, below := strings.CutPrefix(path, quotaRoot)
	of, named := strings.CutSuffix(of, name)
	return of, below && named && of != "" && of[0] == '/'
}

// Excess is a use beyond a limit that was not refused, as the limit is soft or is not enforced.
type Excess struct {
	Path  string // of the quota
	What  string // "count" (of znodes) or "bytes" (of data)
	Used  int64  // with the change
	Limit int64
	Hard  bool
}

// OnExcess has f called for each change that goes beyond a quota, as OnSessionEnd does. To be set before the first Apply.
func (t *Tree) OnExcess(f func(Excess)) { t.onExcess = append(t.onExcess, f) }

// EnforceQuota says whether hard limits count in the Applies that follow. For the applier.
func (t *Tree) EnforceQuota(on bool) { t.enforce = on }

// limited notes a limits znode that has come or gone, so that nobody looks for quotas where there are none.
func (t *Tree) limited(path string, there bool) {
	of, ok := quotaPath(path, limitsName)
	switch {
	case !ok:
	case there:
		t.quotas[of] = struct{}{}
	default:
		delete(t.quotas, of)
	}
}

// quotaOf is the longest path at or above path that has limits.
func (t *Tree) quotaOf(path string) (of string, ok bool) {
	if len(t.quotas) == 0 {
		return "", false
	}
	for ; path != "/"; path = parentOf(path) {
		if _, ok := t.quotas[path]; ok {
			return path, true
		}
	}
	return "", false
}

// account counts a change in the stats of the quota that it falls under, if any.
func (t *Tree) account(path string, count, bytes int) {
	of, ok := t.quotaOf(path)
	if !ok || count == 0 && bytes == 0 {
		return
	}
	if stats := t.znodes.get(quotaRoot + of + statsName); stats != nil {
		u := parseUsage(stats.data)
		u.count += int64(count)
		u.bytes += int64(bytes)
		t.setStats(of, stats, &u)
	}
}

// setStats changes the data of a stats znode and nothing else.
func (t *Tree) setStats(of string, stats *state, u *usage) {
	z := *stats
	z.data = u.append(make([]byte, 0, len(stats.data)+4))
	t.edit(quotaRoot+of+statsName, &z, nil)
}

// recount fills in a stats znode that was just created: path, if it is one.
func (t *Tree) recount(path string) {
	of, ok := quotaPath(path, statsName)
	if !ok {
		return
	}
	u := usage{}
	if z := t.znodes.get(of); z != nil {
		u.count = int64(z.kids.descendants()) + 1
		u.bytes = t.bytesBelow(of, z)
	}
	t.setStats(of, t.znodes.get(path), &u)
}

// bytesBelow is the data of a znode and of all below it. It walks them: once for each stats znode that is created.
func (t *Tree) bytesBelow(path string, z *state) (n int64) {
	type place struct {
		path string
		z    *state
	}
	for todo := []place{{path, z}}; len(todo) > 0; {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		n += int64(len(at.z.data))
		if at.z.kids.len() == 0 {
			continue
		}
		for name := range at.z.kids.names {
			below := at.path + "/" + name
			todo = append(todo, place{below, t.znodes.get(below)})
		}
	}
	return n
}

// checkQuota refuses a change that goes beyond a hard limit, if those are enforced; beyond other limits it is noted. What does
// not grow is never beyond a limit.
func (a *applying) checkQuota(path string, count, bytes int) error {
	of, ok := a.quotaOf(path)
	if !ok || count <= 0 && bytes <= 0 {
		return nil
	}
	limits, stats := a.znodes.get(quotaRoot+of+limitsName), a.znodes.get(quotaRoot+of+statsName)
	if stats == nil {
		return nil
	}
	limit, used := parseUsage(limits.data), parseUsage(stats.data)
	if count > 0 {
		if err := a.within(of, "count", used.count+int64(count), limit.hard("countHardLimit"), limit.count); err != nil {
			return err
		}
	}
	if bytes > 0 {
		return a.within(of, "bytes", used.bytes+int64(bytes), limit.hard("byteHardLimit"), limit.bytes)
	}
	return nil
}

// within holds a use against a hard and a soft limit; negative ones are none.
func (a *applying) within(of, what string, used, hard, soft int64) error {
	switch {
	case hard >= 0 && used > hard:
		if a.enforce {
			return fmt.Errorf("%w: %s of %s would be %d, and may be %d", tiers.ErrQuotaExceeded, what, of, used, hard)
		}
		a.excess = append(a.excess, Excess{of, what, used, hard, true})
	case soft >= 0 && used > soft:
		a.excess = append(a.excess, Excess{of, what, used, soft, false})
	}
	return nil
}
