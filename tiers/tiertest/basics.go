package tiertest

import (
	"bytes"

	"github.com/strata-coord/strata/tiers"
)

var basics = []test{
	{name: "CreateGetSetDelete", run: func(e *env) {
		p := e.path("a")
		if e.exists(p) {
			e.Fatal("a fresh cluster is not empty")
		}
		r := e.do(create(p, []byte("1"), tiers.Persistent))
		if r.Results[0].Path != p || r.Results[0].Stat.DataLength != 1 || r.Results[0].Err != nil {
			e.Errorf("create: %+v", r.Results[0])
		}
		if got := e.data(p); got != "1" {
			e.Errorf("read %q", got)
		}
		r = e.do(set(p, "23", anyVersion))
		if r.Results[0].Stat.DataLength != 2 {
			e.Errorf("set: %+v", r.Results[0])
		}
		if got := e.data(p); got != "23" {
			e.Errorf("read %q", got)
		}
		e.do(remove(p, anyVersion))
		if e.exists(p) {
			e.Error("deleted, and still there")
		}
		e.do(create(p, []byte("4"), tiers.Persistent))
		if got := e.data(p); got != "4" {
			e.Errorf("created again: %q", got)
		}
	}},
	{name: "NullIsNotEmpty", run: func(e *env) {
		for name, data := range map[string][]byte{"null": nil, "empty": {}, "zero": {0}, "binary": {0, 0xff, 0x80, '\n'}} {
			p := e.path(name)
			e.do(create(p, data, tiers.Persistent))
			check := func(how string) {
				v := e.see(tiers.Query{Path: p, Want: tiers.WantData})
				if !bytes.Equal(v.Data, data) || (v.Data == nil) != (data == nil) || int(v.Stat.DataLength) != len(data) {
					e.Errorf("%s %s: %#v, length %d", name, how, v.Data, v.Stat.DataLength)
				}
			}
			check("created")
			e.do(set(p, "other", anyVersion))
			e.do(tiers.Op{Kind: tiers.OpSetData, Path: p, Data: data, Version: anyVersion})
			check("set")
		}
	}},
	{name: "Children", run: func(e *env) {
		p := e.path("p")
		e.do(create(p, nil, tiers.Persistent))
		e.children(p)
		for _, name := range []string{"c", "a", "b", "B", "ab"} {
			e.do(create(p+"/"+name, nil, tiers.Persistent))
		}
		e.do(create(p+"/a/below", nil, tiers.Persistent))
		e.children(p, "B", "a", "ab", "b", "c")
		e.do(remove(p+"/b", anyVersion))
		e.children(p, "B", "a", "ab", "c")
		e.children(p+"/a", "below")
		if n := e.stat(p).NumChildren; n != 4 {
			e.Errorf("%d children by stat", n)
		}
	}},
	{name: "OnlyWhatWasWanted", run: func(e *env) {
		p := e.path("a")
		e.do(create(p, []byte("data"), tiers.Persistent))
		e.do(create(p+"/c", nil, tiers.Persistent))
		for _, want := range []tiers.Want{tiers.WantStat, tiers.WantData, tiers.WantChildren, tiers.WantACL} {
			v := e.see(tiers.Query{Path: p, Want: want})
			if (v.Data != nil) != (want == tiers.WantData) || (v.Children != nil) != (want == tiers.WantChildren) || (v.ACL != nil) != (want == tiers.WantACL) {
				e.Errorf("want %d: %+v", want, v)
			}
			if v.Stat.DataLength != 4 || v.Stat.NumChildren != 1 {
				e.Errorf("want %d: stat %+v", want, v.Stat)
			}
			if v.Armed {
				e.Errorf("want %d: a watch out of nothing", want)
			}
		}
		if v := e.see(tiers.Query{Path: p, Want: tiers.WantACL}); len(v.ACL) != 1 || v.ACL[0] != tiers.OpenACL[0] {
			e.Errorf("the ACL is %v", v.ACL)
		}
		for _, path := range []string{p, e.path("none"), "/none/at/all"} {
			if _, err := e.read(tiers.Query{Path: path, Want: tiers.WantNothing}); err != nil {
				e.Errorf("wanting nothing of %s: %v", path, err)
			}
			if err := tiers.Sync(e.ctx, e.tier, path); err != nil {
				e.Errorf("sync %s: %v", path, err)
			}
		}
	}},
	{name: "TheCallersBytesStayTheirs", run: func(e *env) {
		p := e.path("a")
		data := []byte("1234")
		e.do(create(p, data, tiers.Persistent))
		v := e.see(tiers.Query{Path: p, Want: tiers.WantData})
		e.do(set(p, "5678", anyVersion))
		if string(v.Data) != "1234" {
			e.Errorf("an old view has changed to %q", v.Data)
		}
		old := e.see(tiers.Query{Path: e.base, Want: tiers.WantChildren}).Children
		e.do(create(e.path("b"), nil, tiers.Persistent))
		if len(old) != 1 || old[0] != "a" {
			e.Errorf("an old list has changed to %q", old)
		}
	}},
}
