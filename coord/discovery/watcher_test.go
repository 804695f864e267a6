package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/coord/discovery"
	"github.com/strata-coord/strata/tiers"
)

func TestWatchFollows(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		w := c.watch(t)
		defer w.Close()
		want(t, w, "") // the service does not exist yet
		c.create(0, "b:1", "", tiers.Persistent)
		want(t, w, "b:1")
		c.create(0, "a:1", "", tiers.Persistent)
		want(t, w, "a:1 b:1")
		<-w.Changed()
		select {
		case <-w.Changed():
			t.Error("two changes without a receive between them gave two values")
		default:
		}
		c.remove("b:1")
		want(t, w, "a:1")
		<-w.Changed()

		late := c.watch(t)
		defer late.Close()
		want(t, late, "a:1")

		// The service's own znode goes and comes back.
		c.remove("a:1")
		c.do(0, tiers.Op{Kind: tiers.OpDelete, Path: service, Version: tiers.AnyVersion})
		want(t, w, "")
		c.create(0, "c:1", "", tiers.Persistent)
		want(t, w, "c:1")
	})
}

func TestInstancesOfOtherClients(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		w := c.watch(t)
		defer w.Close()
		c.create(0, "web:9090", "http/json", tiers.Persistent)
		c.create(0, "api-3", `{"addr":"10.0.0.5:80","meta":{"zone":"b"},"more":1}`, tiers.Persistent)
		c.create(0, "api-4", `{"port":80}`, tiers.Persistent)
		want(t, w, "api-3 api-4 web:9090")
		all := w.Instances()
		if all[0].Addr != "10.0.0.5:80" || all[0].Meta["zone"] != "b" {
			t.Errorf("%+v", all[0])
		}
		if all[1].Addr != "api-4" || string(all[1].Data) != `{"port":80}` {
			t.Errorf("%+v", all[1])
		}
		if all[2].Addr != "web:9090" || string(all[2].Data) != "http/json" || all[2].Meta != nil {
			t.Errorf("%+v", all[2])
		}
		c.do(0, tiers.Op{Kind: tiers.OpSetData, Path: service + "/web:9090", Data: []byte(`{"addr":"10.0.0.6:80"}`), Version: tiers.AnyVersion})
		synctest.Wait()
		if got := w.Instances()[2].Addr; got != "10.0.0.6:80" {
			t.Errorf("after a change of the data the address is %s", got)
		}
		// What is below an instance is not an instance.
		<-w.Changed()
		c.do(0, tiers.Op{Kind: tiers.OpCreate, Path: service + "/web:9090/lock", ACL: tiers.OpenACL})
		want(t, w, "api-3 api-4 web:9090")
		select {
		case <-w.Changed():
			t.Error("a znode below an instance was announced as a change")
		default:
		}
	})
}

func TestWatchKeepsTheLastKnownSet(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member()
		defer m.leave()
		r := m.register(t, discovery.Instance{Addr: "a:1"})
		defer unregister(t, r)
		w := c.watch(t)
		defer w.Close()
		c.SetUnavailable(fmt.Errorf("%w: no majority", tiers.ErrUnavailable))
		pass(time.Hour)
		want(t, w, "a:1")
		if _, err := discovery.Watch(cancelled(t), m, service); !errors.Is(err, tiers.ErrUnavailable) {
			t.Errorf("Watch without the tier = %v", err)
		}
		c.SetUnavailable(nil)
	})
}

func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestWatchTriesAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		c.create(0, "a:1", "", tiers.Persistent)
		f := &failing{Tier: c}
		m := &member{cluster: c, tier: f}
		w, err := discovery.Watch(t.Context(), m, service)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		f.fail.Store(true)
		c.create(0, "b:1", "", tiers.Persistent)
		c.remove("a:1")
		pass(time.Minute)
		want(t, w, "a:1")
		if !errors.Is(w.Err(), tiers.ErrStale) {
			t.Errorf("Err = %v", w.Err())
		}
		f.fail.Store(false)
		<-w.Changed()
		want(t, w, "b:1")
		if w.Err() != nil {
			t.Errorf("Err = %v after it was read", w.Err())
		}
	})
}

func TestManyChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		w := c.watch(t)
		defer w.Close()
		c.create(0, "seed:1", "", tiers.Persistent)
		for i := range 300 {
			c.create(0, fmt.Sprintf("i-%03d", i), "", tiers.Persistent)
			if i%3 == 0 {
				c.remove(fmt.Sprintf("i-%03d", i))
			}
		}
		synctest.Wait()
		if n := len(w.Instances()); n != 201 {
			t.Errorf("%d instances, want 201", n)
		}
	})
}

func TestWatcherClose(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		c.create(0, "a:1", "", tiers.Persistent)
		w := c.watch(t)
		w.Close()
		w.Close()
		if _, open := <-w.Changed(); open {
			t.Error("Changed is still open")
		}
		c.remove("a:1")
		want(t, w, "a:1")
	})
}

func TestWatchRefusesBadPaths(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		for _, bad := range []string{"", "/", "services", "/services/"} {
			if _, err := discovery.Watch(t.Context(), c.member(), bad); !errors.Is(err, tiers.ErrBadArguments) {
				t.Errorf("Watch(%q) = %v", bad, err)
			}
		}
	})
}
