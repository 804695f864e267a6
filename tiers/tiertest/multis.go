package tiertest

import (
	"errors"

	"github.com/strata-coord/strata/tiers"
)

var multis = []test{
	{name: "Multi", run: func(e *env) {
		p := e.path("a")
		if !e.offered(e.contract.Multi, tiers.Txn{Ops: []tiers.Op{create(p, nil, tiers.Persistent), create(p+"/b", nil, tiers.Persistent)}}) {
			if e.exists(p) {
				e.Error("a part of a refused txn was applied")
			}
			return
		}
		w := newRecorder()
		for _, path := range []string{e.base, p, p + "/b"} {
			if err := e.tier.AddWatch(path, tiers.ScopePersistent, w); err != nil {
				e.Fatal(err)
			}
		}
		// Each op sees what those before it did.
		r := e.do(create(p, []byte("1"), tiers.Persistent), create(p+"/b", nil, tiers.Persistent), set(p, "2", anyVersion),
			checkOp(p, 1), remove(p+"/b", anyVersion), create(p+"/c", nil, tiers.Persistent))
		e.wants(w, "the txn",
			"NodeCreated a", "NodeChildrenChanged ", "NodeCreated a/b", "NodeChildrenChanged a", "NodeDataChanged a",
			"NodeDeleted a/b", "NodeChildrenChanged a", "NodeChildrenChanged a")
		v := e.see(tiers.Query{Path: p, Want: tiers.WantData})
		if string(v.Data) != "2" || v.Stat.Version != 1 {
			e.Errorf("read %q, %+v", v.Data, v.Stat)
		}
		e.children(p, "c")
		if e.contract.ReplicatedZxids && (v.Stat.Czxid != r.Zxid || v.Stat.Mzxid != r.Zxid || v.Stat.Pzxid != r.Zxid || e.stat(p+"/c").Czxid != r.Zxid) {
			e.Errorf("several zxids in one txn at %v: %+v", r.Zxid, v.Stat)
		}
		if r.Results[0].Path != p || r.Results[5].Path != p+"/c" || r.Results[2].Stat.Version != 1 {
			e.Errorf("results %+v", r.Results)
		}
	}},
	{name: "MultiFailure", run: func(e *env) {
		if !e.contract.Multi {
			return
		}
		p := e.path("a")
		e.do(create(p, []byte("1"), tiers.Persistent))
		w := newRecorder()
		if err := e.tier.AddWatch(e.base, tiers.ScopeRecursive, w); err != nil {
			e.Fatal(err)
		}
		if err := e.tier.AddWatch(p, tiers.ScopePersistent, w); err != nil {
			e.Fatal(err)
		}
		before, whole := e.stat(p), e.stat(e.base)
		r, err := e.try(tiers.Txn{Ops: []tiers.Op{
			set(p, "2", anyVersion), create(p+"/b", nil, tiers.Persistent), create(p+"/b/c", nil, tiers.Persistent), remove(p+"/b", anyVersion), create(p+"/d", nil, tiers.Persistent),
		}})
		e.wantError("a txn whose fourth op is wrong", err, tiers.ErrNotEmpty)
		oe := (*tiers.OpError)(nil)
		if !errors.As(err, &oe) || oe.Path != p+"/b" || oe.Op != "delete" {
			e.Errorf("the error does not name the op: %v", err)
		}
		want := []error{tiers.ErrRolledBack, tiers.ErrRolledBack, tiers.ErrRolledBack, tiers.ErrNotEmpty, tiers.ErrNotTried}
		if len(r.Results) != len(want) {
			e.Fatalf("results %+v", r.Results)
		}
		for i, x := range r.Results {
			if !errors.Is(x.Err, want[i]) {
				e.Errorf("result %d: %v, want %v", i, x.Err, want[i])
			}
		}
		if after := e.stat(p); after != before {
			e.Errorf("undone: %+v, before %+v", after, before)
		}
		if after := e.stat(e.base); after != whole {
			e.Errorf("undone: %+v, before %+v", after, whole)
		}
		if e.exists(p+"/b") || e.data(p) != "1" {
			e.Error("a part of it was applied")
		}
		e.wants(w, "a failed txn")
		if e.contract.Sequential {
			e.fails([]tiers.Op{create(p+"/s-", nil, tiers.PersistentSequential), checkOp(p, 99)}, tiers.ErrBadVersion)
			if r := e.do(create(p+"/s-", nil, tiers.PersistentSequential)); r.Results[0].Path != p+"/s-0000000000" {
				e.Errorf("a failed txn used up a number: %s", r.Results[0].Path)
			}
		}
	}},
	{name: "EmptyTxn", run: func(e *env) {
		if r, err := e.try(tiers.Txn{}); err != nil || len(r.Results) != 0 {
			e.Errorf("%+v, %v", r, err)
		}
	}},
	{name: "FailuresLeaveTheQueueAlone", run: func(e *env) {
		p := e.path("a")
		s := e.session(0)
		bad := e.tier.Submit(e.ctx, tiers.Txn{Session: s.id, Ops: one(set(p, "", anyVersion))})
		good := e.tier.Submit(e.ctx, tiers.Txn{Session: s.id, Ops: one(create(p, nil, tiers.Persistent))})
		_, err := bad.Wait(e.ctx)
		e.wantError("setData of what comes later", err, tiers.ErrNoNode)
		if _, err := good.Wait(e.ctx); err != nil {
			e.Error(err)
		}
	}},
}
