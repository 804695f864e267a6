package tiertest

import (
	"slices"

	"github.com/strata-coord/strata/tiers"
)

// overviews are reads of more than one znode.
var overviews = []test{
	{name: "Descendants", run: func(e *env) {
		count := func(path string, want int32) {
			e.Helper()
			v := e.see(tiers.Query{Path: path, Want: tiers.WantDescendants})
			if v.Count != want || v.Data != nil || v.Children != nil {
				e.Errorf("%d znodes below %s, want %d: %+v", v.Count, path, want, v)
			}
		}
		p := e.path("a")
		all := e.see(tiers.Query{Path: "/", Want: tiers.WantDescendants}).Count
		e.do(create(p, []byte("data"), tiers.Persistent))
		count(p, 0)
		for _, name := range []string{"/b", "/b/c", "/b/c/d", "/bb", "/b/e"} {
			e.do(create(p+name, nil, tiers.Persistent))
		}
		count(p, 5)
		count(p+"/b", 3)
		count(p+"/bb", 0)
		count(e.base, 6)
		count("/", all+6)
		count("", all+6)
		e.do(remove(p+"/b/c/d", anyVersion))
		e.do(remove(p+"/b/c", anyVersion))
		count(p, 3)
		if e.contract.Multi {
			e.fails([]tiers.Op{create(p+"/x", nil, tiers.Persistent), create(p+"/x/y", nil, tiers.Persistent), remove(p, anyVersion)}, tiers.ErrNotEmpty)
			count(p, 3)
			e.do(create(p+"/x", nil, tiers.Persistent), create(p+"/x/y", nil, tiers.Persistent), remove(p+"/bb", anyVersion))
			count(p, 4)
			count(e.base, 5)
		}
		for _, path := range []string{e.path("none"), p + "/", "relative"} {
			_, err := e.read(tiers.Query{Path: path, Want: tiers.WantDescendants})
			e.wantError("descendants of "+path, err, tiers.ErrNoNode)
		}
		if e.contract.ACLs {
			op := create(e.path("secret"), nil, tiers.Persistent)
			op.ACL = []tiers.ACL{{Perms: tiers.PermAll, Who: tiers.Identity{Scheme: "digest", ID: "alice:h"}}}
			e.do(op)
			_, err := e.read(tiers.Query{Path: op.Path, Want: tiers.WantDescendants})
			e.wantError("descendants without READ", err, tiers.ErrNoAuth)
			v, err := e.read(tiers.Query{Path: op.Path, Want: tiers.WantDescendants, Caller: []tiers.Identity{op.ACL[0].Who}})
			if err != nil || v.Count != 0 {
				e.Errorf("%+v, %v", v, err)
			}
		}
	}},
	{name: "EphemeralsOfASession", run: func(e *env) {
		if !e.contract.Ephemeral {
			return
		}
		s, other := e.session(0), e.session(0)
		list := func(s *session, prefix string, want ...string) {
			e.Helper()
			for i := range want {
				want[i] = e.path(want[i])
			}
			if v := e.see(tiers.Query{Path: prefix, Want: tiers.WantEphemerals, Session: s.id}); !slices.Equal(v.Children, want) {
				e.Errorf("ephemerals of %v that begin with %q: %q, want %q", s.id, prefix, v.Children, want)
			}
		}
		list(s, "")
		e.do(create(e.path("p"), nil, tiers.Persistent))
		for _, name := range []string{"p/b", "p/a", "pa", "q"} {
			s.do(create(e.path(name), nil, tiers.Ephemeral))
		}
		s.do(create(e.path("persistent"), nil, tiers.Persistent))
		other.do(create(e.path("p/other"), nil, tiers.Ephemeral))
		list(s, "", "p/a", "p/b", "pa", "q")
		list(s, "/", "p/a", "p/b", "pa", "q")
		list(s, e.base, "p/a", "p/b", "pa", "q")
		list(s, e.path("p"), "p/a", "p/b", "pa") // the prefix of a string, not of a path
		list(s, e.path("p/"), "p/a", "p/b")
		list(s, e.path("q"), "q")
		list(s, e.path("none"))
		list(s, "relative")
		list(other, "", "p/other")
		list(&session{}, "")

		e.do(remove(e.path("p/b"), anyVersion))
		list(s, e.path("p"), "p/a", "pa")
		p := e.tier.Submit(e.ctx, tiers.Txn{Session: s.id, Ops: one(create(e.path("p/c"), nil, tiers.Ephemeral))})
		r, err := e.tier.Follow(e.ctx, tiers.Query{Path: e.path("p/"), Want: tiers.WantEphemerals, Session: s.id}, p).Wait(e.ctx)
		if want := []string{e.path("p/a"), e.path("p/c")}; err != nil || !slices.Equal(r.View.Children, want) {
			e.Errorf("behind a create: %q, %v; want %q", r.View.Children, err, want)
		}
		s.close()
		list(s, "")
		list(other, "", "p/other")
	}},
}
