package watch

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/strata-coord/strata/tiers"
)

// ear writes down what it hears.
type ear struct{ heard []string }

func (e *ear) Notify(ev tiers.Event) { e.heard = append(e.heard, fmt.Sprint(ev.Type, " ", ev.Path)) }

func (e *ear) take() []string {
	h := e.heard
	e.heard = nil
	return h
}

var scopeNames = map[tiers.Scope]string{
	tiers.ScopeData: "data", tiers.ScopeChildren: "children", tiers.ScopePersistent: "persistent", tiers.ScopeRecursive: "recursive",
}

// TestTriggers holds the hub against the table of zk-protocol 7.2.
func TestTriggers(t *testing.T) {
	const d, c, p, r = tiers.ScopeData, tiers.ScopeChildren, tiers.ScopePersistent, tiers.ScopeRecursive
	for _, row := range []struct {
		event tiers.EventType
		path  string // of the event; the watches are on /a
		hear  []tiers.Scope
		stay  []tiers.Scope // what is still armed afterwards
	}{
		{tiers.NodeCreated, "/a", []tiers.Scope{d, p, r}, []tiers.Scope{c, p, r}},
		{tiers.NodeDataChanged, "/a", []tiers.Scope{d, p, r}, []tiers.Scope{c, p, r}},
		{tiers.NodeDeleted, "/a", []tiers.Scope{d, c, p, r}, []tiers.Scope{p, r}},
		{tiers.NodeChildrenChanged, "/a", []tiers.Scope{c, p}, []tiers.Scope{d, p, r}},
		{tiers.NodeCreated, "/a/b", []tiers.Scope{r}, []tiers.Scope{d, c, p, r}},
		{tiers.NodeDeleted, "/a/b/c", []tiers.Scope{r}, []tiers.Scope{d, c, p, r}},
		{tiers.NodeChildrenChanged, "/a/b", nil, []tiers.Scope{d, c, p, r}},
		{tiers.NodeCreated, "/ab", nil, []tiers.Scope{d, c, p, r}},
		{tiers.NodeDeleted, "/", nil, []tiers.Scope{d, c, p, r}},
	} {
		h := New()
		ears := map[tiers.Scope]*ear{d: {}, c: {}, p: {}, r: {}}
		for s, e := range ears {
			h.Add("/a", s, e)
		}
		h.Fire(tiers.Event{Type: row.event, Path: row.path})
		for s, e := range ears {
			if heard := len(e.heard) == 1; heard != slices.Contains(row.hear, s) {
				t.Errorf("%v %s: the %s watch heard %v", row.event, row.path, scopeNames[s], e.heard)
			}
			if h.Has("/a", s, e) != slices.Contains(row.stay, s) {
				t.Errorf("%v %s: the %s watch is armed: %v", row.event, row.path, scopeNames[s], h.Has("/a", s, e))
			}
		}
		if _, _, watches := h.Stats(); watches != len(row.stay) {
			t.Errorf("%v %s: %d watches stay", row.event, row.path, watches)
		}
	}
}

func TestOneEventForEachWatcher(t *testing.T) {
	h, e := New(), &ear{}
	for range 2 {
		h.Add("/", tiers.ScopeRecursive, e)
		h.Add("/a", tiers.ScopeRecursive, e)
		h.Add("/a/b", tiers.ScopeRecursive, e)
		h.Add("/a/b", tiers.ScopePersistent, e)
		h.Add("/a/b", tiers.ScopeData, e)
		h.Add("/a/b", tiers.ScopeChildren, e)
	}
	if watchers, paths, watches := h.Stats(); watchers != 1 || paths != 3 || watches != 6 {
		t.Errorf("%d watchers, %d paths, %d watches", watchers, paths, watches)
	}
	for range 2 { // also when the one-shot ones are consumed
		h.Fire(tiers.Event{Type: tiers.NodeDeleted, Path: "/a/b"})
		if heard := e.take(); !slices.Equal(heard, []string{"NodeDeleted /a/b"}) {
			t.Errorf("heard %v", heard)
		}
		h.Fire(tiers.Event{Type: tiers.NodeChildrenChanged, Path: "/a"})
		if heard := e.take(); len(heard) != 0 {
			t.Errorf("a recursive watch heard %v", heard)
		}
		h.Fire(tiers.Event{Type: tiers.NodeCreated, Path: "/a/b/c"})
		if heard := e.take(); !slices.Equal(heard, []string{"NodeCreated /a/b/c"}) {
			t.Errorf("heard %v", heard)
		}
	}
	if h.Has("/a/b", tiers.ScopeData, e) || h.Has("/a/b", tiers.ScopeChildren, e) || !h.Has("/a/b", tiers.ScopePersistent, e) {
		t.Error("the one-shot watches should be consumed, and only they")
	}
}

func TestRemove(t *testing.T) {
	h, e, other := New(), &ear{}, &ear{}
	h.Add("/a", tiers.ScopeData, e)
	h.Add("/a", tiers.ScopePersistent, e)
	h.Add("/a", tiers.ScopeData, other)
	h.Add("/b", tiers.ScopeRecursive, e)
	if h.Remove("/a", tiers.ScopeChildren, e) || h.Remove("/c", tiers.ScopeAny, e) {
		t.Error("removed what is not there")
	}
	if !h.Remove("/a", tiers.ScopeData, e) || h.Has("/a", tiers.ScopeData, e) || !h.Has("/a", tiers.ScopeAny, e) {
		t.Error("one scope should be gone, the other not")
	}
	if !h.Remove("", tiers.ScopeAny, e) || h.Remove("", tiers.ScopeAny, e) || h.Has("/b", tiers.ScopeAny, e) {
		t.Error("all of a watcher's watches should be gone at once")
	}
	if paths, recursively := h.Watched(); !slices.Equal(paths, []string{"/a"}) || len(recursively) != 0 {
		t.Errorf("watched: %v, recursively %v", paths, recursively)
	}
	h.Remove("/a", tiers.ScopeAny, other)
	if watchers, paths, watches := h.Stats(); watchers+paths+watches+len(h.of)+len(h.paths)+h.recursive != 0 {
		t.Errorf("left: %d watchers, %d paths, %d watches", watchers, paths, watches)
	}
}

func TestNoSuchScope(t *testing.T) {
	h, e := New(), &ear{}
	for _, s := range []tiers.Scope{0, tiers.ScopeAny, tiers.ScopeAny + 1, 200} {
		h.Add("/a", s, e)
		if s != tiers.ScopeAny && h.Has("/a", s, e) {
			t.Errorf("scope %d", s)
		}
	}
	if watchers, _, _ := h.Stats(); watchers != 0 {
		t.Error("armed what is no watch")
	}
}

type counter struct{ n atomic.Int64 }

func (c *counter) Notify(tiers.Event) { c.n.Add(1) }

// TestConcurrent has watches come and go while events are fired; a one-shot watch fires once however often it was told to.
func TestConcurrent(t *testing.T) {
	h := New()
	var done, working sync.WaitGroup
	stop := make(chan struct{})
	done.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				h.Fire(tiers.Event{Type: tiers.NodeDataChanged, Path: "/x"})
			}
		}
	})
	for range 4 {
		working.Go(func() {
			for range 500 {
				c := &counter{}
				h.Add("/x", tiers.ScopeData, c)
				h.Add("/", tiers.ScopeRecursive, c)
				h.Remove("/", tiers.ScopeRecursive, c)
				h.Remove("", tiers.ScopeAny, c)
				h.Stats()
			}
			c := &counter{}
			h.Add("/once", tiers.ScopeData, c)
			for range 3 {
				h.Fire(tiers.Event{Type: tiers.NodeCreated, Path: "/once"})
			}
			if c.n.Load() != 1 {
				t.Errorf("a one-shot watch fired %d times", c.n.Load())
			}
		})
	}
	working.Wait()
	close(stop)
	done.Wait()
	if watchers, paths, watches := h.Stats(); watchers+paths+watches != 0 {
		t.Errorf("left: %d watchers, %d paths, %d watches", watchers, paths, watches)
	}
}
