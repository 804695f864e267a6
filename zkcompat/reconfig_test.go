package zkcompat_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/tiertest/memtier"
	"github.com/strata-coord/strata/zkcompat"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// routed serves a tree behind a router, as a member does.
func routed(t *testing.T, opts ...option) *world {
	tier := memtier.New(memtier.Options{})
	t.Cleanup(tier.Close)
	r, err := tiers.NewRouter(tier)
	if err != nil {
		t.Fatal(err)
	}
	return newWorldOver(t, tier, r, opts...)
}

func some(s string) jute.NullString { return jute.NullString{S: s, Valid: true} }

func (c *raw) reconfig(q jute.ReconfigRequest) int32 { return c.send(jute.OpReconfig, q.Append(nil)) }

func TestReconfigOnTheWire(t *testing.T) {
	asked := make(chan tiers.Reconfig, 1)
	answer := make(chan error)
	w := routed(t, func(c *zkcompat.Config) {
		c.SuperDigest = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=" // of super:test
		c.Reconfig = func(ctx context.Context, r tiers.Reconfig) (tiers.View, error) {
			asked <- r
			return tiers.View{Data: []byte("text"), Stat: tiers.Stat{Mzxid: 7, Mtime: 8, Version: -1}, Zxid: 7}, <-answer
		}
	})
	c := w.connect()
	c.want(c.send(jute.OpAuth, (&jute.AuthRequest{Scheme: "digest", Auth: []byte("super:test")}).Append(nil)), 0)

	x := c.reconfig(jute.ReconfigRequest{Joining: some("a"), Leaving: some("b"), Version: 0x1f})
	r := <-asked
	if r.Joining != "a" || r.Leaving != "b" || r.Whole || r.Version != 0x1f || int64(r.Session) != c.SessionID || !slices.Contains(r.Caller, tiers.Identity{Scheme: "super"}) {
		t.Errorf("asked for %+v", r)
	}
	// Pings and what comes later are not lost meanwhile, and keep their order.
	c.sendAs(jute.XidPing, jute.OpPing, nil)
	c.want(jute.XidPing, 0)
	later := c.node(get("/", false))
	answer <- nil
	got := c.want(x, 0)
	if data, s := got.Buffer(), got.stat(); string(data) != "text" || s.Mzxid != 7 || s.Mtime != 8 || s.Version != -1 || got.Len() != 0 || got.Zxid != 7 {
		t.Errorf("%q, %+v, zxid %d, %d bytes more", data, s, got.Zxid, got.Len())
	}
	c.want(later, 0)

	x = c.reconfig(jute.ReconfigRequest{Joining: some(""), Leaving: some(""), Members: some("c"), Version: -1})
	if r := <-asked; !r.Whole || r.Members != "c" || r.Version != tiers.AnyConfig {
		t.Errorf("asked for %+v", r)
	}
	answer <- nil
	c.want(x, 0)

	for _, e := range []struct {
		err  error
		code jute.Code
	}{
		{tiers.ErrStandalone, jute.CodeUnimplemented}, {tiers.ErrReconfigInProgress, -14}, {tiers.ErrBadVersion, jute.CodeBadVersion},
		{tiers.ErrBadArguments, jute.CodeBadArguments}, {tiers.ErrNewConfigNoQuorum, -13}, {tiers.ErrNoAuth, jute.CodeNoAuth},
		{tiers.ErrSessionExpired, jute.CodeSessionExpired}, {&tiers.UnknownOutcomeError{Cause: errors.New("lost")}, jute.CodeConnectionLoss},
	} {
		x := c.reconfig(jute.ReconfigRequest{Version: -1})
		<-asked
		answer <- &tiers.OpError{Op: "reconfig", Err: fmt.Errorf("%w: so", e.err)}
		c.want(x, e.code)
	}
	if x := c.send(jute.OpReconfig, []byte{0, 0, 0, 1}); c.want(x, jute.CodeMarshallingError).Len() != 0 {
		t.Error("more than a header")
	}
}

// Disabled comes before everything but a record that is none.
func TestReconfigIsDisabled(t *testing.T) {
	c := routed(t).connect()
	c.want(c.reconfig(jute.ReconfigRequest{Joining: some("?"), Version: 99}), jute.CodeReconfigDisabled)
	c.want(c.send(jute.OpReconfig, nil), jute.CodeMarshallingError)
	c.do(create("/a", ""), 0)
}

func TestClientsLeaveAMemberThatIsGone(t *testing.T) {
	var gone atomic.Bool
	w := newWorld(t, func(c *zkcompat.Config) {
		c.Gone = func() error {
			if gone.Load() {
				return errors.New("taken out")
			}
			return nil
		}
	})
	idle, waiting := w.connect(), w.connect()
	release := w.tier.Hold()
	defer release()
	x := waiting.node(create("/a", ""))
	waiting.sendAs(jute.XidPing, jute.OpPing, nil)
	waiting.want(jute.XidPing, 0) // so the request before it has been read
	gone.Store(true)
	idle.closed() // nothing was asked
	release()
	waiting.want(x, 0) // what was asked before is answered
	waiting.closed()
	if got := w.ask("ruok"); got != "imok" {
		t.Errorf("ruok: %q", got)
	}
}
