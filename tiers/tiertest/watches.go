package tiertest

import (
	"fmt"
	"sync"

	"github.com/strata-coord/strata/tiers"
)

// arm reads with a watch and tells whether it was armed.
func (e *env) arm(path string, want tiers.Want, w tiers.Watcher) bool {
	e.Helper()
	scope := tiers.ScopeData
	if want == tiers.WantChildren {
		scope = tiers.ScopeChildren
	}
	v, _ := e.read(tiers.Query{Path: path, Want: want, Watch: &tiers.WatchSpec{Watcher: w, Scope: scope}})
	if has := e.tier.HasWatch(w, path, scope); has != v.Armed {
		e.Errorf("a read of %s tells armed %v, HasWatch %v", path, v.Armed, has)
	}
	return v.Armed
}

func (e *env) watch(path string, scope tiers.Scope, w tiers.Watcher) {
	e.Helper()
	if err := e.tier.AddWatch(path, scope, w); err != nil {
		e.Fatal(err)
	}
	if !e.tier.HasWatch(w, path, scope) {
		e.Errorf("no watch on %s after AddWatch", path)
	}
}

// Throughout, events must be there when the answer to the txn is: they come first.
var watches = []test{
	{name: "DataWatches", run: func(e *env) {
		p, w := e.path("a"), newRecorder()
		if !e.arm(p, tiers.WantStat, w) {
			e.Error("a stat of what is missing arms")
		}
		r := e.do(create(p, nil, tiers.Persistent))
		evs := e.wants(w, "create", "NodeCreated a")
		if len(evs) == 1 && e.contract.ReplicatedZxids && evs[0].Zxid != r.Zxid {
			e.Errorf("the event is of %v, the txn of %v", evs[0].Zxid, r.Zxid)
		}
		if len(evs) == 1 && (len(evs[0].ACL) != 1 || evs[0].ACL[0] != tiers.OpenACL[0]) {
			e.Errorf("the event's ACL: %v", evs[0].ACL)
		}
		e.do(set(p, "1", anyVersion))
		e.wants(w, "a change that nobody waits for")
		for _, want := range []tiers.Want{tiers.WantStat, tiers.WantData} {
			for range 2 {
				if !e.arm(p, want, w) {
					e.Error("a read of what is there arms")
				}
			}
			e.do(set(p, "2", anyVersion))
			e.do(set(p, "3", anyVersion))
			e.wants(w, "two changes", "NodeDataChanged a")
			if e.tier.HasWatch(w, p, tiers.ScopeAny) {
				e.Error("a watch that fired is gone")
			}
		}
		e.arm(p, tiers.WantData, w)
		e.do(create(p+"/child", nil, tiers.Persistent))
		e.do(set(p+"/child", "", anyVersion))
		e.do(remove(p+"/child", anyVersion))
		e.wants(w, "a child's life")
		e.do(remove(p, anyVersion))
		e.wants(w, "delete", "NodeDeleted a")
		for _, want := range []tiers.Want{tiers.WantData, tiers.WantChildren} {
			if e.arm(p, want, w) {
				e.Error("a failed read arms")
			}
		}
		e.do(create(p, nil, tiers.Persistent))
		e.wants(w, "create")
	}},
	{name: "ChildWatches", run: func(e *env) {
		p, w := e.path("a"), newRecorder()
		e.do(create(p, nil, tiers.Persistent))
		e.arm(p, tiers.WantChildren, w)
		e.do(set(p, "1", anyVersion))
		e.wants(w, "own data")
		e.do(create(p+"/b", nil, tiers.Persistent))
		e.do(create(p+"/c", nil, tiers.Persistent))
		e.wants(w, "two children", "NodeChildrenChanged a")
		e.arm(p, tiers.WantChildren, w)
		e.do(set(p+"/b", "1", anyVersion))
		e.do(create(p+"/b/d", nil, tiers.Persistent))
		e.wants(w, "what children do")
		e.do(remove(p+"/c", anyVersion))
		e.wants(w, "one child less", "NodeChildrenChanged a")

		q := p + "/b/d"
		e.arm(q, tiers.WantChildren, w)
		e.arm(q, tiers.WantData, w)
		e.arm(p+"/b", tiers.WantChildren, w)
		e.do(remove(q, anyVersion))
		e.wants(w, "delete under three watches", "NodeDeleted a/b/d", "NodeChildrenChanged a/b")
		if e.tier.HasWatch(w, q, tiers.ScopeAny) {
			e.Error("a deletion consumes both kinds")
		}
	}},
	{name: "WatchesThatStayAtTheirPlace", run: func(e *env) {
		p := e.path("a")
		for _, scope := range []tiers.Scope{tiers.ScopePersistent, tiers.ScopeRecursive} {
			w := newRecorder()
			e.do(create(p, nil, tiers.Persistent))
			first := e.tier.Submit(e.ctx, tiers.Txn{Ops: []tiers.Op{set(p, "1", anyVersion)}})
			armed := e.tier.Follow(e.ctx, tiers.Query{Path: p, Want: tiers.WantNothing, Watch: &tiers.WatchSpec{Watcher: w, Scope: scope}}, first)
			last := e.tier.Submit(e.ctx, tiers.Txn{Ops: []tiers.Op{set(p, "2", anyVersion)}})
			for _, pending := range []*tiers.Pending{first, armed, last} {
				if _, err := pending.Wait(e.ctx); err != nil {
					e.Fatal(err)
				}
			}
			if r, _, _ := armed.Result(); !r.View.Armed || !e.tier.HasWatch(w, p, scope) {
				e.Errorf("%v is not armed: %+v", scope, r)
			}
			e.wants(w, "what came after it", "NodeDataChanged a")
			e.tier.Unwatch(w, "", tiers.ScopeAny)
			e.do(remove(p, anyVersion))
		}
	}},
	{name: "PersistentWatches", run: func(e *env) {
		p, w := e.path("a"), newRecorder()
		e.watch(p, tiers.ScopePersistent, w)
		for range 2 {
			e.do(create(p, nil, tiers.Persistent))
			e.do(set(p, "1", anyVersion))
			e.do(set(p, "2", anyVersion))
			e.do(create(p+"/b", nil, tiers.Persistent))
			e.do(set(p+"/b", "1", anyVersion))
			e.do(remove(p+"/b", anyVersion))
			e.do(remove(p, anyVersion))
			e.wants(w, "a life", "NodeCreated a", "NodeDataChanged a", "NodeDataChanged a", "NodeChildrenChanged a", "NodeChildrenChanged a", "NodeDeleted a")
		}
	}},
	{name: "RecursiveWatches", run: func(e *env) {
		p, w := e.path("a"), newRecorder()
		e.watch(p, tiers.ScopeRecursive, w)
		e.do(create(p, nil, tiers.Persistent))
		e.do(create(p+"/b", nil, tiers.Persistent))
		e.do(create(p+"/b/c", nil, tiers.Persistent))
		e.do(create(p+"b", nil, tiers.Persistent)) // begins alike, and is elsewhere
		e.do(set(p+"/b/c", "1", anyVersion))
		e.do(remove(p+"/b/c", anyVersion))
		e.wants(w, "a life below", "NodeCreated a", "NodeCreated a/b", "NodeCreated a/b/c", "NodeDataChanged a/b/c", "NodeDeleted a/b/c")
	}},
	{name: "OneEventPerChange", run: func(e *env) {
		p, w, other := e.path("a"), newRecorder(), newRecorder()
		e.do(create(p, nil, tiers.Persistent))
		e.watch(e.base, tiers.ScopeRecursive, w)
		e.watch(p, tiers.ScopeRecursive, w)
		e.watch(p, tiers.ScopePersistent, w)
		e.watch(p, tiers.ScopePersistent, w)
		e.arm(p, tiers.WantData, w)
		e.watch(p, tiers.ScopePersistent, other)
		e.do(set(p, "1", anyVersion))
		e.wants(w, "a change under many watches", "NodeDataChanged a")
		e.wants(other, "a change under another's watches", "NodeDataChanged a")
		e.do(create(p+"/b", nil, tiers.Persistent))
		e.wants(w, "a change below many watches", "NodeCreated a/b", "NodeChildrenChanged a")
		e.do(remove(p+"/b", anyVersion))
		w.take()
		e.do(remove(p, anyVersion))
		e.wants(w, "a deletion", "NodeDeleted a")
		if e.contract.ACLs {
			e.do(create(p, nil, tiers.Persistent))
			w.take()
			e.do(setACL(p, tiers.OpenACL, anyVersion))
			e.wants(w, "setACL")
		}
	}},
	{name: "Unwatch", run: func(e *env) {
		p, w, other := e.path("a"), newRecorder(), newRecorder()
		e.do(create(p, nil, tiers.Persistent))
		all := []tiers.Scope{tiers.ScopeData, tiers.ScopeChildren, tiers.ScopePersistent, tiers.ScopeRecursive}
		arm := func() {
			for _, s := range all {
				e.watch(p, s, w)
				e.watch(p, s, other)
			}
		}
		arm()
		for _, s := range all {
			if e.tier.Unwatch(w, p+"/b", s) || e.tier.Unwatch(w, e.base, s) {
				e.Error("a watch is on exactly its path")
			}
			if !e.tier.Unwatch(w, p, s) || e.tier.Unwatch(w, p, s) || e.tier.HasWatch(w, p, s) {
				e.Errorf("scope %d is not removed once", s)
			}
			if !e.tier.HasWatch(other, p, s) {
				e.Errorf("scope %d of another is removed", s)
			}
		}
		arm()
		if !e.tier.Unwatch(w, p, tiers.ScopeAny) || e.tier.HasWatch(w, p, tiers.ScopeAny) || e.tier.Unwatch(w, p, tiers.ScopeAny) {
			e.Error("any scope on a path is not removed once")
		}
		arm()
		e.watch(e.base, tiers.ScopePersistent, w)
		if !e.tier.Unwatch(w, "", tiers.ScopeAny) || e.tier.HasWatch(w, e.base, tiers.ScopeAny) || e.tier.Unwatch(w, "", tiers.ScopeAny) {
			e.Error("all of a watcher's watches are not removed once")
		}
		e.do(remove(p, anyVersion))
		e.wants(w, "a deletion that nobody watches")
		e.wants(other, "a deletion", "NodeDeleted a")
	}},
	{name: "Rearm", run: func(e *env) {
		if !e.contract.ReplicatedZxids {
			return
		}
		p, w := e.path("a"), newRecorder()
		e.do(create(p, nil, tiers.Persistent))
		seen := e.see(tiers.Query{Path: p, Want: tiers.WantNothing}).Zxid
		rearm := func(what string, want tiers.Want, scope tiers.Scope, path string, missing, armed bool) {
			e.Helper()
			v, _ := e.read(tiers.Query{Path: path, Want: want, Watch: &tiers.WatchSpec{
				Watcher: w, Scope: scope, Rearm: true, Since: seen, ExpectMissing: missing,
			}})
			if v.Armed != armed || e.tier.HasWatch(w, path, scope) != armed {
				e.Errorf("%s: armed %v, want %v", what, v.Armed, armed)
			}
			e.tier.Unwatch(w, "", tiers.ScopeAny)
		}
		none := e.path("none")
		rearm("unchanged data", tiers.WantStat, tiers.ScopeData, p, false, true)
		rearm("unchanged children", tiers.WantChildren, tiers.ScopeChildren, p, false, true)
		rearm("still missing", tiers.WantStat, tiers.ScopeData, none, true, true)
		rearm("gone", tiers.WantStat, tiers.ScopeData, none, false, false)
		rearm("come", tiers.WantStat, tiers.ScopeData, p, true, false)
		e.do(set(p, "1", anyVersion))
		rearm("changed data", tiers.WantStat, tiers.ScopeData, p, false, false)
		rearm("children, when only data changed", tiers.WantChildren, tiers.ScopeChildren, p, false, true)
		e.do(create(p+"/b", nil, tiers.Persistent))
		rearm("changed children", tiers.WantChildren, tiers.ScopeChildren, p, false, false)
		seen = e.see(tiers.Query{Path: p, Want: tiers.WantNothing}).Zxid
		rearm("data seen since", tiers.WantStat, tiers.ScopeData, p, false, true)
		e.wants(w, "rearming")
	}},
	{name: "EventsComeFirst", run: func(e *env) {
		p := e.path("a")
		e.do(create(p, nil, tiers.Persistent))
		var mu sync.Mutex
		var story []string
		tell := func(s string) {
			mu.Lock()
			story = append(story, s)
			mu.Unlock()
		}
		if err := e.tier.AddWatch(p, tiers.ScopePersistent, notify(func(ev tiers.Event) { tell("event") })); err != nil {
			e.Fatal(err)
		}
		s := e.session(0)
		var last *tiers.Pending
		const n = 20
		for i := range n {
			last = e.tier.Submit(e.ctx, tiers.Txn{Session: s.id, Ops: one(set(p, fmt.Sprint(i), anyVersion))})
			last.Then(func(tiers.Receipt, error) { tell("answer") })
		}
		if _, err := last.Wait(e.ctx); err != nil {
			e.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		events := 0
		answers := 0
		for _, s := range story {
			if s == "event" {
				events++
			} else if answers++; answers > events {
				e.Fatalf("answer %d came before its event: %v", answers, story)
			}
		}
		if events != n {
			e.Errorf("%d events of %d changes", events, n)
		}
	}},
	{name: "AWatchSeesEverythingAfterItsPlace", run: func(e *env) {
		p := e.path("a")
		e.do(create(p, []byte("0"), tiers.Persistent))
		s := e.session(0)
		type armed struct {
			w    *recorder
			read *tiers.Pending
			next *tiers.Pending
		}
		var as []armed
		last := e.tier.Submit(e.ctx, tiers.Txn{Session: s.id, Ops: one(set(p, "first", anyVersion))})
		for i := range 20 {
			a := armed{w: newRecorder()}
			a.read = e.tier.Follow(e.ctx, tiers.Query{Path: p, Want: tiers.WantData, Watch: &tiers.WatchSpec{Watcher: a.w, Scope: tiers.ScopeData}}, last)
			a.next = e.tier.Submit(e.ctx, tiers.Txn{Session: s.id, Ops: one(set(p, fmt.Sprint(i), anyVersion))})
			last = a.next
			as = append(as, a)
		}
		for i, a := range as {
			if r, err := a.read.Wait(e.ctx); err != nil || !r.View.Armed {
				e.Fatalf("read %d: armed %v, %v", i, r.View.Armed, err)
			}
			r, err := a.next.Wait(e.ctx)
			if err != nil {
				e.Fatal(err)
			}
			evs := e.wants(a.w, "the write behind the watch", "NodeDataChanged a")
			if len(evs) == 1 && e.contract.ReplicatedZxids && evs[0].Zxid != r.Zxid {
				e.Errorf("watch %d was told of %v instead of %v", i, evs[0].Zxid, r.Zxid)
			}
		}
	}},
}

// notify is a function as a Watcher; each is a watcher of its own.
type notifier struct{ f func(tiers.Event) }

func notify(f func(tiers.Event)) *notifier { return &notifier{f} }
func (n *notifier) Notify(ev tiers.Event)  { n.f(ev) }
