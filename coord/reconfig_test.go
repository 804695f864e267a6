package coord

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/strong"
)

var superUser = []tiers.Identity{{Scheme: "super"}}

// reconfigure asks n for a change and fails the test if it is not done.
func reconfigure(t *testing.T, n *Node, r tiers.Reconfig) tiers.View {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	r.Caller, r.Version = superUser, tiers.AnyConfig
	v, err := n.Reconfig(ctx, r)
	// On a busy machine a leader may be lost meanwhile. Then nobody knows how far it got, and asking again goes on from there.
	for errors.Is(err, tiers.ErrUnknownOutcome) && ctx.Err() == nil {
		t.Log("asks again:", err)
		v, err = n.Reconfig(ctx, r)
	}
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("\nversion=%x", int64(v.Stat.Mzxid)); !strings.HasSuffix(string(v.Data), want) || v.Zxid != v.Stat.Mzxid || v.Stat.Version != -1 {
		t.Errorf("%q, %+v", v.Data, v)
	}
	return v
}

func number(n *Node) string {
	x, _, _ := n.strong.Number()
	return fmt.Sprint(x)
}

// spec is the member as a joining one, with that number and role.
func spec(n *Node, id, role string) string {
	host, port, _ := strings.Cut(n.Addr().String(), ":")
	return fmt.Sprintf("server.%s=%s:%s:%s:%s;2181", id, host, port, port, role)
}

func leaderOf(t *testing.T, ns []*Node) (leader *Node, others []*Node) {
	t.Helper()
	until(t, "one of them leads", func() bool {
		leader, others = nil, nil
		for _, n := range ns {
			if n.strong.Leads() {
				leader = n
			} else {
				others = append(others, n)
			}
		}
		return leader != nil && len(others) == len(ns)-1
	})
	return leader, others
}

// publishedOf waits until these, and no others, are published.
func publishedOf(t *testing.T, n *Node, of ...*Node) {
	t.Helper()
	var v tiers.View
	until(t, fmt.Sprintf("%d are published", len(of)), func() bool {
		v = published(t, n)
		return string(v.Data) == configOf(v, of...)
	})
}

func votersOf(n *Node) (names []string) {
	for _, s := range n.strong.Servers() {
		if s.Voter {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return names
}

func TestReconfigRefusesInOrder(t *testing.T) {
	alone := openNode(t, Config{Name: "alone", Dir: t.TempDir(), Bind: "127.0.0.1:0"})
	ready(t, alone)
	if _, err := alone.Reconfig(t.Context(), tiers.Reconfig{Joining: "?", Version: 99}); !errors.Is(err, tiers.ErrStandalone) {
		t.Errorf("alone: %v", err)
	}
	ns := nodesAt(t, 3)
	publishedOf(t, ns[0], ns...)
	leader, others := leaderOf(t, ns)
	now := int64(published(t, leader).Stat.Mzxid)
	nobody := "server.9=127.0.0.1:1:1:participant;127.0.0.1:2"
	for _, c := range []struct {
		what string
		r    tiers.Reconfig
		want error
	}{
		{"version before text", tiers.Reconfig{Joining: "?", Version: now + 1, Caller: superUser}, tiers.ErrBadVersion},
		{"not a spec", tiers.Reconfig{Joining: "?", Version: now}, tiers.ErrBadArguments},
		{"two ports", tiers.Reconfig{Joining: "server.4=h:1:1:participant", Version: -1}, tiers.ErrBadArguments},
		{"not a number", tiers.Reconfig{Leaving: "1,x", Version: -1}, tiers.ErrBadArguments},
		{"one is left", tiers.Reconfig{Leaving: number(ns[0]) + "," + number(ns[1]), Version: -1}, tiers.ErrBadArguments},
		{"none is left", tiers.Reconfig{Whole: true, Version: -1}, tiers.ErrBadArguments},
		{"two numbers, one address", tiers.Reconfig{Joining: spec(ns[0], number(ns[1]), "participant"), Version: -1}, tiers.ErrBadArguments},
		{"a stranger asks", tiers.Reconfig{Leaving: number(ns[0]), Version: now}, tiers.ErrNoAuth},
		{"a stranger names addresses", tiers.Reconfig{Joining: nobody, Version: now}, tiers.ErrNoAuth},
		{"nobody answers", tiers.Reconfig{Joining: nobody, Version: now, Caller: superUser}, tiers.ErrNewConfigNoQuorum},
	} {
		for _, n := range []*Node{leader, others[0]} {
			if _, err := n.Reconfig(t.Context(), c.r); !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), "reconfig /zookeeper/config: ") {
				t.Errorf("%s, at %s: %v, want %v", c.what, n.Name(), err, c.want)
			}
		}
	}
	for _, n := range ns { // whoever leads by now
		if !n.changes.enter() {
			t.Fatal("a reconfiguration is still under way")
		}
	}
	if _, err := others[0].Reconfig(t.Context(), tiers.Reconfig{Version: now + 1}); !errors.Is(err, tiers.ErrReconfigInProgress) {
		t.Errorf("a second one: %v", err)
	}
	for _, n := range ns {
		n.changes.leave()
	}
	if got := int64(published(t, leader).Stat.Mzxid); got != now {
		t.Errorf("what was refused changed the configuration: %x became %x", now, got)
	}

	// Nothing to do, and the removal of somebody who is not there, are new versions.
	for _, r := range []tiers.Reconfig{{}, {Leaving: "77"}} {
		if v := reconfigure(t, others[0], r); int64(v.Stat.Mzxid) <= now || string(v.Data) != configOf(v, ns...) {
			t.Errorf("%q, %+v", v.Data, v.Stat)
		}
	}

	// Somebody else may, if the ACL says so.
	joe := tiers.Identity{Scheme: "digest", ID: "joe:x"}
	acl := tiers.Op{Kind: tiers.OpSetACL, Path: configNodePath, Version: -1, ACL: []tiers.ACL{{Perms: tiers.PermRead | tiers.PermWrite, Who: joe}}}
	if _, err := tiers.Do(t.Context(), leader.Tier(), tiers.Txn{Caller: superUser, Ops: []tiers.Op{acl}}); err != nil {
		t.Fatal(err)
	}
	if _, err := others[0].Reconfig(t.Context(), tiers.Reconfig{Caller: []tiers.Identity{joe}, Version: -1}); err != nil {
		t.Error(err)
	}
}

func TestAMemberIsRemovedAndTakenInAgain(t *testing.T) {
	ns := nodesAt(t, 4)
	publishedOf(t, ns[0], ns...)
	_, others := leaderOf(t, ns)
	gone, asked := others[0], others[1]
	rest := slices.DeleteFunc(slices.Clone(ns), func(n *Node) bool { return n == gone })
	do(t, asked.Tier(), 0, create("/a", tiers.Persistent))
	id := number(gone)
	v := reconfigure(t, asked, tiers.Reconfig{Leaving: id})
	if string(v.Data) != configOf(v, rest...) {
		t.Errorf("%q, want %q", v.Data, configOf(v, rest...))
	}
	until(t, "it knows", func() bool { return errors.Is(gone.Expelled(), ErrExpelled) })
	if err := gone.ReadyErr(); !errors.Is(err, ErrExpelled) || !strings.Contains(gone.Status().Reason, "removed") {
		t.Errorf("%v, %q", err, gone.Status().Reason)
	}
	if _, err := gone.Tier().Read(t.Context(), tiers.Query{Path: "/a"}); !errors.Is(err, tiers.ErrUnavailable) || !strings.Contains(err.Error(), "removed from the cluster") {
		t.Errorf("a read there: %v", err)
	}
	if _, err := tiers.Do(t.Context(), gone.Tier(), tiers.Txn{Ops: []tiers.Op{create("/b", tiers.Persistent)}}); !errors.Is(err, tiers.ErrUnavailable) {
		t.Errorf("a write there: %v", err)
	}
	// It is alive in gossip, and nobody takes it in, however often the leader looks.
	leader, _ := leaderOf(t, rest)
	for range 3 {
		turn, done, ok := context.Context(nil), func() {}, false
		until(t, "reconcile's turn is free", func() bool { turn, done, ok = leader.changes.try(t.Context()); return ok })
		r := reconciler{told: make(map[string]time.Time)}
		for _, m := range leader.members() {
			if m.Name == gone.Name() && m.State == stateAlive {
				leader.take(turn, &r, leader.strong.Registered(), m)
			}
		}
		done()
		if votes := votersOf(leader); len(votes) != 3 || slices.Contains(votes, gone.Name()) {
			t.Fatalf("voters %v", votes)
		}
	}
	// A member that leads later knows it too, and who was removed learns it at its next start.
	if err := leader.strong.Handover(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg := gone.cfg
	cfg.Advertise = "" // it gets another port
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Join = []string{rest[0].Addr().String()}
	gone = openNode(t, cfg)
	until(t, "it is told again", func() bool { return errors.Is(gone.ReadyErr(), ErrExpelled) })

	// Taken in again by its number: it is what it was.
	reconfigure(t, asked, tiers.Reconfig{Joining: spec(gone, id, "participant")})
	ready(t, gone)
	if gone.Expelled() != nil || number(gone) != id || len(votersOf(asked)) != 4 {
		t.Errorf("%v, number %s, voters %v", gone.Expelled(), number(gone), votersOf(asked))
	}
	if _, err := gone.Tier().Read(t.Context(), tiers.Query{Path: "/a"}); err != nil {
		t.Error(err)
	}
	publishedOf(t, gone, append(rest, gone)...)
}

func TestARemovedMemberComesBackWithAnEmptyDirectory(t *testing.T) {
	ns := nodesAt(t, 4)
	publishedOf(t, ns[0], ns...)
	leader, others := leaderOf(t, ns)
	gone := others[0]
	rest := slices.DeleteFunc(slices.Clone(ns), func(n *Node) bool { return n == gone })
	id := number(gone)
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	reconfigure(t, leader, tiers.Reconfig{Leaving: id})
	for _, n := range rest {
		until(t, "gossip forgets it", func() bool {
			return !slices.ContainsFunc(n.Status().Members, func(m Member) bool { return m.Name == gone.Name() })
		})
	}
	cfg := gone.cfg
	cfg.Dir, cfg.Advertise, cfg.Join = t.TempDir(), "", []string{leader.Addr().String()}
	again := openNode(t, cfg)
	ready(t, again)
	until(t, "it has its vote", func() bool { return slices.Contains(votersOf(leader), again.Name()) })
	if number(again) == id {
		t.Errorf("it has its old number %s", id)
	}
	publishedOf(t, leader, append(rest, again)...)
}

func TestTheLeaderIsRemoved(t *testing.T) {
	ns := nodesAt(t, 4)
	publishedOf(t, ns[0], ns...)
	for _, at := range []string{"leader", "another"} {
		leader, others := leaderOf(t, ns)
		asked := others[0]
		if at == "leader" {
			asked = leader
		}
		v := reconfigure(t, asked, tiers.Reconfig{Leaving: number(leader)})
		if string(v.Data) != configOf(v, others...) {
			t.Errorf("asked at the %s: %q", at, v.Data)
		}
		until(t, "it knows", func() bool { return leader.Expelled() != nil })
		ns = others
		if len(ns) == 3 {
			do(t, ns[1].Tier(), 0, create("/a", tiers.Persistent))
		}
	}
	do(t, ns[0].Tier(), 0, create("/a/b", tiers.Persistent))
}

func TestRolesChange(t *testing.T) {
	ns := nodesAt(t, 3)
	more := openNode(t, Config{Name: "m3", Dir: t.TempDir(), Bind: "127.0.0.1:0", Join: []string{ns[0].Addr().String()}, Role: Replica, Tick: 500 * time.Millisecond})
	ready(t, more)
	until(t, "four are published", func() bool { return strings.Count(string(published(t, more).Data), "server.") == 4 })
	leader, others := leaderOf(t, ns)

	// The leader itself loses its vote, and the replica gets one, at once.
	v := reconfigure(t, others[0], tiers.Reconfig{Joining: spec(leader, number(leader), "observer") + "," + spec(more, number(more), "participant")})
	if strings.Count(string(v.Data), ":observer") != 1 || !strings.Contains(string(v.Data), "server."+number(leader)+"="+leader.Addr().String()) {
		t.Errorf("%q", v.Data)
	}
	want := []string{"m3", others[0].Name(), others[1].Name()}
	slices.Sort(want)
	if got := votersOf(others[0]); !slices.Equal(got, want) {
		t.Errorf("voters %v, want %v", got, want)
	}
	// It wants a vote by its configuration, and does not get it back by itself.
	now, rest := leaderOf(t, []*Node{others[0], others[1], more})
	m := now.members()[slices.IndexFunc(now.members(), func(m acquainted) bool { return m.Name == leader.Name() })]
	if rankOf(now.strong.Registered(), m) != strong.RankReplica || m.wants != Voter {
		t.Errorf("%+v is ranked %d", m, rankOf(now.strong.Registered(), m))
	}
	do(t, leader.Tier(), 0, create("/a", tiers.Persistent)) // it goes on to serve

	// All of the configuration at once: the former leader votes again, one member is out.
	out := rest[0]
	var members []string
	for _, n := range []*Node{leader, now, rest[1]} {
		members = append(members, spec(n, number(n), "participant"))
	}
	reconfigure(t, leader, tiers.Reconfig{Whole: true, Members: strings.Join(members, "\n") + "\nversion=0"})
	want = []string{leader.Name(), now.Name(), rest[1].Name()}
	slices.Sort(want)
	if got := votersOf(now); !slices.Equal(got, want) {
		t.Errorf("voters %v, want %v", got, want)
	}
	until(t, "it knows", func() bool { return out.Expelled() != nil })
}

// A majority of the new configuration must be there: what would stop the cluster is refused.
func TestReconfigKeepsTheMajority(t *testing.T) {
	ns := nodesAt(t, 4)
	publishedOf(t, ns[0], ns...)
	leader, others := leaderOf(t, ns)
	if err := others[0].Abort(); err != nil {
		t.Fatal(err)
	}
	r := tiers.Reconfig{Leaving: number(others[1]) + "," + number(others[2]), Caller: superUser, Version: -1}
	if _, err := leader.Reconfig(t.Context(), r); !errors.Is(err, tiers.ErrNewConfigNoQuorum) {
		t.Errorf("two voters, one of them dead: %v", err)
	}
	// Who is dead leaves first, so that the others can.
	v := reconfigure(t, leader, tiers.Reconfig{Leaving: number(others[1]) + "," + number(others[0])})
	if string(v.Data) != configOf(v, leader, others[2]) {
		t.Errorf("%q", v.Data)
	}
	do(t, leader.Tier(), 0, create("/a", tiers.Persistent))
}
