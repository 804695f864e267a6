package eventual

import (
	"errors"
	"slices"
	"testing"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

// world is a view alone, with the events it fired.
type world struct {
	*view
	at     tiers.Zxid
	seq    uint64
	events []tiers.Event
}

func newWorld(mounts ...string) *world {
	w := &world{at: 1}
	w.view = newView(crdt.New(), mounts, func() tiers.Zxid { return w.at })
	w.hub.Add("/", tiers.ScopeRecursive, w)
	return w
}

func (w *world) Notify(e tiers.Event) { w.events = append(w.events, e) }

// say puts a record of another member in and returns the events.
func (w *world) say(r crdt.Record) (said []string) {
	w.seq++
	w.at++
	r.Seq, r.Clock, r.Origin = w.seq, w.seq, crdt.Origin{Name: "other", Incarnation: 1}
	w.events = nil
	w.mu.Lock()
	w.put(&r)
	w.mu.Unlock()
	for _, e := range w.events {
		said = append(said, e.Type.String()+" "+e.Path)
	}
	return said
}

func (w *world) wants(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// A record can come before its parent's, and outlive it: what is missing is implied.
func TestImpliedParents(t *testing.T) {
	w := newWorld("/services")
	w.wants(t, "a grandchild", w.say(crdt.Record{Path: "/services/a/b"}), "NodeCreated /services/a", "NodeCreated /services/a/b")
	stat := func(path string) tiers.Stat {
		a, err := w.read(tiers.Query{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		return a.Stat
	}
	if s := stat("/services/a"); s.Czxid != 2 || s.NumChildren != 1 || s.Cversion != 1 || s.EphemeralOwner != 0 {
		t.Errorf("the implied znode: %+v", s)
	}
	w.wants(t, "its own record", w.say(crdt.Record{Path: "/services/a", Data: []byte("x"), Version: 2, Mtime: 5}), "NodeDataChanged /services/a")
	if s := stat("/services/a"); s.DataLength != 1 || s.Version != 2 || s.Mtime != 5 || s.Mzxid != 3 {
		t.Errorf("the znode: %+v", s)
	}
	w.wants(t, "a deletion above a child", w.say(crdt.Record{Path: "/services/a", Deleted: true}))
	if s := stat("/services/a"); s.NumChildren != 1 || s.DataLength != 0 {
		t.Errorf("the znode that is implied again: %+v", s)
	}
	w.wants(t, "the last child goes", w.say(crdt.Record{Path: "/services/a/b", Deleted: true}), "NodeDeleted /services/a/b", "NodeDeleted /services/a")
	if s := stat("/services"); s.NumChildren != 0 || s.Pzxid != 5 || s.Cversion != 2 {
		t.Errorf("the mount: %+v", s)
	}
	if _, err := w.read(tiers.Query{Path: "/services/a"}); !errors.Is(err, tiers.ErrNoNode) {
		t.Errorf("what is gone: %v", err)
	}
	w.wants(t, "the mount is said to be deleted", w.say(crdt.Record{Path: "/services", Deleted: true}))
	stat("/services")
}

func TestHiddenHosts(t *testing.T) {
	w := newWorld("/services")
	host := crdt.Origin{Name: "h", Incarnation: 1}
	w.say(crdt.Record{Path: "/services/e", Session: 9, Host: host})
	w.say(crdt.Record{Path: "/services/f", Session: 9, Host: host})
	if len(w.ephemerals(9)) != 2 || w.hosted[host][9] != 2 {
		t.Errorf("%v of %v", w.owned, w.hosted)
	}
	w.hide(host, 9, true)
	w.events = nil
	w.show("/services/e")
	w.fire()
	if len(w.events) != 1 || w.events[0].Type != tiers.NodeDeleted {
		t.Errorf("hidden: %v", w.events)
	}
	w.wants(t, "news of what is hidden", w.say(crdt.Record{Path: "/services/e", Session: 9, Host: host, Data: []byte("x"), Mtime: 1}))
	w.wants(t, "taken over by another host", w.say(crdt.Record{Path: "/services/e", Session: 9, Host: crdt.Origin{Name: "i"}}), "NodeCreated /services/e")
	w.say(crdt.Record{Path: "/services/f", Deleted: true})
	w.say(crdt.Record{Path: "/services/e", Deleted: true})
	if len(w.owned)+len(w.hosted)+len(w.hidden) != 0 {
		t.Errorf("left over: %v %v %v", w.owned, w.hosted, w.hidden)
	}
}

// A re-armed watch on a znode that is there counts as missed; on one that is known to be missing it is armed.
func TestRearm(t *testing.T) {
	w := newWorld("/services")
	w.say(crdt.Record{Path: "/services/a"})
	for _, x := range []struct {
		path    string
		missing bool
		armed   bool
	}{{"/services/a", false, false}, {"/services/a", true, false}, {"/services/b", false, false}, {"/services/b", true, true}} {
		spec := &tiers.WatchSpec{Watcher: new(world), Scope: tiers.ScopeData, Rearm: true, Since: 100, ExpectMissing: x.missing}
		a, err := w.read(tiers.Query{Path: x.path, Watch: spec})
		if a.Armed != x.armed || w.hub.Has(x.path, tiers.ScopeData, spec.Watcher) != x.armed {
			t.Errorf("%s, expected missing %v: armed %v, %v", x.path, x.missing, a.Armed, err)
		}
	}
}
