package zkcompat_test

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/strata-coord/strata/tiers"
)

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// client connects a real client library.
func (w *world) client(dial zk.Dialer) (*zk.Conn, <-chan zk.Event) {
	w.t.Helper()
	conn, events, err := zk.Connect([]string{w.server.Addr().String()}, 10*time.Second, zk.WithLogger(quiet{}), zk.WithDialer(dial))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(conn.Close)
	w.awaitState(events, zk.StateHasSession)
	return conn, events
}

func (w *world) awaitState(events <-chan zk.Event, want zk.State) {
	w.t.Helper()
	late := time.After(patience)
	for {
		select {
		case e := <-events:
			if e.State == want {
				return
			}
		case <-late:
			w.t.Fatalf("the client is never in state %v", want)
		}
	}
}

func (w *world) await(events <-chan zk.Event, kind zk.EventType, path string) {
	w.t.Helper()
	select {
	case e := <-events:
		if e.Type != kind || e.Path != path {
			w.t.Fatalf("event %+v, want %v of %s", e, kind, path)
		}
	case <-time.After(patience):
		w.t.Fatalf("no %v of %s", kind, path)
	}
}

func TestGoClient(t *testing.T) {
	w := newWorld(t)
	conn, _ := w.client(net.DialTimeout)
	acl := zk.WorldACL(zk.PermAll)
	if err := conn.AddAuth("digest", []byte("bob:pw")); err != nil {
		t.Fatal(err)
	}
	_, _, watch, err := conn.ExistsW("/a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Create("/a", []byte("1"), 0, acl); err != nil {
		t.Fatal(err)
	}
	w.await(watch, zk.EventNodeCreated, "/a")
	if p, err := conn.CreateContainer("/a/container", nil, zk.FlagContainer, acl); err != nil || p != "/a/container" {
		t.Errorf("container: %q, %v", p, err)
	}
	if p, err := conn.CreateTTL("/a/ttl", nil, zk.FlagTTL, acl, time.Second); err != nil || p != "/a/ttl" {
		t.Errorf("ttl: %q, %v", p, err)
	}
	if p, err := conn.CreateProtectedEphemeralSequential("/a/lock-", nil, acl); err != nil || p[len(p)-10:] != "0000000002" {
		t.Errorf("sequential: %q, %v", p, err)
	}
	rs, err := conn.Multi(&zk.CreateRequest{Path: "/m", Acl: acl}, &zk.SetDataRequest{Path: "/a", Data: []byte("2"), Version: 0}, &zk.CheckVersionRequest{Path: "/a", Version: 1})
	if err != nil || len(rs) != 3 || rs[0].String != "/m" || rs[1].Stat.Version != 1 {
		t.Errorf("multi: %+v, %v", rs, err)
	}
	rs, err = conn.Multi(&zk.DeleteRequest{Path: "/m", Version: -1}, &zk.CheckVersionRequest{Path: "/a", Version: 7})
	if !errors.Is(err, zk.ErrBadVersion) || len(rs) != 2 || !errors.Is(rs[1].Error, zk.ErrBadVersion) {
		t.Errorf("multi: %+v, %v", rs, err)
	}
	data, stat, err := conn.Get("/a")
	if err != nil || string(data) != "2" || stat.Version != 1 || stat.NumChildren != 3 {
		t.Errorf("%q, %+v, %v", data, stat, err)
	}
	if _, err := conn.Sync("/a"); err != nil {
		t.Error(err)
	}
	if _, err := conn.SetACL("/a", zk.AuthACL(zk.PermAll), 0); err != nil {
		t.Error(err)
	}
	if got, _, err := conn.GetACL("/a"); err != nil || len(got) != 1 || got[0].ID != "bob:ikIaKsbtGweaHnb/jKn7OHqbunM=" {
		t.Errorf("%+v, %v", got, err)
	}
}

// A client whose connection breaks goes on with its session, its ephemerals and its watches.
func TestGoClientReconnects(t *testing.T) {
	w := newWorld(t)
	var gate sync.Mutex
	conns := make(chan net.Conn, 10)
	conn, events := w.client(func(network, addr string, timeout time.Duration) (net.Conn, error) {
		gate.Lock()
		defer gate.Unlock()
		nc, err := net.DialTimeout(network, addr, timeout)
		if err == nil {
			conns <- nc
		}
		return nc, err
	})
	id := conn.SessionID()
	acl := zk.WorldACL(zk.PermAll)
	for _, p := range []string{"/e", "/same", "/changed"} {
		if _, err := conn.Create(p, nil, zk.FlagEphemeral, acl); err != nil {
			t.Fatal(err)
		}
	}
	watches := map[string]<-chan zk.Event{}
	for _, p := range []string{"/same", "/changed"} {
		_, _, watch, err := conn.GetW(p)
		if err != nil {
			t.Fatal(err)
		}
		watches[p] = watch
	}
	gate.Lock() // the client stays away until it has missed something
	broken := <-conns
	broken.Close()
	if _, err := tiers.Do(t.Context(), w.tier, tiers.Txn{Ops: []tiers.Op{{Kind: tiers.OpSetData, Path: "/changed", Version: -1}}}); err != nil {
		t.Fatal(err)
	}
	gate.Unlock()
	w.awaitState(events, zk.StateDisconnected)
	w.awaitState(events, zk.StateHasSession)
	if conn.SessionID() != id {
		t.Errorf("session %x, was %x", conn.SessionID(), id)
	}
	w.await(watches["/changed"], zk.EventNodeDataChanged, "/changed")
	if _, err := conn.Set("/same", nil, -1); err != nil {
		t.Fatal(err)
	}
	w.await(watches["/same"], zk.EventNodeDataChanged, "/same")
	if ok, _, err := conn.Exists("/e"); err != nil || !ok {
		t.Errorf("the ephemeral: %v, %v", ok, err)
	}
}

// Lock is the recipe of the library: ephemeral, sequential, watches on predecessors.
func TestGoClientLock(t *testing.T) {
	w := newWorld(t)
	var holders, most, turns int
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 5 {
		conn, _ := w.client(net.DialTimeout)
		all.Go(func() {
			for range 5 {
				l := zk.NewLock(conn, "/locks/x", zk.WorldACL(zk.PermAll))
				if err := l.Lock(); err != nil {
					t.Error(fmt.Errorf("contender %d: %w", i, err))
					return
				}
				mu.Lock()
				holders++
				turns++
				most = max(most, holders)
				mu.Unlock()
				mu.Lock()
				holders--
				mu.Unlock()
				if err := l.Unlock(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if most != 1 || turns != 25 {
		t.Errorf("%d holders at once, %d turns", most, turns)
	}
}
