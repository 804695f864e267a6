package history

import (
	"testing"

	"github.com/strata-coord/strata/tiers"
)

func stat(czxid, mzxid tiers.Zxid, version int32) tiers.Stat {
	return tiers.Stat{Czxid: czxid, Mzxid: mzxid, Version: version}
}

// Each story is one of what can be wrong with an order of commits, beside one that is right.
func TestOrder(t *testing.T) {
	t.Parallel()
	tellAll(t, Options{UniqueData: true}, map[string]story{
		"right": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.b.set(2, 1, "/x", "b", 0)
			t.b.fails(2, tiers.OpSetData, "/x", "c", 0, tiers.ErrBadVersion)
			t.a.sees(2, "/x", "b", stat(1, 2, 1))
			t.a.remove(3, "/x", 1)
			t.b.misses(3, "/x")
			t.b.fails(3, tiers.OpDelete, "/x", "", tiers.AnyVersion, tiers.ErrNoNode)
		}, ""},
		"two txns, one zxid": {func(t *teller) { t.a.create(1, "/x", "a"); t.b.create(1, "/y", "b") }, "zxid reuse"},
		"a later txn before": {func(t *teller) { t.a.create(2, "/x", "a"); t.b.create(1, "/y", "b") }, "real-time order"},
		"a stale read": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.a.create(2, "/y", "b")
			t.b.sees(1, "/x", "a", stat(1, 1, 0))
		}, "real-time order"},
		"a lost write": {func(t *teller) { t.a.create(1, "/x", "a"); t.b.misses(2, "/x") }, "stale or lost"},
		"old data as new": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.a.set(2, 1, "/x", "b", 0)
			t.b.sees(2, "/x", "a", stat(1, 1, 0))
		}, "stale or lost"},
		"data of the future": {func(t *teller) { t.a.create(1, "/x", "a"); t.b.sees(1, "/x", "b", stat(1, 2, 1)) }, "out of nothing"},
		"other data":         {func(t *teller) { t.a.create(1, "/x", "a"); t.b.sees(1, "/x", "z", stat(1, 1, 0)) }, "commit order"},
		"created twice":      {func(t *teller) { t.a.create(1, "/x", "a"); t.a.create(2, "/x", "b") }, "commit order"},
		"deleted twice": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.a.remove(2, "/x", 0)
			t.a.remove(3, "/x", 0)
		}, "commit order"},
		"written when gone": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.a.remove(2, "/x", 0)
			t.a.set(3, 1, "/x", "b", 0)
		}, "commit order"},
		"a delete with an old version":        {func(t *teller) { t.a.create(1, "/x", "a"); t.a.set(2, 1, "/x", "b", 0); t.b.remove(3, "/x", 0) }, "commit order"},
		"a compare-and-set that does neither": {func(t *teller) { t.a.create(1, "/x", "a"); t.a.set(2, 1, "/x", "b", 0); t.b.set(3, 1, "/x", "c", 0) }, "lost or repeated write"},
		"a version too much":                  {func(t *teller) { t.a.create(1, "/x", "a"); t.a.set(2, 1, "/x", "b", 1) }, "lost or repeated write"},
		"a refusal without a reason": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.b.fails(1, tiers.OpSetData, "/x", "b", 0, tiers.ErrBadVersion)
		}, "wrong refusal"},
		"exists, it says": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.b.fails(1, tiers.OpCreate, "/y", "b", 0, tiers.ErrNodeExists)
		}, "wrong refusal"},
		"gone, it says": {func(t *teller) { t.a.create(1, "/x", "a"); t.b.fails(1, tiers.OpDelete, "/x", "", 0, tiers.ErrNoNode) }, "stale or lost"},
		"a wrong stat": {func(t *teller) {
			t.a.txn(0, 2, nil, []tiers.Result{{Path: "/x", Stat: stat(1, 2, 0)}}, made("/x", "a"))
		}, "wrong stat"},
		"a lost answer that applied": {func(t *teller) {
			t.a.fails(0, tiers.OpCreate, "/x", "a", 0, lostAnswer)
			t.b.sees(1, "/x", "a", stat(1, 1, 0))
		}, ""},
		"a lost answer that applied not": {func(t *teller) { t.a.fails(0, tiers.OpCreate, "/x", "a", 0, lostAnswer); t.b.misses(1, "/x") }, ""},
		"a lost write, made up for by none": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.a.fails(0, tiers.OpSetData, "/x", "b", tiers.AnyVersion, lostAnswer)
			t.b.sees(3, "/x", "b", stat(1, 3, 2))
		}, "lost or repeated write"},
		"a check that did not match": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.a.txn(0, 2, nil, []tiers.Result{{}, {Path: "/y", Stat: stat(2, 2, 0)}}, tiers.Op{Kind: tiers.OpCheck, Path: "/x", Version: 3}, made("/y", "b"))
		}, "wrong check"},
		"half a txn": {func(t *teller) {
			t.a.txn(0, 1, nil, []tiers.Result{{Path: "/x", Stat: stat(1, 1, 0)}, {Path: "/y", Stat: stat(1, 1, 0)}}, made("/x", "a"), made("/y", "b"))
			t.b.sees(1, "/x", "a", stat(1, 1, 0))
			t.b.misses(1, "/y")
		}, "stale or lost"},
	})
}

// What was refused, or asked for by nobody, must not be found.
func TestAuthors(t *testing.T) {
	t.Parallel()
	tellAll(t, Options{UniqueData: true}, map[string]story{
		"refused, and applied": {func(t *teller) {
			t.a.fails(0, tiers.OpCreate, "/x", "a", 0, tiers.ErrUnavailable)
			t.b.sees(1, "/x", "a", stat(1, 1, 0))
		}, "out of nothing"},
		"failed, and applied": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.a.fails(1, tiers.OpSetData, "/x", "b", 7, tiers.ErrBadVersion)
			t.b.sees(2, "/x", "b", stat(1, 2, 1))
		}, "out of nothing"},
		"seen before it was": {func(t *teller) {
			t.b.sees(1, "/x", "a", stat(1, 1, 0))
			t.a.fails(0, tiers.OpCreate, "/x", "a", 0, lostAnswer)
		}, "out of nothing"},
		"other data than asked": {func(t *teller) {
			t.a.fails(0, tiers.OpCreate, "/x", "a", 0, lostAnswer)
			t.b.sees(1, "/x", "z", stat(1, 1, 0))
		}, "out of nothing"},
		"somebody else's": {func(t *teller) { t.b.sees(1, "/x", "a", stat(1, 1, 0)) }, ""},
		"in a sequence, unheard": {func(t *teller) {
			op := made("/q/x", "a")
			op.Mode = tiers.PersistentSequential
			t.a.txn(0, 0, lostAnswer, nil, op)
			t.b.sees(1, "/q/x0000000000", "a", stat(1, 1, 0))
		}, ""},
		"in a sequence, twice": {func(t *teller) {
			op := made("/q/x", "a")
			op.Mode = tiers.PersistentSequential
			t.a.txn(0, 0, lostAnswer, nil, op)
			t.b.sees(2, "/q/x0000000000", "a", stat(1, 1, 0))
			t.b.sees(2, "/q/x0000000001", "a", stat(2, 2, 0))
		}, "applied twice"},
		"the same data at two places": {func(t *teller) { t.a.create(1, "/x", "a"); t.a.create(2, "/y", "a") }, "applied twice"},
	})
}

// The tree at the end counts as a read of everything.
func TestFinal(t *testing.T) {
	t.Parallel()
	told := func(t *teller) { t.a.create(1, "/x", "a"); t.a.fails(0, tiers.OpSetData, "/x", "b", 0, lostAnswer) }
	for name, test := range map[string]struct {
		final map[string]Znode
		want  string
	}{
		"as it was told":           {map[string]Znode{"/x": {[]byte("a"), stat(1, 1, 0)}}, ""},
		"the lost answer":          {map[string]Znode{"/x": {[]byte("b"), stat(1, 2, 1)}}, ""},
		"more than that":           {map[string]Znode{"/x": {[]byte("c"), stat(1, 2, 1)}}, "out of nothing"},
		"an acknowledged loss":     {map[string]Znode{}, "stale or lost"},
		"another znode's creation": {map[string]Znode{"/x": {[]byte("a"), stat(2, 2, 0)}}, "applied twice"},
	} {
		tellAll(t, Options{UniqueData: true, Final: test.final, FinalZxid: 2}, map[string]story{name: {told, test.want}})
	}
}

func TestFamilies(t *testing.T) {
	t.Parallel()
	tellAll(t, Options{}, map[string]story{
		"right": {func(t *teller) {
			t.a.sequential(1, "/x", "/x0000000000")
			t.b.sequential(2, "/y", "/y0000000001")
			t.a.lists(2, "/", "x0000000000", "y0000000001")
			t.a.remove(3, "/x0000000000", 0)
			t.a.lists(3, "/", "y0000000001")
		}, ""},
		"a number again": {func(t *teller) {
			t.a.sequential(1, "/x", "/x0000000005")
			t.b.sequential(2, "/y", "/y0000000005")
		}, "sequence"},
		"a smaller number": {func(t *teller) {
			t.a.sequential(1, "/x", "/x0000000005")
			t.b.sequential(2, "/x", "/x0000000004")
		}, "sequence"},
		"a wrong name": {func(t *teller) { t.a.sequential(1, "/x", "/z0000000005") }, "sequence"},
		"counted anew": {func(t *teller) {
			t.a.create(1, "/q", "")
			t.a.sequential(2, "/q/x", "/q/x0000000000")
			t.a.remove(3, "/q/x0000000000", 0)
			t.a.remove(4, "/q", 0)
			t.a.create(5, "/q", "")
			t.a.sequential(6, "/q/x", "/q/x0000000000")
		}, ""},
		"a child not listed": {func(t *teller) { t.a.create(1, "/x", ""); t.b.lists(1, "/") }, "wrong list"},
		"a child long gone":  {func(t *teller) { t.a.create(1, "/x", ""); t.a.remove(2, "/x", 0); t.b.lists(2, "/", "x") }, "wrong list"},
		"may be gone": {func(t *teller) {
			t.a.create(1, "/x", "")
			t.a.fails(0, tiers.OpDelete, "/x", "", 0, lostAnswer)
			t.b.lists(2, "/")
		}, ""},
		"an ephemeral not listed": {func(t *teller) {
			t.a.own(7, 1, "/x")
			t.b.lists(1, "/")
			t.a.txn(7, 2, nil, []tiers.Result{{Path: "/y", Stat: stat(2, 2, 0)}}, made("/y", "a"))
		}, "wrong list"},
		"an ephemeral lost": {func(t *teller) {
			t.a.own(7, 1, "/x")
			t.b.misses(1, "/x")
			t.a.txn(7, 2, nil, []tiers.Result{{Path: "/y", Stat: stat(2, 2, 0)}}, made("/y", "a"))
		}, "lost ephemeral"},
		"gone with its session": {func(t *teller) { t.a.own(7, 1, "/x"); t.b.misses(2, "/x"); t.b.lists(2, "/") }, ""},
		"there without its session": {func(t *teller) {
			t.a.own(7, 1, "/x")
			t.a.txn(7, 2, nil, []tiers.Result{{}}, tiers.Op{Kind: tiers.OpCloseSession})
			t.b.sees(2, "/x", "", tiers.Stat{Czxid: 1, Mzxid: 1, EphemeralOwner: 7})
		}, "outlived its session"},
	})
}
