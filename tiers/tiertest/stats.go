package tiertest

import (
	"github.com/strata-coord/strata/tiers"
)

var stats = []test{
	{name: "Stat", run: func(e *env) {
		p := e.path("a")
		made := e.do(create(p, []byte("123"), tiers.Persistent))
		s := e.stat(p)
		if s != made.Results[0].Stat {
			e.Errorf("create tells %+v, a read %+v", made.Results[0].Stat, s)
		}
		if s.Version != 0 || s.Aversion != 0 || s.DataLength != 3 || s.NumChildren != 0 || s.EphemeralOwner != 0 || s.Ctime == 0 || s.Mtime != s.Ctime {
			e.Errorf("created: %+v", s)
		}
		wrote := e.do(set(p, "1234", anyVersion))
		v := e.stat(p)
		if v != wrote.Results[0].Stat {
			e.Errorf("setData tells %+v, a read %+v", wrote.Results[0].Stat, v)
		}
		if v.Version <= s.Version || v.DataLength != 4 || v.Ctime != s.Ctime || v.Mtime < s.Mtime || v.Czxid != s.Czxid {
			e.Errorf("set: %+v, before %+v", v, s)
		}
		e.do(create(p+"/c", nil, tiers.Persistent))
		c := e.stat(p)
		if c.NumChildren != 1 || c.Version != v.Version || c.Mzxid != v.Mzxid || c.Mtime != v.Mtime || c.Cversion <= v.Cversion {
			e.Errorf("with a child: %+v, before %+v", c, v)
		}
		e.do(remove(p+"/c", anyVersion))
		d := e.stat(p)
		if d.NumChildren != 0 || d.Version != v.Version || d.Cversion <= c.Cversion {
			e.Errorf("without its child: %+v, before %+v", d, c)
		}
		e.do(remove(p, anyVersion))
		e.do(create(p, nil, tiers.Persistent))
		if n := e.stat(p); n.DataLength != 0 || (e.contract.ReplicatedZxids && n.Version != 0) {
			e.Errorf("created again: %+v", n)
		}
	}},
	{name: "StatZxids", run: func(e *env) {
		if !e.contract.ReplicatedZxids {
			return
		}
		p := e.path("a")
		z := e.do(create(p, nil, tiers.Persistent)).Zxid
		want := e.stat(p)
		if want.Czxid != z || want.Mzxid != z || want.Pzxid != z || want.Cversion != 0 {
			e.Errorf("created by %v: %+v", z, want)
		}
		step := func(what string, change func(s *tiers.Stat, z tiers.Zxid), op tiers.Op) {
			e.Helper()
			r := e.do(op)
			if r.Zxid <= z {
				e.Errorf("%s: zxid %v after %v", what, r.Zxid, z)
			}
			z = r.Zxid
			got := e.stat(p)
			change(&want, z)
			want.Mtime = got.Mtime // of the leader's clock
			if got != want {
				e.Errorf("after %s: %+v, want %+v", what, got, want)
			}
		}
		step("setData", func(s *tiers.Stat, z tiers.Zxid) { s.Mzxid, s.Version, s.DataLength = z, 1, 1 }, set(p, "x", anyVersion))
		step("the same data", func(s *tiers.Stat, z tiers.Zxid) { s.Mzxid, s.Version = z, 2 }, set(p, "x", anyVersion))
		step("a child", func(s *tiers.Stat, z tiers.Zxid) { s.Pzxid, s.Cversion, s.NumChildren = z, 1, 1 }, create(p+"/c", nil, tiers.Persistent))
		step("the child's data", func(*tiers.Stat, tiers.Zxid) {}, set(p+"/c", "x", anyVersion))
		step("a grandchild", func(*tiers.Stat, tiers.Zxid) {}, create(p+"/c/d", nil, tiers.Persistent))
		step("no grandchild", func(*tiers.Stat, tiers.Zxid) {}, remove(p+"/c/d", anyVersion))
		step("no child", func(s *tiers.Stat, z tiers.Zxid) { s.Pzxid, s.Cversion, s.NumChildren = z, 2, 0 }, remove(p+"/c", anyVersion))
		if e.contract.ACLs {
			step("setACL", func(s *tiers.Stat, _ tiers.Zxid) { s.Aversion = 1 }, setACL(p, tiers.OpenACL, anyVersion))
		}
	}},
	{name: "ZxidsRise", run: func(e *env) {
		p := e.path("a")
		e.do(create(p, nil, tiers.Persistent))
		var last tiers.Zxid
		for range 20 {
			r := e.do(set(p, "x", anyVersion))
			v := e.see(tiers.Query{Path: p, Want: tiers.WantData})
			if r.Zxid < last || v.Zxid < last || v.Zxid < r.Zxid {
				e.Fatalf("a write at %v and a read at %v after %v", r.Zxid, v.Zxid, last)
			}
			if e.contract.ReplicatedZxids && (r.Zxid == last || v.Stat.Mzxid != r.Zxid) {
				e.Fatalf("a write at %v after %v: %+v", r.Zxid, last, v.Stat)
			}
			if v.Stat.Mzxid > v.Zxid {
				e.Fatalf("a read at %v tells of a write at %v", v.Zxid, v.Stat.Mzxid)
			}
			last = v.Zxid
		}
	}},
}
