package history

import (
	"testing"

	"github.com/strata-coord/strata/tiers"
)

func TestWatches(t *testing.T) {
	t.Parallel()
	const data, children = tiers.ScopeData, tiers.ScopeChildren
	x := stat(1, 1, 0)
	tellAll(t, Options{}, map[string]story{
		"right": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.watches(data, 1, "/x", x)
			t.watches(children, 1, "/x", x)
			t.b.set(2, 1, "/x", "b", 0)
			t.told(tiers.NodeDataChanged, 2, "/x")
			t.watches(data, 2, "/x", stat(1, 2, 1))
			t.b.create(3, "/x/y", "")
			t.told(tiers.NodeChildrenChanged, 3, "/x")
			t.a.syncs(3)
			t.b.remove(4, "/x/y", 0)
			t.b.remove(5, "/x", 1)
			t.told(tiers.NodeDeleted, 5, "/x")
			t.a.syncs(5)
		}, ""},
		"never told":            {func(t *teller) { t.a.create(1, "/x", "a"); t.watches(data, 1, "/x", x); t.b.set(2, 1, "/x", "b", 0) }, "lost watch"},
		"never told of a birth": {func(t *teller) { t.watches(data, 0, "/x", tiers.Stat{}); t.b.create(1, "/x", "a") }, "lost watch"},
		"never told of a child": {func(t *teller) { t.a.create(1, "/x", "a"); t.watches(children, 1, "/x", x); t.b.create(2, "/x/y", "") }, "lost watch"},
		"came and went, over which a snapshot leaps": {func(t *teller) {
			t.watches(data, 0, "/x", tiers.Stat{})
			t.b.create(1, "/x", "a")
			t.b.remove(2, "/x", 0)
			t.a.syncs(2)
			t.b.create(3, "/x", "b")
			t.told(tiers.NodeCreated, 3, "/x")
		}, ""},
		"came, was shown, and went": {func(t *teller) {
			t.watches(data, 0, "/x", tiers.Stat{})
			t.b.create(1, "/x", "a")
			t.a.syncs(1)
			t.b.remove(2, "/x", 0)
			t.told(tiers.NodeDeleted, 2, "/x")
		}, "lost watch"},
		"gone away": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.watches(data, 1, "/x", x)
			t.a.Leave()
			t.b.set(2, 1, "/x", "b", 0)
		}, ""},
		"told of the second change only": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.watches(data, 1, "/x", x)
			t.b.set(2, 1, "/x", "b", 0)
			t.rec.Client("other", "m1", nil).syncs(2) // the member had it, so it is not a snapshot's
			t.b.set(3, 1, "/x", "c", 1)
			t.told(tiers.NodeDataChanged, 3, "/x")
		}, "lost watch"},
		"told after the read": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.watches(data, 1, "/x", x)
			t.b.set(2, 1, "/x", "b", 0)
			t.a.sees(2, "/x", "b", stat(1, 2, 1))
			t.told(tiers.NodeDataChanged, 2, "/x")
		}, "late watch"},
		"told of a child after the read": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.watches(children, 1, "/x", x)
			t.b.create(2, "/x/y", "")
			t.a.syncs(2)
			t.told(tiers.NodeChildrenChanged, 2, "/x")
		}, "late watch"},
		"out of order": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.a.create(2, "/y", "b")
			t.watches(data, 2, "/x", x)
			t.watches(data, 2, "/y", stat(2, 2, 0))
			t.b.set(3, 1, "/x", "c", 0)
			t.b.set(4, 2, "/y", "d", 0)
			t.told(tiers.NodeDataChanged, 4, "/y")
			t.told(tiers.NodeDataChanged, 3, "/x")
		}, "watch order"},
		"told twice": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.watches(data, 1, "/x", x)
			t.b.set(2, 1, "/x", "b", 0)
			t.told(tiers.NodeDataChanged, 2, "/x")
			t.b.set(3, 1, "/x", "c", 1)
			t.told(tiers.NodeDataChanged, 3, "/x")
		}, "told unasked"},
		"told of what it does not watch": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.watches(data, 1, "/x", x)
			t.b.create(2, "/x/y", "")
			t.told(tiers.NodeChildrenChanged, 2, "/x")
		}, "told unasked"},
		"told again of what it has seen": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.watches(data, 1, "/x", x)
			t.told(tiers.NodeCreated, 1, "/x")
		}, "told unasked"},
	})
	// What no txn tells of, the tree at the end may: here a child came and went, both unheard.
	tellAll(t, Options{Final: map[string]Znode{"/x": {[]byte("a"), tiers.Stat{Czxid: 1, Mzxid: 1, Pzxid: 3}}}, FinalZxid: 3}, map[string]story{
		"a change unheard": {func(t *teller) { t.a.create(1, "/x", "a"); t.watches(children, 1, "/x", x) }, "lost watch"},
	})
}
