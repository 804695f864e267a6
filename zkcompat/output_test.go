package zkcompat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/strata-coord/strata/tiers"
)

// script drives an output and shows what it sends.
type script struct {
	*output
	t     *testing.T
	asked map[string]*slot
	names map[*slot]string
}

func newScript(t *testing.T) *script {
	return &script{output: newOutput(nil), t: t, asked: map[string]*slot{}, names: map[*slot]string{}}
}

// ask opens a slot; with a scope it arms a watch on path.
func (s *script) ask(name, path string, scope tiers.Scope, firm bool) {
	x := &slot{arm: arming{path: path, scope: scope, firm: firm}}
	if !s.open(x) {
		s.t.Fatal("the output is dead")
	}
	s.asked[name], s.names[x] = x, name
}

func (s *script) answer(name string, z tiers.Zxid) {
	x := s.asked[name]
	s.fill(x, func() { x.receipt.Zxid = z })
}

func (s *script) happen(kind tiers.EventType, path string, z tiers.Zxid) {
	s.notify(tiers.Event{Type: kind, Path: path, Zxid: z})
}

// sends takes what is due: replies by name, events as path@zxid.
func (s *script) sends(want ...string) {
	s.t.Helper()
	s.mu.Lock()
	var got []string
	for _, it := range s.due(nil) {
		switch {
		case it.slot != nil:
			got = append(got, s.names[it.slot])
		case it.event.Type != 0:
			got = append(got, fmt.Sprintf("%s@%d", it.event.Path, it.event.Zxid))
		default:
			got = append(got, "ping")
		}
	}
	s.mu.Unlock()
	if !slices.Equal(got, want) {
		s.t.Errorf("sent %v, want %v", got, want)
	}
}

func TestEventsAmongReplies(t *testing.T) {
	const data, kids, persistent, recursive = tiers.ScopeData, tiers.ScopeChildren, tiers.ScopePersistent, tiers.ScopeRecursive
	for name, run := range map[string]func(*script){
		"replies go in order": func(s *script) {
			s.ask("1", "", 0, false)
			s.ask("2", "", 0, false)
			s.answer("2", 5)
			s.sends()
			s.answer("1", 4)
			s.sends("1", "2")
		},
		"an event does not wait for open replies": func(s *script) {
			s.ask("1", "", 0, false)
			s.happen(changed, "/a", 5)
			s.sends("/a@5")
			s.answer("1", 6)
			s.sends("1")
		},
		"replies from before an event go before it": func(s *script) {
			s.ask("1", "", 0, false)
			s.answer("1", 4)
			s.happen(changed, "/a", 5)
			s.sends("1", "/a@5")
		},
		"an event waits for the reply that arms its watch": func(s *script) {
			s.ask("1", "", 0, false)
			s.ask("2", "/a", data, false)
			s.happen(changed, "/a", 5)
			s.sends()
			s.answer("2", 4)
			s.sends()
			s.answer("1", 3)
			s.sends("1", "2", "/a@5")
		},
		"but not if that reply shows it": func(s *script) {
			s.ask("1", "/a", data, false)
			s.happen(changed, "/a", 5)
			s.answer("1", 5)
			s.sends("/a@5", "1")
		},
		"nor if a reply before that shows it": func(s *script) {
			s.ask("write", "", 0, false)
			s.ask("2", "/a", data, false)
			s.happen(changed, "/a", 5)
			s.answer("write", 5)
			s.sends("/a@5", "write")
		},
		"where zxids tell nothing it waits": func(s *script) {
			s.ask("write", "", 0, false)
			s.ask("2", "/a", data, true)
			s.happen(changed, "/a", 5)
			s.answer("write", 9)
			s.sends("write")
			s.answer("2", 9)
			s.sends("2", "/a@5")
		},
		"events keep their order": func(s *script) {
			s.ask("1", "/a", data, false)
			s.happen(changed, "/a", 5)
			s.happen(changed, "/b", 6)
			s.sends()
			s.answer("1", 4)
			s.sends("1", "/a@5", "/b@6")
		},
		"a reply takes along what it shows, from the middle": func(s *script) {
			s.ask("1", "", 0, false)
			s.ask("2", "/a", data, true)
			s.happen(changed, "/a", 5)
			s.happen(changed, "/b", 6)
			s.happen(changed, "/c", 7)
			s.answer("1", 6)
			s.sends("/b@6", "1")
			s.answer("2", 7)
			s.sends("/c@7", "2", "/a@5")
		},
		"the newest arming of a watch counts": func(s *script) {
			s.ask("1", "/a", data, false)
			s.ask("2", "/a", data, false)
			s.happen(changed, "/a", 5)
			s.answer("1", 4)
			s.sends("1")
			s.answer("2", 4)
			s.sends("2", "/a@5")
		},
		"other watches' events pass": func(s *script) {
			s.ask("1", "/a", data, false)
			s.ask("2", "/a", kids, false)
			s.ask("3", "/r", recursive, true)
			s.happen(changed, "/b", 5)
			s.happen(changed, "/rx", 6)
			s.happen(children, "/r/x", 7)
			s.sends("/b@5", "/rx@6", "/r/x@7")
			s.happen(changed, "/r/x", 8)
			s.sends()
		},
		"a deletion waits for data and child watches": func(s *script) {
			s.ask("1", "/a", kids, false)
			s.happen(changed, "/a", 5)
			s.happen(deleted, "/a", 6)
			s.sends("/a@5")
			s.answer("1", 5)
			s.sends("1", "/a@6")
		},
		"all of the root's subtree": func(s *script) {
			s.ask("1", "/", recursive, true)
			s.ask("2", "/p", persistent, false)
			s.happen(created, "/a", 5)
			s.sends()
			s.answer("1", 4)
			s.sends("1", "/a@5")
			s.happen(children, "/p", 6)
			s.sends()
			s.answer("2", 5)
			s.sends("2", "/p@6")
		},
		"a failed arming lets the events go": func(s *script) {
			s.ask("1", "/a", data, false)
			s.happen(changed, "/a", 5)
			s.fill(s.asked["1"], func() { s.asked["1"].err = tiers.ErrUnavailable })
			s.sends("1", "/a@5")
		},
		"pings": func(s *script) {
			s.ask("1", "", 0, false)
			s.ping()
			s.sends("ping")
			s.ping()
			s.ask("2", "", 0, false)
			s.ping()
			s.answer("2", 2)
			s.answer("1", 1)
			s.sends("1", "ping", "2", "ping")
		},
		"nothing follows a session that has moved": func(s *script) {
			s.ask("1", "", 0, false)
			s.ask("2", "", 0, false)
			s.answer("1", 1)
			s.fill(s.asked["2"], func() { s.asked["2"].fatal, s.asked["2"].err = true, tiers.ErrSessionMoved })
			s.sends("1")
			if !errors.Is(s.deadWith(), tiers.ErrSessionMoved) || s.open(new(slot)) {
				s.t.Error("the output is alive")
			}
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			run(newScript(t))
		})
	}
}

const (
	created  = tiers.NodeCreated
	deleted  = tiers.NodeDeleted
	changed  = tiers.NodeDataChanged
	children = tiers.NodeChildrenChanged
)

// When everything is sent, nothing is kept.
func TestOutputIsEmptyInTheEnd(t *testing.T) {
	s := newScript(t)
	for i := range 3000 {
		name := fmt.Sprint(i)
		s.ask(name, "/"+name, tiers.ScopeData, i%2 == 0)
		s.asked[name].cost = 0
		s.happen(changed, "/"+name, tiers.Zxid(i+10))
		s.ping()
		s.answer(name, tiers.Zxid(i+9))
		for range 3 {
			s.mu.Lock()
			s.due(nil)
			s.mu.Unlock()
		}
	}
	o := s.output
	if len(o.slots)+len(o.events)+o.bytes+o.cost+len(o.pings)+len(o.arms.exact)+len(o.arms.recursive) != 0 {
		t.Errorf("%d slots, %d events of %d bytes, cost %d, %d pings, %d armings are left", len(o.slots), len(o.events), o.bytes, o.cost, len(o.pings), len(o.arms.exact))
	}
}

func TestMayRead(t *testing.T) {
	acl := func(perms tiers.Perm, scheme, id string) []tiers.ACL {
		return []tiers.ACL{{Perms: tiers.PermWrite, Who: tiers.Identity{Scheme: "world", ID: "anyone"}}, {Perms: perms, Who: tiers.Identity{Scheme: scheme, ID: id}}}
	}
	v4 := []tiers.Identity{{Scheme: "ip", ID: "10.1.2.3"}, {Scheme: "digest", ID: "bob:x"}}
	v6 := []tiers.Identity{{Scheme: "ip", ID: "2001:db8::1"}}
	super := []tiers.Identity{{Scheme: "super"}}
	for _, c := range []struct {
		acl    []tiers.ACL
		caller []tiers.Identity
		want   bool
	}{
		{nil, nil, true},
		{acl(tiers.PermRead, "world", "anyone"), nil, true},
		{acl(tiers.PermAdmin, "world", "anyone"), v4, false},
		{acl(tiers.PermAdmin, "world", "anyone"), super, true},
		{acl(tiers.PermAll, "digest", "bob:x"), v4, true},
		{acl(tiers.PermAll, "digest", "bob:y"), v4, false},
		{acl(tiers.PermAll, "digest", "bob:x"), v6, false},
		{acl(tiers.PermRead, "ip", "10.1.2.3"), v4, true},
		{acl(tiers.PermRead, "ip", "10.1.0.0/16"), v4, true},
		{acl(tiers.PermRead, "ip", "10.2.0.0/16"), v4, false},
		{acl(tiers.PermRead, "ip", "10.1.0.0/16"), v6, false},
		{acl(tiers.PermRead, "ip", "2001:db8::/32"), v6, true},
		{acl(tiers.PermRead, "ip", "::/0"), v4, false},
		{acl(tiers.PermRead, "ip", "::ffff:10.1.2.0/120"), v4, true},
		{acl(tiers.PermRead, "ip", "nonsense"), v4, false},
		{acl(tiers.PermRead, "ip", "nonsense/8"), v4, false},
		{acl(tiers.PermRead, "ip", "10.0.0.0/8"), []tiers.Identity{{Scheme: "ip", ID: "invalid IP"}}, false},
		{acl(tiers.PermRead, "super", ""), v4, false},
	} {
		if got := mayRead(c.acl, c.caller); got != c.want {
			t.Errorf("%v for %v: %v", c.acl, c.caller, got)
		}
	}
}

func TestNotesAreRareAndFew(t *testing.T) {
	var n notes
	if !n.due("what", "/a") || n.due("what", "/a") || !n.due("what", "/b") || !n.due("else", "/a") {
		t.Error("each once")
	}
	for i := range 5000 {
		n.due("what", fmt.Sprint(i))
	}
	if len(n.last) > maxNotes {
		t.Errorf("%d are kept", len(n.last))
	}
}
