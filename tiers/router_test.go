package tiers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/tiertest/memtier"
)

// shared shows the tree of another tier, as the readonly tier does.
type shared struct{ *memtier.Tier }

func (s *shared) TreeOf() tiers.Tier { return s.Tier }

// byValue is a tier that can't be compared.
type byValue struct {
	tiers.Tier
	_ []int
}

// three is a router over a strong tree, a view of it at /config, and another tree at /services and /a/b/remote.
func three(t *testing.T) (r *tiers.Router, strong, services *memtier.Tier) {
	t.Helper()
	strong = memtier.New(memtier.Options{Contract: named("strong")})
	services = memtier.New(memtier.Options{Contract: named("services"), Mounts: []string{"/services", "/a/b/remote"}})
	t.Cleanup(func() {
		strong.Close()
		services.Close()
	})
	r, err := tiers.NewRouter(strong,
		tiers.Route{Prefix: "/services", Tier: services},
		tiers.Route{Prefix: "/config", Tier: &shared{strong}},
		tiers.Route{Prefix: "/a/b/remote", Tier: services},
		tiers.Route{Prefix: "/services/own", Tier: strong},
	)
	if err != nil {
		t.Fatal(err)
	}
	return r, strong, services
}

func named(name string) tiers.Contract {
	c := memtier.Full
	c.Tier = name
	return c
}

func create(path, data string) tiers.Op {
	return tiers.Op{Kind: tiers.OpCreate, Path: path, Data: []byte(data), ACL: tiers.OpenACL}
}

func set(path, data string) tiers.Op {
	return tiers.Op{Kind: tiers.OpSetData, Path: path, Data: []byte(data), Version: tiers.AnyVersion}
}

func remove(path string) tiers.Op {
	return tiers.Op{Kind: tiers.OpDelete, Path: path, Version: tiers.AnyVersion}
}

func do(t *testing.T, tier tiers.Tier, ops ...tiers.Op) {
	t.Helper()
	if _, err := tiers.Do(t.Context(), tier, tiers.Txn{Ops: ops}); err != nil {
		t.Fatal(err)
	}
}

func data(path string) tiers.Query { return tiers.Query{Path: path, Want: tiers.WantData} }

func TestRouterConfiguration(t *testing.T) {
	m := memtier.New(memtier.Options{})
	defer m.Close()
	for name, c := range map[string]struct {
		root   tiers.Tier
		routes []tiers.Route
		says   string
	}{
		"no root":          {nil, nil, "no tier"},
		"a nil root":       {(*memtier.Tier)(nil), nil, "no tier"},
		"no tier":          {m, []tiers.Route{{Prefix: "/a"}}, `"/a": no tier`},
		"by value":         {byValue{Tier: m}, nil, "use a pointer"},
		"root twice":       {m, []tiers.Route{{Prefix: "/", Tier: m}}, "given twice"},
		"twice":            {m, []tiers.Route{{Prefix: "/a", Tier: m}, {Prefix: "/a", Tier: m}}, `"/a" is given twice`},
		"empty":            {m, []tiers.Route{{Prefix: "", Tier: m}}, "empty"},
		"relative":         {m, []tiers.Route{{Prefix: "a", Tier: m}}, "slash"},
		"trailing slash":   {m, []tiers.Route{{Prefix: "/a/", Tier: m}}, "ends with a slash"},
		"empty component":  {m, []tiers.Route{{Prefix: "/a//b", Tier: m}}, `component ""`},
		"dots":             {m, []tiers.Route{{Prefix: "/a/../b", Tier: m}}, `component ".."`},
		"a dot":            {m, []tiers.Route{{Prefix: "/.", Tier: m}}, `component "."`},
		"a zero character": {m, []tiers.Route{{Prefix: "/a\x00", Tier: m}}, "component"},
	} {
		r, err := tiers.NewRouter(c.root, c.routes...)
		if r != nil || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.says)
		}
	}
}

func TestLongestPrefixWins(t *testing.T) {
	r, _, _ := three(t)
	for path, want := range map[string]string{
		"/": "strong", "": "strong", "/x": "strong", "/servicesx": "strong", "/config/x": "strong", "relative": "strong",
		"/services": "services", "/services/": "services", "/services/a/b": "services", "/services//x": "services",
		"/services/own": "strong", "/services/own/x": "strong", "/services/owner": "services",
		"/a/b": "strong", "/a/b/remote": "services", "/a/b/remote/x": "services", "/a/b/remotely": "strong",
	} {
		if got := r.Contract(path).Tier; got != want {
			t.Errorf("%q goes to %s, want %s", path, got, want)
		}
	}
	if prefix, _ := r.Route("/services/own/x"); prefix != "/services/own" {
		t.Errorf("the prefix is %q", prefix)
	}
	do(t, r, create("/services/a", "1"))
	if v, err := r.Read(t.Context(), data("/services/a")); err != nil || string(v.Data) != "1" {
		t.Errorf("%q, %v", v.Data, err)
	}
}

// A mount of another tree is shown among the children of its parent; one of the same tree is an ordinary znode.
func TestMountsAreChildren(t *testing.T) {
	r, strong, services := three(t)
	do(t, r, create("/zoo", ""), create("/a", ""))
	do(t, r, create("/a/b", ""))
	do(t, r, create("/services/api", ""))
	ways := map[string]func(tiers.Query) (tiers.View, error){
		"Read": func(q tiers.Query) (tiers.View, error) { return r.Read(t.Context(), q) },
		"Follow": func(q tiers.Query) (tiers.View, error) {
			rec, err := r.Follow(t.Context(), q, nil).Wait(t.Context())
			return rec.View, err
		},
	}
	children := func(path string, want ...string) {
		t.Helper()
		for name, read := range ways {
			v, err := read(tiers.Query{Path: path, Want: tiers.WantChildren})
			if err != nil || !slices.Equal(v.Children, want) || int(v.Stat.NumChildren) != len(want) {
				t.Errorf("%s: children of %q are %v, number %d, %v; want %v", name, path, v.Children, v.Stat.NumChildren, err, want)
			}
			for _, w := range []tiers.Want{tiers.WantStat, tiers.WantData, tiers.WantACL} {
				if v, err := read(tiers.Query{Path: path, Want: w}); err != nil || int(v.Stat.NumChildren) != len(want) {
					t.Errorf("%s: the Stat of %q has %d children, %v; want %d", name, path, v.Stat.NumChildren, err, len(want))
				}
			}
		}
	}
	children("/", "a", "services", "zoo", "zookeeper")
	children("", "a", "services", "zoo", "zookeeper")
	children("/a/b", "remote")
	children("/services", "api", "own") // another tree again
	children("/zoo")

	do(t, r, create("/config", ""))
	children("/", "a", "config", "services", "zoo", "zookeeper")

	// The parent's tier may have a znode of that name from before: it is shown once.
	do(t, strong, create("/services", "from before"))
	for name, read := range ways {
		v, err := read(tiers.Query{Path: "/", Want: tiers.WantChildren})
		if err != nil || !slices.Equal(v.Children, []string{"a", "config", "services", "zoo", "zookeeper"}) || v.Stat.NumChildren != 5 {
			t.Errorf("%s: %v, %d, %v", name, v.Children, v.Stat.NumChildren, err)
		}
	}
	if v, err := strong.Read(t.Context(), tiers.Query{Path: "/a/b", Want: tiers.WantChildren}); err != nil || len(v.Children) != 0 {
		t.Errorf("the tier's own view was changed: %v, %v", v.Children, err)
	}

	_, err := tiers.Do(t.Context(), r, tiers.Txn{Ops: []tiers.Op{remove("/a/b")}})
	if !errors.Is(err, tiers.ErrNotEmpty) {
		t.Errorf("deleting the parent of a mount: %v", err)
	}
	if _, err := services.Read(t.Context(), tiers.Query{Path: "/a/b/remote"}); err != nil {
		t.Error(err)
	}
}

func TestTxnOverTrees(t *testing.T) {
	r, strong, services := three(t)
	rec, err := tiers.Do(t.Context(), r, tiers.Txn{Ops: []tiers.Op{create("/x", ""), create("/services/x", ""), create("/y", "")}})
	ce := (*tiers.ContractError)(nil)
	if !errors.As(err, &ce) || ce.Tier != "router" || ce.Path != "/services/x" || ce.Hint == "" || !strings.Contains(ce.What, "/x") {
		t.Fatalf("%v", err)
	}
	if rs := rec.Results; len(rs) != 3 || !errors.Is(rs[0].Err, tiers.ErrRolledBack) || !errors.Is(rs[1].Err, tiers.ErrContract) || !errors.Is(rs[2].Err, tiers.ErrNotTried) {
		t.Errorf("results %v", rec.Results)
	}
	if strong.Zxid() != 0 {
		t.Error("something was applied")
	}
	do(t, r, create("/x", ""), create("/config", ""), create("/config/x", "")) // two tiers, one tree
	do(t, r, create("/services/x", ""), create("/a/b/remote/x", ""))           // two mounts, one tree
	do(t, r)
	z := services.Zxid()
	do(t, r, tiers.Op{Kind: tiers.OpCheck, Path: "/services/x", Version: tiers.AnyVersion}, set("/services/x", "1"))
	if services.Zxid() != z+1 {
		t.Error("the txn went elsewhere")
	}
}

// The path of a session's op selects the tier.
func TestSessionsPerTree(t *testing.T) {
	r, strong, services := three(t)
	open := func(path string) {
		t.Helper()
		if _, err := tiers.Do(t.Context(), r, tiers.Txn{Session: 7, Ops: []tiers.Op{{Kind: tiers.OpOpenSession, Path: path, Timeout: 1e12}}}); err != nil {
			t.Fatal(err)
		}
	}
	open("/services")
	if strong.Stats().Sessions != 0 || services.Stats().Sessions != 1 {
		t.Error("opened elsewhere")
	}
	open("")
	if strong.Stats().Sessions != 1 {
		t.Error("without a path it is the root's")
	}
}

// places answers in whatever order the trees are released: what each read sees is what its place says. The memory tiers refuse
// to follow what they do not know.
func TestFollowOverTrees(t *testing.T) {
	for name, releases := range map[string][]int{"strong first": {0, 1}, "services first": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			r, strong, services := three(t)
			do(t, r, create("/x", "0"))
			do(t, r, create("/services/x", "0"))
			hold := []func(){strong.Hold(), services.Hold()}

			const session = 5
			submit := func(path string, i int) *tiers.Pending {
				return r.Submit(t.Context(), tiers.Txn{Session: session, Ops: []tiers.Op{set(path, fmt.Sprint(i))}})
			}
			type placed struct {
				path string
				want int
				p    *tiers.Pending
			}
			var reads []placed
			var last *tiers.Pending
			for i := 1; i <= 5; i++ {
				last = submit("/x", i)
				for _, path := range []string{"/services/x", "/x", "/config/none", "/services/x", "/"} {
					q := data(path)
					last = r.Follow(t.Context(), q, last)
					switch path {
					case "/x":
						reads = append(reads, placed{path, i, last})
					case "/services/x":
						reads = append(reads, placed{path, i - 1, last})
					}
				}
				last = submit("/services/x", i)
			}
			end := r.Follow(t.Context(), data("/x"), last)
			for _, i := range releases {
				hold[i]()
			}
			for i, x := range reads {
				rec, err := x.p.Wait(t.Context())
				if err != nil || string(rec.View.Data) != fmt.Sprint(x.want) {
					t.Errorf("read %d, of %s: %q, %v; want %d", i, x.path, rec.View.Data, err, x.want)
				}
			}
			if rec, err := end.Wait(t.Context()); err != nil || string(rec.View.Data) != "5" {
				t.Errorf("at the end: %q, %v", rec.View.Data, err)
			}
		})
	}
}

// Without a session to order, a Follow of another tree waits all the same.
func TestFollowOverTreesWithoutSession(t *testing.T) {
	r, strong, _ := three(t)
	release := strong.Hold()
	w := r.Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{create("/x", "")}})
	p := r.Follow(t.Context(), data("/services"), w)
	if _, _, done := p.Result(); done {
		t.Error("answered before what it follows")
	}
	do(t, r, create("/services/other", "")) // nobody else waits
	release()
	if _, err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// Only the session that waits for a tree is held up by it.
func TestOtherSessionsDoNotWait(t *testing.T) {
	r, strong, _ := three(t)
	release := strong.Hold()
	defer release()
	w := r.Submit(t.Context(), tiers.Txn{Session: 1, Ops: []tiers.Op{create("/x", "")}})
	r.Follow(t.Context(), data("/services"), w)
	held := r.Submit(t.Context(), tiers.Txn{Session: 1, Ops: []tiers.Op{create("/services/1", "")}})
	free := r.Submit(t.Context(), tiers.Txn{Session: 2, Ops: []tiers.Op{create("/services/2", "")}})
	if _, err := free.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if _, _, done := held.Result(); done {
		t.Error("a txn overtakes its session's read")
	}
	release()
	if _, err := held.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	r, strong, services := three(t)
	release := strong.Hold()
	ctx, cancel := context.WithCancel(t.Context())
	w := r.Submit(t.Context(), tiers.Txn{Session: 1, Ops: []tiers.Op{create("/x", "")}})
	read := r.Follow(ctx, data("/services"), w)
	write := r.Submit(ctx, tiers.Txn{Session: 1, Ops: []tiers.Op{create("/services/1", "")}})
	cancel()
	for _, p := range []*tiers.Pending{read, write} {
		if _, err := p.Wait(t.Context()); !errors.Is(err, tiers.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
	release()
	if _, err := services.Read(t.Context(), data("/services/1")); err != nil && !errors.Is(err, tiers.ErrNoNode) {
		t.Error(err)
	}
	do(t, r, create("/services/2", "")) // nothing is stuck
}

type events struct{ got []string }

func (e *events) Notify(ev tiers.Event) { e.got = append(e.got, ev.Type.String()+" "+ev.Path) }

func (e *events) take() string {
	s := strings.Join(e.got, ", ")
	e.got = nil
	return s
}

func TestWatchesOverTrees(t *testing.T) {
	r, strong, services := three(t)
	w := new(events)
	if err := r.AddWatch("/", tiers.ScopeRecursive, w); err != nil {
		t.Fatal(err)
	}
	if !strong.HasWatch(w, "/", tiers.ScopeRecursive) || !services.HasWatch(w, "/", tiers.ScopeRecursive) || !r.HasWatch(w, "/", tiers.ScopeRecursive) {
		t.Error("a recursive watch does not reach what is mounted below")
	}
	do(t, r, create("/config", ""))
	do(t, r, create("/services/a", ""))
	if got := w.take(); got != "NodeCreated /config, NodeCreated /services/a" {
		t.Errorf("events: %s", got)
	}
	if !r.Unwatch(w, "/", tiers.ScopeRecursive) || r.HasWatch(w, "/", tiers.ScopeAny) || r.Unwatch(w, "/", tiers.ScopeRecursive) {
		t.Error("the watch is not removed once")
	}

	if err := r.AddWatch("/a", tiers.ScopeRecursive, w); err != nil {
		t.Fatal(err)
	}
	do(t, r, create("/services/b", ""))
	do(t, r, create("/a/b/remote/c", ""))
	if got := w.take(); got != "NodeCreated /a/b/remote/c" {
		t.Errorf("events below /a: %s", got)
	}
	if err := r.AddWatch("/services", tiers.ScopePersistent, w); err != nil {
		t.Fatal(err)
	}
	if strong.HasWatch(w, "/services", tiers.ScopeAny) {
		t.Error("a watch on one znode is armed elsewhere")
	}
	if !r.Unwatch(w, "", tiers.ScopeAny) || r.HasWatch(w, "/a", tiers.ScopeAny) || r.HasWatch(w, "/services", tiers.ScopeAny) {
		t.Error("not all watches are removed")
	}
}

// A recursive watch that one tree refuses is armed in none.
func TestWatchAllOrNone(t *testing.T) {
	r, strong, services := three(t)
	services.Close()
	w := new(events)
	if err := r.AddWatch("/", tiers.ScopeRecursive, w); !errors.Is(err, tiers.ErrClosed) {
		t.Errorf("%v", err)
	}
	if strong.HasWatch(w, "/", tiers.ScopeAny) {
		t.Error("half of it is armed")
	}
}

// touched counts.
type touched struct {
	*memtier.Tier
	n int
}

func (c *touched) Touch(tiers.SessionID) { c.n++ }

type sharing struct {
	tiers.Tier
	with *touched
}

func (s *sharing) TreeOf() tiers.Tier       { return s.with }
func (s *sharing) Touch(id tiers.SessionID) { s.with.Touch(id) }

func TestTouchReachesEveryTreeOnce(t *testing.T) {
	a, b := &touched{Tier: memtier.New(memtier.Options{})}, &touched{Tier: memtier.New(memtier.Options{})}
	defer a.Close()
	defer b.Close()
	r, err := tiers.NewRouter(a, tiers.Route{Prefix: "/b", Tier: b}, tiers.Route{Prefix: "/c", Tier: b}, tiers.Route{Prefix: "/d", Tier: &sharing{a, a}})
	if err != nil {
		t.Fatal(err)
	}
	r.Touch(1)
	if a.n != 1 || b.n != 1 {
		t.Errorf("touched %d and %d times", a.n, b.n)
	}
}
