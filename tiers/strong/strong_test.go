package strong

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

func TestWritesAndReadsAtEveryMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		for _, m := range c.members {
			m.do(t, 0, create("/"+m.name, "by "+m.name, tiers.Persistent))
			for _, reader := range c.members {
				if got := reader.get(t, "/"+m.name); got != "by "+m.name {
					t.Errorf("%s reads %q after %s wrote", reader.name, got, m.name)
				}
			}
		}
		if a, b := c.members[0].tier.Key(), c.members[2].tier.Key(); len(a) != 32 || !slices.Equal(a, b) {
			t.Errorf("keys differ: %x and %x", a, b)
		}
	})
}

func TestOneMemberAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		c.form()
		m := c.members[0]
		m.do(t, 0, create("/a", "1", tiers.Persistent))
		c.stop(m)
		c.start(m)
		c.ready(m)
		if got := m.get(t, "/a"); got != "1" {
			t.Errorf("after a restart: %q", got)
		}
		if n, inc, ok := m.tier.Number(); n != 1 || inc != 2 || !ok {
			t.Errorf("number %d, incarnation %d, %v", n, inc, ok)
		}
	})
}

// Reads behind a session's writes see exactly what was written before them, also when later writes are on their way.
func TestFollowKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		m := c.others(c.leader(""))[0]
		m.do(t, 0, create("/x", "", tiers.Persistent))
		for _, follow := range []func(context.Context, tiers.Query, *tiers.Pending) *tiers.Pending{m.tier.Follow, m.tier.FollowLocal} {
			var reads []*tiers.Pending
			var last *tiers.Pending
			for i := range 50 {
				last = m.tier.Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{set("/x", fmt.Sprint(i))}})
				reads = append(reads, follow(t.Context(), tiers.Query{Path: "/x", Want: tiers.WantData}, last))
			}
			for i, p := range reads {
				r, err := p.Wait(t.Context())
				if err != nil || string(r.View.Data) != fmt.Sprint(i) {
					t.Fatalf("read %d: %q, %v", i, r.View.Data, err)
				}
			}
		}
	})
}

// What was unanswered when the leader died is sent again and applied exactly once, in order.
func TestExactlyOnceThroughAnElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		leader := c.leader("")
		followers := c.others(leader)
		followers[0].do(t, 0, create("/q", "", tiers.Persistent))

		const each = 400
		names := make([][]string, len(followers))
		var wg sync.WaitGroup
		for i, m := range followers {
			var pending []*tiers.Pending
			for n := range each {
				if n == each/2 && i == 0 {
					c.net.Down(leader.ip)
				}
				pending = append(pending, m.tier.Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{create(fmt.Sprintf("/q/%s-", m.name), "", tiers.PersistentSequential)}}))
			}
			wg.Go(func() {
				for n, p := range pending {
					r, err := p.Wait(t.Context())
					if err != nil {
						t.Errorf("%s, %d: %v", m.name, n, err)
						return
					}
					names[i] = append(names[i], strings.TrimPrefix(r.Results[0].Path, "/q/"))
				}
			})
		}
		wg.Wait()
		v, err := followers[1].tier.Read(t.Context(), tiers.Query{Path: "/q", Want: tiers.WantChildren})
		if err != nil {
			t.Fatal(err)
		}
		if len(v.Children) != 2*each {
			t.Errorf("%d children after %d creates", len(v.Children), 2*each)
		}
		for i, m := range followers {
			if !slices.IsSorted(names[i]) {
				t.Errorf("%s: its creates are out of order", m.name)
			}
			for _, n := range names[i] {
				if !slices.Contains(v.Children, n) {
					t.Errorf("%s was acknowledged and is lost", n)
				}
			}
		}
	})
}

// A leader that is cut off answers no read with the past, and refuses; the others go on.
func TestCutOffLeaderNeverAnswersWithThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		old := c.leader("")
		rest := c.others(old)
		old.do(t, 0, create("/x", "old", tiers.Persistent))

		c.net.Partition([]string{old.ip}, []string{rest[0].ip, rest[1].ip})
		var stale sync.WaitGroup
		for range 20 {
			stale.Go(func() {
				if v, err := old.tier.Read(t.Context(), tiers.Query{Path: "/x", Want: tiers.WantData}); err == nil && string(v.Data) == "old" {
					t.Errorf("the cut-off leader answered %q", v.Data)
				} else if err != nil && !errors.Is(err, tiers.ErrUnavailable) {
					t.Errorf("the cut-off leader refuses with %v", err)
				}
			})
		}
		c.leader(old.name)
		rest[0].do(t, 0, set("/x", "new"))
		stale.Wait()
		if _, err := tiers.Do(t.Context(), old.tier, tiers.Txn{Ops: []tiers.Op{set("/x", "lost")}}); !errors.Is(err, tiers.ErrUnavailable) && !errors.Is(err, tiers.ErrUnknownOutcome) {
			t.Errorf("a write at the minority: %v", err)
		}
		c.net.Heal()
		c.ready(old)
		if got := old.get(t, "/x"); got != "new" && got != "lost" {
			t.Errorf("after healing: %q", got)
		}
	})
}

// A session lives while its host reports touches, through a change of leader, and ends one timeout after the last.
func TestSessionExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		leader := c.leader("")
		host := c.others(leader)[0]
		const id, timeout = tiers.SessionID(77), 4 * time.Second
		host.do(t, id, tiers.Op{Kind: tiers.OpOpenSession, Timeout: timeout})
		host.do(t, id, create("/e", "", tiers.Ephemeral))

		ended := make(chan time.Time, 1)
		host.tier.OnSessionEnd(func(tiers.SessionID) { ended <- time.Now() })
		for i := range 20 {
			host.tier.Touch(id)
			<-time.After(time.Second)
			if i == 5 {
				c.stop(leader)
			}
		}
		if _, state := host.tier.Lookup(id); state != SessionLive {
			t.Fatalf("the session is %v although it was touched", state)
		}
		if age := time.Since(host.tier.Renewed(id)); age > 2*time.Second {
			t.Errorf("last renewal %v ago", age)
		}
		host.tier.Touch(id)
		last := time.Now()
		at := <-ended
		if d := at.Sub(last); d < timeout || d > timeout+time.Second {
			t.Errorf("expired %v after the last touch, the timeout is %v", d, timeout)
		}
		if _, err := host.tier.Read(t.Context(), tiers.Query{Path: "/e"}); !errors.Is(err, tiers.ErrNoNode) {
			t.Errorf("its ephemeral: %v", err)
		}
		if _, err := tiers.Do(t.Context(), host.tier, tiers.Txn{Session: id, Ops: []tiers.Op{{Kind: tiers.OpOpenSession, Timeout: timeout}}}); !errors.Is(err, tiers.ErrSessionExpired) {
			t.Errorf("opening it again: %v", err)
		}
	})
}

// A member whose link is cut expires nobody, and a session hosted on the minority's side ends on the majority's.
func TestMinorityExpiresNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		leader := c.leader("")
		rest := c.others(leader)
		leader.do(t, 5, tiers.Op{Kind: tiers.OpOpenSession, Timeout: 2 * time.Second})
		rest[0].do(t, 6, tiers.Op{Kind: tiers.OpOpenSession, Timeout: 2 * time.Second})
		c.net.Partition([]string{leader.ip}, []string{rest[0].ip, rest[1].ip})
		for range 10 {
			leader.tier.Touch(5)
			rest[0].tier.Touch(6)
			<-time.After(500 * time.Millisecond)
		}
		if _, s := leader.tier.Lookup(6); s != SessionLive {
			t.Errorf("the cut-off leader ended a session by itself: %v", s)
		}
		if _, s := rest[1].tier.Lookup(6); s != SessionLive {
			t.Errorf("the majority lost a live session: %v", s)
		}
		if _, s := rest[1].tier.Lookup(5); s != SessionEnded {
			t.Errorf("the majority keeps the session of a silent host: %v", s)
		}
	})
}

func TestReplicaJoinsAndVoterIsPromoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		first := c.members[0]
		if err := first.tier.Bootstrap([]Server{{Name: first.name, Address: first.ip + ":7400", Voter: true}}); err != nil {
			t.Fatal(err)
		}
		c.ready(first)
		first.do(t, 0, create("/a", "1", tiers.Persistent))
		for i, m := range c.members[1:] {
			if err := first.tier.Add(t.Context(), Server{Name: m.name, Address: m.ip + ":7400", Voter: i == 0}); err != nil {
				t.Fatal(err)
			}
			c.ready(m)
			if got := m.get(t, "/a"); got != "1" {
				t.Errorf("%s reads %q", m.name, got)
			}
			m.do(t, 0, create("/"+m.name, "", tiers.Persistent))
		}
		voters := 0
		for _, s := range first.tier.Servers() {
			voters += boolInt(s.Voter)
		}
		if voters != 2 {
			t.Errorf("%d voters, want 2: %v", voters, first.tier.Servers())
		}
	})
}

func TestHandover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		old := c.leader("")
		begun := time.Now()
		if err := old.tier.Handover(t.Context()); err != nil {
			t.Fatal(err)
		}
		next := c.leader(old.name)
		if d := time.Since(begun); d > 100*time.Millisecond {
			t.Errorf("handing over took %v", d)
		}
		next.do(t, 0, create("/a", "", tiers.Persistent))
	})
}

func TestCloseAnswersWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3) // never formed: nothing can be answered
		m := c.members[0]
		w := m.tier.Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{set("/", "x")}})
		r := m.tier.Follow(t.Context(), tiers.Query{Path: "/"}, w)
		tier := m.tier
		c.stop(m)
		for _, p := range []*tiers.Pending{w, r} {
			if _, err := p.Wait(t.Context()); !errors.Is(err, tiers.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		}
		if _, err := tiers.Do(t.Context(), tier, tiers.Txn{Ops: []tiers.Op{set("/", "x")}}); err == nil {
			t.Error("a closed tier takes a txn")
		}
	})
}

// While nobody leads, requests wait for their patience and then say why.
func TestNoLeaderIsAClearRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		m := c.members[0]
		begun := time.Now()
		_, err := tiers.Do(t.Context(), m.tier, tiers.Txn{Ops: []tiers.Op{set("/", "x")}})
		if !errors.Is(err, tiers.ErrUnavailable) || time.Since(begun) < 4*time.Second || time.Since(begun) > 7*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		begun = time.Now()
		if _, err = m.tier.Read(t.Context(), tiers.Query{Path: "/"}); !errors.Is(err, tiers.ErrUnavailable) || time.Since(begun) > time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		c.form()
		m.do(t, 0, create("/a", "", tiers.Persistent))
	})
}
