package strong

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// cutOff parts m from all others.
func (c *cluster) cutOff(m *member) {
	var rest []string
	for _, o := range c.members {
		if o != m {
			rest = append(rest, o.ip)
		}
	}
	c.net.Partition([]string{m.ip}, rest)
}

// awaitMode waits until the member is in that mode, and tells how long that took.
func (m *member) awaitMode(t *testing.T, readOnly bool) time.Duration {
	t.Helper()
	begin := time.Now()
	late := time.After(time.Minute)
	for {
		changed := m.tier.ReadOnlyChanged()
		if m.tier.ReadOnly() == readOnly {
			return time.Since(begin)
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%s never gets to ReadOnly() = %v", m.name, readOnly)
		}
	}
}

func local(path string) tiers.Query {
	return tiers.Query{Path: path, Want: tiers.WantData, Local: true}
}

// Whoever is cut off, leader or follower: it gets into read-only mode after the grace, and out of it when the majority is back.
func TestReadOnlyMode(t *testing.T) {
	for name, ofLeader := range map[string]bool{"Leader": true, "Follower": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				c.form()
				alone := c.leader("")
				if !ofLeader {
					alone = c.others(alone)[0]
				}
				alone.do(t, 0, create("/x", "before", tiers.Persistent))
				c.cutOff(alone)
				// This read waits for the majority when the mode begins, and is answered then.
				waiting := alone.tier.Follow(t.Context(), local("/x"), nil)
				if took, grace := alone.awaitMode(t, true), alone.tier.cfg.ReadOnlyAfter; took < grace/2 || took > grace*3/2 {
					t.Errorf("read-only after %v; the grace is %v", took, grace)
				}
				begin := time.Now()
				r, err := waiting.Wait(t.Context())
				if err != nil || string(r.View.Data) != "before" || r.View.Staleness < alone.tier.cfg.ReadOnlyAfter/2 || time.Since(begin) > 0 {
					t.Errorf("the read that waited: %q, %v old, %v after the mode began, %v", r.View.Data, r.View.Staleness, time.Since(begin), err)
				}
				other := c.leader(alone.name)
				other.do(t, 0, set("/x", "after"))
				if other.tier.ReadOnly() {
					t.Error("the majority is in read-only mode")
				}

				v, err := alone.tier.Read(t.Context(), local("/x"))
				if err != nil || string(v.Data) != "before" || v.Staleness == 0 || time.Since(begin) > time.Second {
					t.Errorf("%q, %v old, %v", v.Data, v.Staleness, err)
				}
				fresh := local("/x")
				fresh.Fresh = true
				if _, err := alone.tier.Read(t.Context(), fresh); !errors.Is(err, tiers.ErrUnavailable) {
					t.Errorf("a fresh read: %v", err)
				}
				ahead := local("/x")
				ahead.AtLeast = v.Zxid + 1
				if _, err := alone.tier.Follow(t.Context(), ahead, nil).Wait(t.Context()); !errors.Is(err, tiers.ErrUnavailable) {
					t.Errorf("a read of what is not here: %v", err)
				}

				// Who did not ask for that is refused: at once, when the patience is over.
				<-time.After(alone.tier.cfg.Patience)
				begin = time.Now()
				if _, err := alone.tier.Read(t.Context(), tiers.Query{Path: "/x"}); !errors.Is(err, tiers.ErrUnavailable) || time.Since(begin) > 0 {
					t.Errorf("a linearizable read: %v after %v", err, time.Since(begin))
				}

				c.net.Heal()
				t.Logf("read-only mode ends %v after the heal", alone.awaitMode(t, false))
				if v, err := alone.tier.Read(t.Context(), local("/x")); err != nil || string(v.Data) != "after" || v.Staleness != 0 {
					t.Errorf("with the majority back: %q, %v old, %v", v.Data, v.Staleness, err)
				}
				alone.do(t, 0, set("/x", "again"))
			})
		})
	}
}

// A read behind a write that was under way when the mode began waits for that write, not for its own turn with a majority.
func TestReadOnlyBehindAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		alone := c.others(c.leader(""))[0]
		alone.do(t, 0, create("/x", "before", tiers.Persistent))
		c.cutOff(alone)
		begin := time.Now()
		write := alone.tier.Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{set("/x", "lost?")}})
		early := alone.tier.Follow(t.Context(), local("/x"), write)
		alone.awaitMode(t, true)
		late := alone.tier.Follow(t.Context(), local("/x"), write)
		unrelated, err := alone.tier.Follow(t.Context(), local("/x"), nil).Wait(t.Context())
		if err != nil || string(unrelated.View.Data) != "before" || time.Since(begin) > 3*time.Second {
			t.Errorf("a read behind nothing: %q, %v, after %v", unrelated.View.Data, err, time.Since(begin))
		}
		if _, err := write.Wait(t.Context()); !errors.Is(err, tiers.ErrUnknownOutcome) && !errors.Is(err, tiers.ErrUnavailable) {
			t.Errorf("the write: %v", err)
		}
		for _, p := range []*tiers.Pending{early, late} {
			if r, err := p.Wait(t.Context()); err != nil || string(r.View.Data) != "before" {
				t.Errorf("a read behind the write: %q, %v", r.View.Data, err)
			}
		}
		if took := time.Since(begin); took > 2*alone.tier.cfg.Patience {
			t.Errorf("the reads were answered after %v", took)
		}
	})
}

// An election is no read-only mode, whichever way the leader is lost.
func TestElectionsAreNoReadOnlyMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 5)
		c.form()
		began := make(map[string]<-chan struct{})
		for _, m := range c.members {
			began[m.name] = m.tier.ReadOnlyChanged()
		}
		lost := make(map[string]bool)
		for range 2 {
			old := c.leader("")
			lost[old.name] = true
			c.net.Down(old.ip)
			next := c.leader(old.name)
			next.do(t, 0, create("/by-"+next.name, "", tiers.Persistent))
			<-time.After(10 * time.Second)
		}
		for _, m := range c.members {
			select {
			case <-began[m.name]:
				if !lost[m.name] {
					t.Errorf("%s was in read-only mode", m.name)
				}
			default:
				if lost[m.name] {
					t.Errorf("%s is cut off and was never in read-only mode", m.name)
				}
			}
		}
	})
}

// A process that was stopped has not listened: that is no silence.
func TestQuiet(t *testing.T) {
	now := time.Now()
	s := quiet{every: time.Second, last: now}
	for i, step := range []struct {
		passed time.Duration
		heard  bool
		want   time.Duration
	}{
		{time.Second, false, time.Second}, {time.Second, false, 2 * time.Second}, {time.Hour, false, 4 * time.Second},
		{time.Second, true, 0}, {time.Hour, true, 0}, {time.Second, false, time.Second},
	} {
		now = now.Add(step.passed)
		if got := s.tick(now, step.heard); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}

// When the mode ends, the majority hears of this member's sessions at once, not with the next batch.
func TestSessionsAreTouchedWhenTheModeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.form()
		alone := c.others(c.leader(""))[0]
		c.stop(alone)
		alone.touch = time.Hour
		c.start(alone)
		c.ready(alone)
		id, _ := tiers.NewSessionID(9, 9, 9)
		alone.do(t, id, tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Minute})
		c.cutOff(alone)
		alone.awaitMode(t, true)
		alone.tier.Touch(id)
		touched := time.Now()
		<-time.After(5 * time.Second)
		c.net.Heal()
		alone.awaitMode(t, false)
		<-time.After(time.Second)
		if got := alone.tier.Renewed(id); !got.Equal(touched) {
			t.Errorf("renewed at %v, touched at %v", got, touched)
		}
		other := c.leader("")
		if got := other.tier.touches.lastHeard(id).Sub(touched); got < -time.Second || got > time.Second {
			t.Errorf("the leader has heard of it %v after the touch", got)
		}
	})
}
