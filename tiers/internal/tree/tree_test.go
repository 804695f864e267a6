package tree

import (
	"bytes"
	"errors"
	"testing"

	"github.com/strata-coord/strata/tiers"
)

var here = Origin{Member: 1, Incarnation: 1}

// driver applies txns as one member.
type driver struct {
	*Tree
	t *testing.T
	n uint64
}

func drive(t *testing.T) *driver { return &driver{Tree: New(), t: t} }

func (d *driver) do(s tiers.SessionID, ops ...tiers.Op) (tiers.Receipt, error) {
	d.n++
	return d.Apply(int64(1000+d.n), here, d.n, &tiers.Txn{Session: s, Ops: ops})
}

func (d *driver) must(s tiers.SessionID, ops ...tiers.Op) tiers.Receipt {
	d.t.Helper()
	r, err := d.do(s, ops...)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func mk(path string, mode tiers.CreateMode) tiers.Op {
	return tiers.Op{Kind: tiers.OpCreate, Path: path, Data: []byte(path), Mode: mode, ACL: tiers.OpenACL}
}

func TestFreshTree(t *testing.T) {
	tr := New()
	for path, want := range map[string]tiers.Stat{
		"/":                 {Cversion: -1, NumChildren: 1},
		"/zookeeper":        {Cversion: -2, NumChildren: 2},
		"/zookeeper/config": {Aversion: -1},
		"/zookeeper/quota":  {},
	} {
		if v, err := tr.Read(tiers.Query{Path: path}); err != nil || v.Stat != want {
			t.Errorf("%s: %+v, %v; want %+v", path, v.Stat, err, want)
		}
	}
}

func TestFailedMultiLeavesNoTrace(t *testing.T) {
	d := drive(t)
	d.must(0, mk("/a", 0))
	d.must(0, mk("/a/old", 0))
	before, told := snapshotOf(t, d.Tree), d.outcomes.now()
	r, err := d.do(0,
		mk("/a/s-", tiers.PersistentSequential),
		tiers.Op{Kind: tiers.OpDelete, Path: "/a/old", Version: tiers.AnyVersion},
		tiers.Op{Kind: tiers.OpSetData, Path: "/a", Data: []byte("longer than before"), Version: 0},
		tiers.Op{Kind: tiers.OpCheck, Path: "/a", Version: 0},
		mk("/b", 0))
	if !errors.Is(err, tiers.ErrBadVersion) {
		t.Fatal(err)
	}
	for i, want := range []error{tiers.ErrRolledBack, tiers.ErrRolledBack, tiers.ErrRolledBack, tiers.ErrBadVersion, tiers.ErrNotTried} {
		if !errors.Is(r.Results[i].Err, want) {
			t.Errorf("result %d: %v, want %v", i, r.Results[i].Err, want)
		}
	}
	d.origins[1], d.at, d.outcomes = position{1, d.n - 1}, d.at-1, told // the number and the time are used, and the outcome is known; all else must be as before
	if after := snapshotOf(t, d.Tree); !bytes.Equal(before, after) {
		t.Error("a failed multi changed the tree")
	}
	if d.dataBytes != int64(len("/a")+len("/a/old")) {
		t.Errorf("%d data bytes", d.dataBytes)
	}
}

func TestExactlyOnce(t *testing.T) {
	tr := New()
	apply := func(o Origin, n uint64) error {
		_, err := tr.Apply(1, o, n, &tiers.Txn{Ops: []tiers.Op{mk("/s-", tiers.PersistentSequential)}})
		return err
	}
	for _, step := range []struct {
		o    Origin
		n    uint64
		want error
	}{
		{Origin{1, 1}, 1, nil}, {Origin{1, 1}, 1, ErrRepeat}, {Origin{1, 1}, 3, ErrGap}, {Origin{1, 1}, 2, nil},
		{Origin{2, 1}, 1, nil}, {Origin{1, 2}, 2, ErrGap}, {Origin{1, 2}, 1, nil}, {Origin{1, 1}, 3, ErrOldIncarnation},
	} {
		if err := apply(step.o, step.n); !errors.Is(err, step.want) {
			t.Errorf("%v %d: %v, want %v", step.o, step.n, err, step.want)
		}
	}
	if v, _ := tr.Read(tiers.Query{Path: "/"}); v.Stat.NumChildren != 1+4 || v.Zxid != 4 {
		t.Errorf("%d children at %v", v.Stat.NumChildren, v.Zxid)
	}
}
