package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/coord/discovery"
	"github.com/strata-coord/strata/tiers"
)

// failing refuses reads while fail is set.
type failing struct {
	tiers.Tier
	fail atomic.Bool
}

func (f *failing) Read(ctx context.Context, q tiers.Query) (tiers.View, error) {
	if f.fail.Load() {
		return tiers.View{}, &tiers.StaleError{Path: q.Path}
	}
	return f.Tier.Read(ctx, q)
}

// data is what an instance's znode holds, and to whom it belongs.
func (c *cluster) data(t *testing.T, name string) (string, tiers.SessionID) {
	t.Helper()
	view, err := c.Read(t.Context(), tiers.Query{Path: service + "/" + name, Want: tiers.WantData})
	if err != nil {
		t.Fatal(err)
	}
	return string(view.Data), view.Stat.EphemeralOwner
}

func TestRegisterAndUnregister(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member()
		defer m.leave()
		w := c.watch(t)
		defer w.Close()
		a := m.register(t, discovery.Instance{Addr: "10.0.0.5:80"})
		b := m.register(t, discovery.Instance{ID: "api-2", Addr: "10.0.0.6:80", Meta: map[string]string{"zone": "b"}})
		raw := m.register(t, discovery.Instance{ID: "raw", Data: []byte("http/json")})
		want(t, w, "10.0.0.5:80 api-2 raw")
		for name, data := range map[string]string{
			"10.0.0.5:80": `{"addr":"10.0.0.5:80"}`,
			"api-2":       `{"addr":"10.0.0.6:80","id":"api-2","meta":{"zone":"b"}}`,
			"raw":         "http/json",
		} {
			if got, owner := c.data(t, name); got != data || owner != m.session.ID() {
				t.Errorf("%s holds %s and belongs to %v, want %s of %v", name, got, owner, data, m.session.ID())
			}
		}
		if got := w.Instances()[1]; got.Addr != "10.0.0.6:80" || got.Meta["zone"] != "b" {
			t.Errorf("read back as %+v", got)
		}
		if !a.Registered() || a.Err() != nil {
			t.Errorf("registered %v, %v", a.Registered(), a.Err())
		}
		unregister(t, a)
		unregister(t, a)
		if a.Registered() {
			t.Error("still registered after Close")
		}
		want(t, w, "api-2 raw")
		unregister(t, b)
		unregister(t, raw)
		want(t, w, "")
	})
}

func TestRegistersAgainAfterALostSession(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member()
		defer m.leave()
		w := c.watch(t)
		defer w.Close()
		r := m.register(t, discovery.Instance{Addr: "a:1"})
		old := m.session.ID()
		m.leave()
		pass(time.Minute)
		want(t, w, "a:1")
		if _, owner := c.data(t, "a:1"); owner == old || owner != m.session.ID() {
			t.Errorf("belongs to %v, the lost session was %v, the new one is %v", owner, old, m.session.ID())
		}
		unregister(t, r)
		want(t, w, "")
	})
}

func TestRegistersAgainAfterADeletion(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member()
		defer m.leave()
		w := c.watch(t)
		defer w.Close()
		r := m.register(t, discovery.Instance{Addr: "a:1"})
		c.remove("a:1")
		pass(time.Second)
		want(t, w, "a:1")
		unregister(t, r)
	})
}

func TestTheLastOneWins(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		first, second := c.member(), c.member()
		defer first.leave()
		defer second.leave()
		a := first.register(t, discovery.Instance{Addr: "a:1", Meta: map[string]string{"run": "1"}})
		b := second.register(t, discovery.Instance{Addr: "a:1", Meta: map[string]string{"run": "2"}})
		pass(time.Minute)
		data, owner := c.data(t, "a:1")
		if data != `{"addr":"a:1","meta":{"run":"2"}}` || owner != second.session.ID() {
			t.Errorf("%s of %v, want the second one's", data, owner)
		}
		if !errors.Is(a.Err(), discovery.ErrReplaced) || a.Registered() {
			t.Errorf("the first one: registered %v, %v", a.Registered(), a.Err())
		}
		if b.Err() != nil || !b.Registered() {
			t.Errorf("the second one: registered %v, %v", b.Registered(), b.Err())
		}
		unregister(t, a)
		if _, owner := c.data(t, "a:1"); owner != second.session.ID() {
			t.Error("the replaced one took the other's znode away")
		}
		unregister(t, b)
	})
}

func TestAPersistentZnodeIsNotTakenOver(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member()
		defer m.leave()
		c.create(0, "a:1", "by hand", tiers.Persistent)
		if _, err := discovery.Register(t.Context(), m, service, discovery.Instance{Addr: "a:1"}); !errors.Is(err, tiers.ErrNodeExists) {
			t.Errorf("Register = %v", err)
		}
		if data, _ := c.data(t, "a:1"); data != "by hand" {
			t.Errorf("the znode holds %q", data)
		}
	})
}

func TestCheckDecides(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member()
		defer m.leave()
		w := c.watch(t)
		defer w.Close()
		sick := errors.New("sick")
		var health atomic.Pointer[error]
		health.Store(&sick)
		var well error
		r := m.register(t, discovery.Instance{Addr: "a:1", Check: discovery.Check{
			Every: time.Second, Failures: 3, Probe: func(context.Context) error { return *health.Load() },
		}})
		want(t, w, "")
		if !errors.Is(r.Err(), sick) || r.Registered() {
			t.Errorf("registered %v, %v", r.Registered(), r.Err())
		}
		health.Store(&well)
		pass(1500 * time.Millisecond)
		want(t, w, "a:1")
		health.Store(&sick)
		pass(2 * time.Second)
		want(t, w, "a:1") // two failures are forgiven
		pass(time.Second)
		want(t, w, "")
		m.leave() // an ill instance does not mind the loss of its session
		pass(time.Hour)
		health.Store(&well)
		pass(time.Second)
		want(t, w, "a:1")
		unregister(t, r)
		want(t, w, "")
	})
}

func TestProbesAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member()
		defer m.leave()
		r := m.register(t, discovery.Instance{Addr: "a:1", Check: discovery.Check{
			Every: time.Second, Probe: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		}})
		if !errors.Is(r.Err(), context.DeadlineExceeded) {
			t.Errorf("Err = %v", r.Err())
		}
		unregister(t, r)
	})
}

// unsure answers the first create of an instance with an unknown outcome.
type unsure struct {
	tiers.Tier
	applies bool // the create applies all the same
	asked   atomic.Bool
}

func (u *unsure) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	if txn.Ops[0].Kind != tiers.OpCreate || txn.Ops[0].Mode != tiers.Ephemeral || u.asked.Swap(true) {
		return u.Tier.Submit(ctx, txn)
	}
	if u.applies {
		_, _ = u.Tier.Submit(ctx, txn).Wait(ctx)
	}
	return tiers.Completed(tiers.Receipt{}, &tiers.UnknownOutcomeError{Cause: errors.New("the member was restarted")})
}

func TestUncertainRegistration(t *testing.T) {
	for _, applies := range []bool{true, false} {
		t.Run(fmt.Sprintf("applies=%v", applies), func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				c.create(0, "other", "", tiers.Persistent)
				m := &member{cluster: c, tier: &unsure{Tier: c.sessions.Tier(), applies: applies}}
				defer m.leave()
				r := m.register(t, discovery.Instance{Addr: "a:1"})
				if _, owner := c.data(t, "a:1"); owner != m.session.ID() {
					t.Errorf("belongs to %v, want %v", owner, m.session.ID())
				}
				unregister(t, r)
			})
		})
	}
}

func TestUnavailableTier(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member()
		defer m.leave()
		down := fmt.Errorf("%w: no majority", tiers.ErrUnavailable)
		c.SetUnavailable(down)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := discovery.Register(ctx, m, service, discovery.Instance{Addr: "a:1"}); !errors.Is(err, tiers.ErrUnavailable) {
			t.Errorf("Register = %v", err)
		}
		timer := time.AfterFunc(time.Minute, func() { c.SetUnavailable(nil) })
		defer timer.Stop()
		r := m.register(t, discovery.Instance{Addr: "a:1"})
		c.SetUnavailable(down)
		if err := r.Close(); !errors.Is(err, tiers.ErrUnavailable) {
			t.Errorf("Close without the tier = %v", err)
		}
		c.SetUnavailable(nil)
	})
}

func TestRegisterRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member()
		for _, bad := range []discovery.Instance{{}, {ID: "a/b"}, {Addr: "http://a"}, {ID: ".."}} {
			if _, err := discovery.Register(t.Context(), m, service, bad); !errors.Is(err, tiers.ErrBadArguments) {
				t.Errorf("Register(%+v) = %v", bad, err)
			}
		}
		if _, err := discovery.Register(t.Context(), m, "services", discovery.Instance{Addr: "a:1"}); !errors.Is(err, tiers.ErrBadArguments) {
			t.Errorf("a relative path: %v", err)
		}
	})
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	var status atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	check := discovery.HTTP(server.URL, time.Minute)
	if check.Every != time.Minute {
		t.Errorf("every %v", check.Every)
	}
	for code, well := range map[int32]bool{200: true, 204: true, 302: false, 404: false, 503: false} {
		status.Store(code)
		if err := check.Probe(t.Context()); (err == nil) != well {
			t.Errorf("answered %d: %v", code, err)
		}
	}
	server.Close()
	if err := check.Probe(t.Context()); err == nil {
		t.Error("nobody answers, and the check is content")
	}
	if err := discovery.HTTP("::", time.Minute).Probe(t.Context()); err == nil {
		t.Error("a bad URL passed")
	}
}

func TestTCP(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	check := discovery.TCP(l.Addr().String(), time.Minute)
	if err := check.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := check.Probe(t.Context()); err == nil {
		t.Error("nobody listens, and the check is content")
	}
}

func TestSessionLossWhileTheTierIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		f := &failing{Tier: c.sessions.Tier()}
		m := &member{cluster: c, tier: f}
		defer m.leave()
		r := m.register(t, discovery.Instance{Addr: "a:1"})
		f.fail.Store(true)
		m.leave()
		pass(time.Hour)
		if !errors.Is(r.Err(), tiers.ErrStale) || r.Registered() {
			t.Errorf("registered %v, %v", r.Registered(), r.Err())
		}
		f.fail.Store(false)
		pass(time.Minute)
		synctest.Wait()
		if r.Err() != nil || !r.Registered() {
			t.Errorf("registered %v, %v", r.Registered(), r.Err())
		}
		unregister(t, r)
	})
}
