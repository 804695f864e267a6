package tiertest

import (
	"fmt"
	"strings"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// ttl is a create that expires.
func ttl(path string, mode tiers.CreateMode, d time.Duration) tiers.Op {
	op := create(path, nil, mode)
	op.TTL = d
	return op
}

// sequencesPerMember: numbers of ten digits are unique everywhere, and increase at each member.
func sequencesPerMember(e *env, p string) {
	e.Helper()
	last := ""
	for _, name := range []string{"s-", "t-", "", "s-"} {
		got := e.do(create(p+"/"+name, nil, tiers.PersistentSequential)).Results[0].Path
		number := got[max(0, len(got)-10):]
		if got != p+"/"+name+number || strings.Trim(number, "0123456789") != "" || number <= last {
			e.Errorf("created %q after the number %q", got, last)
		}
		last = number
	}
	got := e.session(0).do(create(p+"/e-", nil, tiers.EphemeralSequential)).Results[0]
	if got.Stat.EphemeralOwner == 0 || !strings.HasPrefix(got.Path, p+"/e-") {
		e.Errorf("created %+v", got)
	}
	e.fails(one(create(e.path("none/s-"), nil, tiers.PersistentSequential)), tiers.ErrNoNode)
	e.fails(one(create(p+"/./s-", nil, tiers.PersistentSequential)), tiers.ErrNoNode, tiers.ErrBadArguments)
}

var modes = []test{
	{name: "Sequences", run: func(e *env) {
		p := e.path("q")
		e.do(create(p, nil, tiers.Persistent))
		if e.contract.SequentialPerMember {
			sequencesPerMember(e, p)
			return
		}
		if !e.offered(e.contract.Sequential, tiers.Txn{Ops: one(create(p+"/s-", nil, tiers.PersistentSequential))}) {
			return
		}
		next := func(name string, mode tiers.CreateMode, want string) {
			e.Helper()
			if r := e.do(create(p+"/"+name, nil, mode)); r.Results[0].Path != p+"/"+want {
				e.Errorf("created %q, want %q", r.Results[0].Path, want)
			}
		}
		next("s-", tiers.PersistentSequential, "s-0000000000")
		next("t-", tiers.PersistentSequential, "t-0000000001") // one series for all prefixes
		next("plain", tiers.Persistent, "plain")               // counts too
		next("s-", tiers.PersistentSequential, "s-0000000003")
		e.do(remove(p+"/s-0000000003", anyVersion)) // does not count
		e.fails(one(create(p+"/plain", nil, tiers.Persistent)), tiers.ErrNodeExists)
		next("s-", tiers.PersistentSequential, "s-0000000004")
		next("", tiers.PersistentSequential, "0000000005") // a name may be all number
		s := e.stat(p)
		if n := (s.Cversion + s.NumChildren) / 2; n != 6 {
			e.Errorf("%d creates by the stat %+v", n, s)
		}
		e.fails(one(create(e.path("none/s-"), nil, tiers.PersistentSequential)), tiers.ErrNoNode)
	}},
	{name: "ConcurrentSequences", run: func(e *env) {
		if !e.contract.Sequential {
			return
		}
		p := e.path("q")
		e.do(create(p, nil, tiers.Persistent))
		const n = 100
		var ps []*tiers.Pending
		for range n {
			ps = append(ps, e.tier.Submit(e.ctx, tiers.Txn{Session: e.session(0).id, Ops: one(create(p+"/s-", nil, tiers.PersistentSequential))}))
		}
		seen := make(map[string]bool)
		for _, x := range ps {
			r, err := x.Wait(e.ctx)
			if err != nil {
				e.Fatal(err)
			}
			seen[r.Results[0].Path] = true
		}
		for i := range n {
			if name := fmt.Sprintf("%s/s-%010d", p, i); !seen[name] {
				e.Errorf("nobody got %s", name)
			}
		}
	}},
	{name: "ContainersAndTTLs", run: func(e *env) {
		if !e.offered(e.contract.Expiring, tiers.Txn{Ops: one(create(e.path("c"), nil, tiers.Container))}) {
			e.failsFor(tiers.Txn{Ops: one(ttl(e.path("c"), tiers.PersistentTTL, time.Hour))}, tiers.ErrContract)
			return
		}
		for _, op := range []tiers.Op{
			create(e.path("c"), nil, tiers.Container), ttl(e.path("t"), tiers.PersistentTTL, time.Hour),
			ttl(e.path("min"), tiers.PersistentTTL, time.Millisecond), ttl(e.path("max"), tiers.PersistentTTL, tiers.MaxTTL),
		} {
			e.do(op)
		}
		e.do(create(e.path("c/child"), nil, tiers.Persistent))
		e.do(create(e.path("t/child"), nil, tiers.Persistent))
		for _, name := range []string{"c", "t"} {
			if s := e.stat(e.path(name)); s.EphemeralOwner != 0 || s.NumChildren != 1 {
				e.Errorf("%s: %+v", name, s)
			}
		}
		for _, d := range []time.Duration{0, -1, -time.Millisecond, tiers.MaxTTL + time.Millisecond} {
			e.fails(one(ttl(e.path("x"), tiers.PersistentTTL, d)), tiers.ErrBadArguments)
		}
		e.fails(one(ttl(e.path("x"), tiers.Persistent, time.Hour)), tiers.ErrBadArguments)
		if e.contract.Sequential {
			r := e.do(ttl(e.path("s-"), tiers.PersistentSequentialTTL, time.Hour))
			if got := r.Results[0].Path; got != e.path("s-0000000004") {
				e.Errorf("created %s", got)
			}
			r = e.do(create(e.path("c-"), nil, tiers.ContainerSequential))
			if got := r.Results[0].Path; got != e.path("c-0000000005") {
				e.Errorf("created %s", got)
			}
			e.do(create(e.path("c-0000000005/child"), nil, tiers.Persistent))
		}
	}},
}

var versions = []test{
	{name: "Versions", run: func(e *env) {
		p := e.path("a")
		e.do(create(p, nil, tiers.Persistent))
		if !e.offered(e.contract.Conditional, tiers.Txn{Ops: one(set(p, "x", 0))}) {
			e.failsFor(tiers.Txn{Ops: one(remove(p, 0))}, tiers.ErrContract)
			e.failsFor(tiers.Txn{Ops: one(checkOp(p, 0))}, tiers.ErrContract)
			e.do(set(p, "y", anyVersion))
			e.do(remove(p, anyVersion))
			return
		}
		for i := range int32(5) {
			e.do(checkOp(p, i))
			e.do(checkOp(p, anyVersion))
			for _, wrong := range []int32{i - 3, i + 1, -2, 1 << 30} {
				if wrong != anyVersion {
					e.fails(one(checkOp(p, wrong)), tiers.ErrBadVersion)
					e.fails(one(set(p, "no", wrong)), tiers.ErrBadVersion)
					e.fails(one(remove(p, wrong)), tiers.ErrBadVersion)
				}
			}
			if s := e.do(set(p, fmt.Sprint(i), i)).Results[0].Stat; s.Version != i+1 {
				e.Errorf("set version %d: %+v", i, s)
			}
		}
		e.do(set(p, "any", anyVersion))
		if got := e.data(p); got != "any" {
			e.Errorf("read %q", got)
		}
		e.do(remove(p, 6))
		e.do(create(p, nil, tiers.Persistent))
		e.do(set(p, "", 0)) // a new znode begins anew
	}},
	{name: "CompareAndSet", run: func(e *env) {
		if !e.contract.Conditional {
			return
		}
		p := e.path("counter")
		e.do(create(p, []byte("0"), tiers.Persistent))
		e.together(4, func(int) error {
			for range 10 {
				for {
					v, err := e.tier.Read(e.ctx, tiers.Query{Path: p, Want: tiers.WantData, Fresh: true})
					if err != nil {
						return err
					}
					var n int
					if _, err := fmt.Sscan(string(v.Data), &n); err != nil {
						return err
					}
					_, err = tiers.Do(e.ctx, e.tier, tiers.Txn{Ops: one(set(p, fmt.Sprint(n+1), v.Stat.Version))})
					if err == nil {
						break
					}
					if !isOne(err, tiers.ErrBadVersion) {
						return err
					}
				}
			}
			return nil
		})
		if got := e.data(p); got != "40" || e.stat(p).Version != 40 {
			e.Errorf("counted to %s, version %d", got, e.stat(p).Version)
		}
	}},
}
