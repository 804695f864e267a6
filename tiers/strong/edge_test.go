package strong

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// logged is how many entries f adds to the log.
func (c *cluster) logged(f func()) uint64 {
	c.t.Helper()
	l := c.leader("")
	before := l.tier.raft.LastIndex()
	f()
	synctest.Wait()
	return l.tier.raft.LastIndex() - before
}

func (c *cluster) try(tier tiers.Tier, s tiers.SessionID, op tiers.Op) (tiers.Receipt, error) {
	return tiers.Do(c.t.Context(), tier, tiers.Txn{Session: s, Ops: []tiers.Op{op}})
}

// What is wrong by itself is refused by the member that was asked: no entry, and nobody else is asked.
func TestRefusedAtTheEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		leader := c.leader("")
		m := c.others(leader)[0]
		m.do(t, 0, create("/x", "", tiers.Persistent))
		noACL, bad, big := create("/y", "", 0), create("/y", "", 99), set("/x", "")
		noACL.ACL, big.Data = nil, make([]byte, 5<<20)
		wrong := []struct {
			op   tiers.Op
			want error
		}{
			{noACL, tiers.ErrInvalidACL}, {bad, tiers.ErrBadArguments}, {expiring("/y", -1), tiers.ErrBadArguments}, {create("y", "", 0), tiers.ErrBadArguments},
			{create("/", "", 0), tiers.ErrNodeExists}, {create("/a//b", "", 0), tiers.ErrNoNode}, {remove("/zookeeper"), tiers.ErrBadArguments},
			{set("/x/", ""), tiers.ErrBadArguments}, {big, tiers.ErrTooLarge}, {tiers.Op{Kind: tiers.OpSetACL, Path: "/x"}, tiers.ErrInvalidACL},
		}
		for _, x := range []*member{leader, m} {
			for _, row := range wrong {
				n := c.logged(func() {
					r, err := c.try(x.tier, 0, row.op)
					var oe *tiers.OpError
					if !errors.Is(err, row.want) || !errors.As(err, &oe) || r.Zxid != x.tier.tree.Zxid() {
						t.Errorf("%v %q: %+v, %v; want %v", row.op.Kind, row.op.Path, r, err, row.want)
					}
				})
				if n != 0 {
					t.Errorf("%v %q took %d entries", row.op.Kind, row.op.Path, n)
				}
			}
		}
		// What another member may just have changed is not refused here.
		for _, row := range []struct {
			op   tiers.Op
			want error
		}{{create("/x", "", 0), tiers.ErrNodeExists}, {create("/none/x", "", 0), tiers.ErrNoNode}, {set("/none", ""), tiers.ErrNoNode}} {
			n := c.logged(func() {
				if _, err := c.try(m.tier, 0, row.op); !errors.Is(err, row.want) {
					t.Errorf("%v %q: %v", row.op.Kind, row.op.Path, err)
				}
			})
			if n != 1 {
				t.Errorf("%v %q took %d entries", row.op.Kind, row.op.Path, n)
			}
		}
		// A session that has ended is told that first.
		id, _ := tiers.NewSessionID(9, 1, 1)
		m.do(t, id, tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Minute})
		if _, err := c.try(m.tier, id, noACL); !errors.Is(err, tiers.ErrInvalidACL) {
			t.Error(err)
		}
		if _, err := c.try(leader.tier, id, noACL); !errors.Is(err, tiers.ErrSessionMoved) {
			t.Error(err)
		}
		m.do(t, id, tiers.Op{Kind: tiers.OpCloseSession})
		if _, err := c.try(m.tier, id, noACL); !errors.Is(err, tiers.ErrSessionExpired) {
			t.Error(err)
		}
	})
}

// localFirst is the tier as the readonly tier uses it.
type localFirst struct{ *Tier }

func (l localFirst) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	if r, err := l.Refusal(&txn); err != nil {
		return tiers.Completed(r, err)
	}
	return l.Tier.Submit(ctx, txn)
}

func (l localFirst) Follow(ctx context.Context, q tiers.Query, after *tiers.Pending) *tiers.Pending {
	return l.FollowLocal(ctx, q, after)
}

// A read behind what was refused at once is still behind what the session wrote before.
func TestReadsBehindARefusalKeepTheirPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		m := c.others(c.leader(""))[0]
		id, _ := tiers.NewSessionID(9, 1, 1)
		m.do(t, id, tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Minute}, create("/x", "", tiers.Persistent))
		for name, tier := range map[string]tiers.Tier{"strong": m.tier, "local": localFirst{m.tier}} {
			var reads []*tiers.Pending
			for i := range 20 {
				tier.Submit(t.Context(), tiers.Txn{Session: id, Ops: []tiers.Op{set("/x", fmt.Sprint(name, i))}})
				refused := tier.Submit(t.Context(), tiers.Txn{Session: id, Ops: []tiers.Op{set("/x/", "")}})
				if _, err, done := refused.Result(); !done || !errors.Is(err, tiers.ErrBadArguments) {
					t.Fatalf("%s: %v %v", name, done, err)
				}
				reads = append(reads, tier.Follow(t.Context(), tiers.Query{Path: "/x", Want: tiers.WantData, Session: id}, refused))
			}
			for i, p := range reads {
				if r, err := p.Wait(t.Context()); err != nil || string(r.View.Data) != fmt.Sprint(name, i) {
					t.Errorf("%s: read %d: %q, %v", name, i, r.View.Data, err)
				}
			}
		}
	})
}

// What this member's tree shows to be impossible, its Refusal tells; but not out of ignorance of the session's own writes.
func TestRefusedByTheLocalTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		m := c.others(c.leader(""))[0]
		tier := localFirst{m.tier}
		id, _ := tiers.NewSessionID(9, 1, 1)
		m.do(t, id, tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Minute})
		closed := create("/closed", "", tiers.Persistent)
		closed.ACL = []tiers.ACL{{Perms: tiers.PermAll, Who: tiers.Identity{Scheme: "digest", ID: "alice:h"}}}
		m.do(t, 0, create("/x", "", tiers.Persistent), closed)
		known := []struct {
			op   tiers.Op
			want error
		}{
			{create("/x", "", 0), tiers.ErrNodeExists}, {create("/none/x", "", 0), tiers.ErrNoNode}, {create("/closed/x", "", 0), tiers.ErrNoAuth},
			{remove("/none"), tiers.ErrNoNode}, {set("/none", ""), tiers.ErrNoNode}, {set("/closed", ""), tiers.ErrNoAuth},
		}
		for _, row := range known {
			n := c.logged(func() {
				if r, err := c.try(tier, id, row.op); !errors.Is(err, row.want) || len(r.Results) != 1 || r.Zxid != m.tier.tree.Zxid() {
					t.Errorf("%v %q: %+v, %v; want %v", row.op.Kind, row.op.Path, r, err, row.want)
				}
			})
			if n != 0 {
				t.Errorf("%v %q took %d entries", row.op.Kind, row.op.Path, n)
			}
		}
		if _, err := c.try(tier, id, tiers.Op{Kind: tiers.OpSetData, Path: "/x", Version: 5}); !errors.Is(err, tiers.ErrBadVersion) {
			t.Error(err)
		}
		var ps []*tiers.Pending
		for _, op := range []tiers.Op{create("/new", "", 0), create("/new/x", "", 0), remove("/new/x"), create("/new/x", "", 0), set("/new/x", "1")} {
			ps = append(ps, tier.Submit(t.Context(), tiers.Txn{Session: id, Ops: []tiers.Op{op}}))
		}
		for i, p := range ps {
			if _, err := p.Wait(t.Context()); err != nil {
				t.Errorf("pipelined write %d: %v", i, err)
			}
		}
	})
}
