package tiertest

import (
	"slices"

	"github.com/strata-coord/strata/tiers"
)

var (
	bob    = []tiers.Identity{{Scheme: "ip", ID: "10.0.0.1"}, {Scheme: "digest", ID: "bob:secret"}}
	eve    = []tiers.Identity{{Scheme: "ip", ID: "10.0.0.2"}, {Scheme: "digest", ID: "eve:other"}}
	super  = []tiers.Identity{{Scheme: "super"}}
	anyone = tiers.Identity{Scheme: "world", ID: "anyone"}
)

// forBob admits bob to perms and everyone to others.
func forBob(perms, others tiers.Perm) []tiers.ACL {
	acl := []tiers.ACL{{Perms: perms, Who: bob[1]}}
	if others != 0 {
		acl = append(acl, tiers.ACL{Perms: others, Who: anyone})
	}
	return acl
}

func (e *env) createACL(path string, acl []tiers.ACL) {
	e.Helper()
	op := create(path, nil, tiers.Persistent)
	op.ACL = acl
	e.do(op)
}

var acls = []test{
	{name: "ACLsAreChecked", run: func(e *env) {
		closed := create(e.path("a"), nil, tiers.Persistent)
		closed.ACL = forBob(tiers.PermAll, 0)
		if !e.offered(e.contract.ACLs, tiers.Txn{Ops: one(closed)}) {
			e.do(create(e.path("a"), nil, tiers.Persistent))
			e.failsFor(tiers.Txn{Ops: one(setACL(e.path("a"), forBob(tiers.PermAll, 0), anyVersion))}, tiers.ErrContract)
			return
		}
		// Every op on a znode where one permission alone is granted to bob.
		for name, perm := range map[string]tiers.Perm{
			"read": tiers.PermRead, "write": tiers.PermWrite, "create": tiers.PermCreate, "delete": tiers.PermDelete, "admin": tiers.PermAdmin,
		} {
			p := e.path(name)
			e.createACL(p, tiers.OpenACL)
			e.do(create(p+"/child", nil, tiers.Persistent))
			e.do(setACL(p, forBob(perm, 0), anyVersion))
			writes := map[tiers.Perm]tiers.Op{
				tiers.PermWrite:  set(p, "x", anyVersion),
				tiers.PermCreate: create(p+"/new", nil, tiers.Persistent),
				tiers.PermDelete: remove(p+"/child", anyVersion),
				tiers.PermAdmin:  setACL(p, forBob(perm, 0), anyVersion),
				tiers.PermRead:   checkOp(p, anyVersion),
			}
			for needs, op := range writes {
				e.failsFor(tiers.Txn{Ops: one(op)}, tiers.ErrNoAuth)
				e.failsFor(tiers.Txn{Caller: eve, Ops: one(op)}, tiers.ErrNoAuth)
				if needs != perm {
					e.failsFor(tiers.Txn{Caller: bob, Ops: one(op)}, tiers.ErrNoAuth)
				} else if _, err := e.try(tiers.Txn{Caller: bob, Ops: one(op)}); err != nil {
					e.Errorf("%v for who may: %v", op.Kind, err)
				}
			}
			for _, want := range []tiers.Want{tiers.WantStat, tiers.WantData, tiers.WantChildren, tiers.WantACL} {
				_, err := e.read(tiers.Query{Path: p, Want: want, Caller: eve})
				e.wantError("a read by who may not", err, tiers.ErrNoAuth)
				_, err = e.read(tiers.Query{Path: p, Want: want, Caller: bob})
				if may := perm == tiers.PermRead || (want == tiers.WantACL && perm == tiers.PermAdmin); may && err != nil {
					e.Errorf("want %d for who may: %v", want, err)
				} else if !may {
					e.wantError("a read by who may only "+name, err, tiers.ErrNoAuth)
				}
				if _, err := e.read(tiers.Query{Path: p, Want: want, Caller: super}); err != nil {
					e.Errorf("super may not want %d: %v", want, err)
				}
			}
			if _, err := e.try(tiers.Txn{Caller: super, Ops: one(set(p, "super", anyVersion))}); err != nil {
				e.Errorf("super may not write: %v", err)
			}
		}
	}},
	{name: "NoAuthComesFirst", run: func(e *env) {
		if !e.contract.ACLs {
			return
		}
		p := e.path("a")
		e.createACL(p, tiers.OpenACL)
		e.do(create(p+"/b", nil, tiers.Persistent))
		e.do(setACL(p, forBob(tiers.PermAll, tiers.PermRead), anyVersion))
		e.fails(one(create(p+"/b", nil, tiers.Persistent)), tiers.ErrNoAuth) // before NodeExists
		e.fails(one(remove(p+"/none", anyVersion)), tiers.ErrNoAuth)         // before NoNode
		e.fails(one(set(p, "", 99)), tiers.ErrNoAuth)                        // before BadVersion
		e.fails(one(setACL(p, tiers.OpenACL, 99)), tiers.ErrNoAuth)
		e.fails(one(setACL(p, nil, anyVersion)), tiers.ErrInvalidACL) // before NoAuth
		e.do(set(p+"/b", "", anyVersion))                             // nothing is inherited
	}},
	{name: "ACLsAreKept", run: func(e *env) {
		if !e.contract.ACLs {
			return
		}
		p := e.path("a")
		acl := append(forBob(tiers.PermAll, tiers.PermRead), tiers.ACL{Perms: tiers.PermWrite, Who: tiers.Identity{Scheme: "ip", ID: "10.0.0.0/8"}})
		e.createACL(p, append(slices.Clone(acl), acl...)) // duplicates collapse
		get := func(caller []tiers.Identity) []tiers.ACL {
			e.Helper()
			return e.see(tiers.Query{Path: p, Want: tiers.WantACL, Caller: caller}).ACL
		}
		if got := get(bob); !slices.Equal(got, acl) {
			e.Errorf("kept %v, want %v", got, acl)
		}
		hidden := slices.Clone(acl)
		hidden[0].Who.ID = "bob:x"
		if got := get(eve); !slices.Equal(got, hidden) {
			e.Errorf("a reader sees %v, want %v", got, hidden)
		}
		if _, err := e.try(tiers.Txn{Caller: eve, Ops: one(set(p, "by ip", anyVersion))}); err != nil {
			e.Errorf("by ip: %v", err)
		}

		auth := []tiers.ACL{{Perms: tiers.PermAll, Who: tiers.Identity{Scheme: "auth"}}}
		e.failsFor(tiers.Txn{Caller: bob[:1], Ops: one(setACL(p, auth, anyVersion))}, tiers.ErrInvalidACL)
		r, err := e.try(tiers.Txn{Caller: bob, Ops: one(setACL(p, auth, 0))})
		if err != nil {
			e.Fatal(err)
		}
		if r.Results[0].Stat.Aversion != 1 {
			e.Errorf("the ACL's version: %+v", r.Results[0].Stat)
		}
		if got, want := get(bob), []tiers.ACL{{Perms: tiers.PermAll, Who: bob[1]}}; !slices.Equal(got, want) {
			e.Errorf("auth became %v, want %v", got, want)
		}
		e.failsFor(tiers.Txn{Caller: bob, Ops: one(setACL(p, auth, 0))}, tiers.ErrBadVersion)
	}},
	{name: "InvalidACLs", run: func(e *env) {
		if !e.contract.ACLs {
			return
		}
		e.do(create(e.path("a"), nil, tiers.Persistent))
		for _, who := range []tiers.Identity{
			{Scheme: "world", ID: "bob"}, {Scheme: "", ID: "anyone"}, {Scheme: "super", ID: ""}, {Scheme: "nonsense", ID: "x"},
			{Scheme: "digest", ID: "nocolon"}, {Scheme: "digest", ID: "a:b:c"}, {Scheme: "ip", ID: "nowhere"}, {Scheme: "ip", ID: "1.2.3.4/33"}, {Scheme: "auth"},
		} {
			acl := []tiers.ACL{{Perms: tiers.PermAll, Who: who}}
			op := create(e.path("x"), nil, tiers.Persistent)
			op.ACL = acl
			e.fails(one(op), tiers.ErrInvalidACL)
			e.fails(one(setACL(e.path("a"), acl, anyVersion)), tiers.ErrInvalidACL)
		}
		e.fails(one(setACL(e.path("a"), []tiers.ACL{}, anyVersion)), tiers.ErrInvalidACL)
	}},
}
