package strong

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// unknown submits with a context that has ended, so that the outcome is unknown at once, and returns the id.
func unknown(t *testing.T, m *member, txn tiers.Txn) tiers.WriteID {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := m.tier.Submit(ctx, txn).Wait(t.Context())
	var u *tiers.UnknownOutcomeError
	if !errors.As(err, &u) || u.Write == (tiers.WriteID{}) {
		t.Fatalf("%v, want an unknown outcome with an id", err)
	}
	return u.Write
}

func outcomeAt(t *testing.T, m *member, id tiers.WriteID, settle bool) tiers.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o, err := m.tier.Outcome(ctx, id, settle)
	if err != nil {
		t.Fatalf("outcome of %v at %s: %v", id, m.name, err)
	}
	return o
}

func TestOutcomeThroughElectionsAndRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		leader := c.leader("")
		origin, other := c.others(leader)[0], c.others(leader)[1]
		origin.do(t, 0, create("/x", "", tiers.Persistent))

		// The leader dies with the write on its way; the write is sent again.
		id := unknown(t, origin, tiers.Txn{Request: 1, Ops: []tiers.Op{set("/x", "1")}})
		c.stop(leader)
		c.leader(leader.name)
		<-time.After(time.Second)
		if o := outcomeAt(t, other, id, true); o.Fate != tiers.FateApplied || o.Zxid == 0 {
			t.Errorf("%+v", o)
		}
		c.start(leader)
		c.ready(leader)

		// The write never leaves its member, which starts again.
		c.net.Partition([]string{origin.ip}, []string{leader.ip, other.ip})
		<-time.After(2 * time.Second)
		id = unknown(t, origin, tiers.Txn{Ops: []tiers.Op{set("/x", "2")}})
		if o := outcomeAt(t, other, id, false); o.Fate != tiers.FateOpen {
			t.Errorf("on its way: %+v", o)
		}
		c.stop(origin)
		c.net.Heal()
		c.start(origin)
		c.ready(origin)
		origin.do(t, 0, create("/y", "", tiers.Persistent))
		if o := outcomeAt(t, other, id, false); o.Fate != tiers.FateNever {
			t.Errorf("after its member started again: %+v", o)
		}

		// The write waits in a member that is cut off, and is sealed elsewhere. What was told then stays true when it arrives.
		c.net.Partition([]string{origin.ip}, []string{leader.ip, other.ip})
		<-time.After(2 * time.Second)
		id = unknown(t, origin, tiers.Txn{Ops: []tiers.Op{set("/x", "3")}})
		next := origin.tier.Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{set("/y", "next")}})
		if o := outcomeAt(t, other, id, true); o.Fate != tiers.FateNever {
			t.Errorf("sealed: %+v", o)
		}
		c.net.Heal()
		if _, err := next.Wait(t.Context()); err != nil {
			t.Errorf("the one behind it: %v", err)
		}
		if o := outcomeAt(t, origin, id, false); o.Fate != tiers.FateNever {
			t.Errorf("after it arrived: %+v", o)
		}
		if got := other.get(t, "/x"); got != "1" {
			t.Errorf("/x is %q", got)
		}
		if _, err := origin.tier.Outcome(t.Context(), tiers.WriteID{Member: id.Member, Incarnation: id.Incarnation, Number: 1 << 40}, true); !errors.Is(err, tiers.ErrBadArguments) {
			t.Errorf("an invented id: %v", err)
		}
		if _, err := other.tier.Outcome(t.Context(), tiers.WriteID{Member: 99, Incarnation: 1, Number: 1}, true); !errors.Is(err, tiers.ErrBadArguments) {
			t.Errorf("an id of nobody: %v", err)
		}
	})
}

// A txn that was refused as it could not be sent is one that never applies, and its number is not given to another one.
func TestARefusedWriteStaysRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		leader := c.leader("")
		alone := c.others(leader)[0]
		leader.do(t, 0, create("/x", "", tiers.Persistent))
		ids := func(p *tiers.Pending) tiers.WriteID { return p.Write() }
		c.net.Partition([]string{alone.ip}, []string{leader.ip, c.others(leader)[1].ip})
		<-time.After(3 * time.Second) // raft has forgotten the leader
		first := alone.tier.Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{set("/x", "first")}})
		if _, err := first.Wait(t.Context()); !errors.Is(err, tiers.ErrUnavailable) {
			t.Fatal(err)
		}
		c.net.Heal()
		c.ready(alone)
		second := alone.tier.Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{set("/x", "second")}})
		if _, err := second.Wait(t.Context()); err != nil || ids(first) == ids(second) {
			t.Fatalf("%v; ids %v and %v", err, ids(first), ids(second))
		}
		if o := outcomeAt(t, leader, ids(first), false); o.Fate != tiers.FateNever {
			t.Errorf("the first: %+v", o)
		}
		if o := outcomeAt(t, leader, ids(second), false); o.Fate != tiers.FateApplied {
			t.Errorf("the second: %+v", o)
		}
	})
}

// Whatever happens to the members, each unknown outcome is answered definitely in the end, and the answer agrees with what is there.
func TestOutcomesUnderFaults(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				c.net.SetDelay(100*time.Microsecond, 5*time.Millisecond)
				c.form()
				dice := rand.New(rand.NewPCG(seed, 3))
				c.members[0].do(t, 0, create("/w", "", tiers.Persistent))
				type asked struct {
					path string
					id   tiers.WriteID
					fate tiers.Fate // once told
				}
				var all []*asked
				check := func(a *asked, m *member, settle bool) {
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					defer cancel()
					o, err := m.tier.Outcome(ctx, a.id, settle)
					if err != nil {
						return
					}
					if a.fate != tiers.FateOpen && a.fate != o.Fate {
						t.Errorf("%s (%v) was %v and is %v", a.path, a.id, a.fate, o.Fate)
					}
					a.fate = o.Fate
				}
				for i := range 40 {
					m := c.members[dice.IntN(3)]
					for j := range 3 {
						a := &asked{path: fmt.Sprintf("/w/%d-%d", i, j)}
						a.id = unknown(t, m, tiers.Txn{Ops: []tiers.Op{create(a.path, "", tiers.Persistent)}})
						all = append(all, a)
					}
					switch dice.IntN(5) {
					case 0:
						c.stop(m)
						<-time.After(time.Duration(dice.IntN(1000)) * time.Millisecond)
						c.start(m)
						c.ready(m)
					case 1:
						c.net.Partition([]string{m.ip}, []string{c.others(m)[0].ip, c.others(m)[1].ip})
						<-time.After(time.Duration(dice.IntN(8000)) * time.Millisecond)
						check(all[dice.IntN(len(all))], c.others(m)[0], true)
						c.net.Heal()
						c.ready(m)
					case 2:
						check(all[dice.IntN(len(all))], c.members[dice.IntN(3)], dice.IntN(2) == 0)
					}
				}
				for _, m := range c.members {
					c.ready(m)
				}
				for _, a := range all {
					check(a, c.members[dice.IntN(3)], true)
					_, err := c.members[0].tier.Read(t.Context(), tiers.Query{Path: a.path, Want: tiers.WantStat})
					if there := err == nil; a.fate != tiers.FateApplied && a.fate != tiers.FateNever || there != (a.fate == tiers.FateApplied) {
						t.Errorf("%s (%v) is %v, and there: %v", a.path, a.id, a.fate, there)
					}
				}
			})
		})
	}
}
