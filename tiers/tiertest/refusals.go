package tiertest

import (
	"github.com/strata-coord/strata/tiers"
)

// one is a txn of one op.
func one(op tiers.Op) []tiers.Op { return []tiers.Op{op} }

var refusals = []test{
	{name: "ReadsOfNothing", run: func(e *env) {
		for _, path := range []string{e.path("none"), e.path("none/deep"), e.base + "/", e.base + "//x", "relative"} {
			for _, want := range []tiers.Want{tiers.WantStat, tiers.WantData, tiers.WantChildren, tiers.WantACL} {
				_, err := e.read(tiers.Query{Path: path, Want: want})
				e.wantError("read "+path, err, tiers.ErrNoNode)
			}
		}
	}},
	{name: "CreateRefusals", run: func(e *env) {
		p := e.path("a")
		e.do(create(p, nil, tiers.Persistent))
		e.fails(one(create(p, nil, tiers.Persistent)), tiers.ErrNodeExists)
		e.fails(one(create(e.path("none/x"), nil, tiers.Persistent)), tiers.ErrNoNode)
		e.fails(one(create(p, nil, tiers.CreateMode(99))), tiers.ErrBadArguments)
		e.fails(one(create(p, nil, tiers.CreateMode(-1))), tiers.ErrBadArguments)
		for _, bad := range []string{
			"", "relative", p + "/", p + "/.", p + "/..", p + "/\x00", p + "/\x1f", p + "/\u007f", p + "/\u009f",
			p + "/\ue000", p + "/\ufff0", p + "/\U0001f600",
		} {
			e.fails(one(create(bad, nil, tiers.Persistent)), tiers.ErrBadArguments)
		}
		for _, good := range []string{"...", ".b", "a b", "\u00a0", "\uffef", "ä", "日本"} {
			e.do(create(p+"/"+good, nil, tiers.Persistent))
		}
		e.fails(one(create(p+"/./x", nil, tiers.Persistent)), tiers.ErrNoNode, tiers.ErrBadArguments)

		op := create(p, nil, tiers.Persistent)
		op.ACL = nil
		if e.contract.ACLs {
			e.fails(one(op), tiers.ErrInvalidACL)
			op.Path = e.path("none/x")
			e.fails(one(op), tiers.ErrInvalidACL) // before the parent
			op.Mode = 99
			e.fails(one(op), tiers.ErrBadArguments) // before the ACL
		} else {
			e.fails(one(op), tiers.ErrInvalidACL, tiers.ErrContract)
		}
		e.children(e.base, "a")
	}},
	{name: "DeleteRefusals", run: func(e *env) {
		p := e.path("a")
		e.do(create(p, nil, tiers.Persistent))
		e.do(create(p+"/b", nil, tiers.Persistent))
		e.fails(one(remove(p, anyVersion)), tiers.ErrNotEmpty)
		e.fails(one(remove(e.path("none"), anyVersion)), tiers.ErrNoNode)
		e.fails(one(remove(e.path("none/x"), anyVersion)), tiers.ErrNoNode)
		e.fails(one(remove("relative", anyVersion)), tiers.ErrBadArguments)
		e.fails(one(remove("", anyVersion)), tiers.ErrBadArguments)
		e.fails(one(remove("/", anyVersion)), tiers.ErrBadArguments)
		if e.h.Base != "" && e.h.Base != "/" {
			e.fails(one(remove(e.h.Base, anyVersion)), tiers.ErrBadArguments, tiers.ErrNotEmpty)
		}
		if e.contract.Conditional {
			e.fails(one(remove(p, 5)), tiers.ErrBadVersion) // before NotEmpty
			e.fails(one(remove(p+"/b", 5)), tiers.ErrBadVersion)
			e.fails(one(remove(p+"/b", -2)), tiers.ErrBadVersion)
		}
		e.children(p, "b")
	}},
	{name: "SetRefusals", run: func(e *env) {
		e.fails(one(set(e.path("none"), "", anyVersion)), tiers.ErrNoNode)
		for _, bad := range []string{"", "relative", e.base + "/", e.base + "/./x", e.base + "//x"} {
			e.fails(one(set(bad, "", anyVersion)), tiers.ErrBadArguments)
		}
		if e.contract.Conditional {
			e.fails(one(set(e.path("none"), "", 0)), tiers.ErrNoNode)
			e.fails(one(checkOp(e.path("none"), 0)), tiers.ErrNoNode)
			e.fails(one(checkOp("relative", 0)), tiers.ErrBadArguments)
		}
	}},
	{name: "UnknownOp", run: func(e *env) {
		e.fails(one(tiers.Op{Kind: 99, Path: e.path("a")}), tiers.ErrBadArguments, tiers.ErrContract)
	}},
	{name: "ARefusalChangesNothing", run: func(e *env) {
		p := e.path("a")
		e.do(create(p, []byte("1"), tiers.Persistent))
		e.do(create(p+"/b", nil, tiers.Persistent))
		w := newRecorder()
		for _, path := range []string{e.base, p} {
			if err := e.tier.AddWatch(path, tiers.ScopePersistent, w); err != nil {
				e.Fatal(err)
			}
		}
		before, z := e.stat(p), e.see(tiers.Query{Path: p, Want: tiers.WantNothing}).Zxid
		for _, op := range []tiers.Op{
			create(p, nil, tiers.Persistent), create(p+"/none/x", nil, tiers.Persistent), remove(p, anyVersion), set(p+"/none", "", anyVersion),
		} {
			r, err := e.try(tiers.Txn{Ops: one(op)})
			if err == nil {
				e.Errorf("%v %s succeeds", op.Kind, op.Path)
			}
			if len(r.Results) != 1 || r.Results[0].Err == nil {
				e.Errorf("%v %s: results %+v", op.Kind, op.Path, r.Results)
			}
		}
		if after := e.stat(p); after != before {
			e.Errorf("before %+v, after %+v", before, after)
		}
		if after := e.see(tiers.Query{Path: p, Want: tiers.WantNothing}).Zxid; e.contract.ReplicatedZxids && e.alone() && after != z {
			e.Errorf("zxid %v became %v", z, after)
		}
		e.wants(w, "refusals")
	}},
}

// alone tells whether nothing but the test writes: sessions and members come and go by txns too.
func (e *env) alone() bool { return len(e.Members) == 1 && e.Members[0].Sessions == nil }
