package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// libraryLock contends with the library's own lock, many turns over each connection.
func libraryLock(t *testing.T, p pair, meanwhile func()) {
	var holders, turns atomic.Int32
	var wg sync.WaitGroup
	first := make(chan struct{})
	for i, c := range []*client{p.a, p.b, p.a, p.b} {
		wg.Go(func() {
			for range 15 {
				l := zk.NewLock(c.Conn, p.root+"/locks/one", everyone)
				if err := l.Lock(); err != nil {
					t.Errorf("contender %d: %v", i, err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders", n)
				}
				if turns.Add(1) == 1 {
					close(first)
				}
				holders.Add(-1)
				if err := l.Unlock(); err != nil {
					t.Errorf("contender %d: %v", i, err)
					return
				}
			}
		})
	}
	select {
	case <-first:
		meanwhile()
	case <-time.After(patience):
		t.Error("nobody got the lock")
	}
	wg.Wait()
	if turns.Load() != 60 {
		t.Errorf("%d turns of 60", turns.Load())
	}
}

func modes(t *testing.T, p pair) {
	dir := p.root + "/modes"
	p.a.makePath(t, dir)
	for i, flags := range []int32{zk.FlagSequence, zk.FlagEphemeralSequential, zk.FlagPersistentSequentialWithTTL} {
		var path string
		var err error
		if flags == zk.FlagPersistentSequentialWithTTL {
			path, err = p.a.CreateTTL(dir+"/s-", nil, flags, everyone, time.Hour)
		} else {
			path, err = p.a.Create(dir+"/s-", nil, flags, everyone)
		}
		if want := fmt.Sprintf("%s/s-%010d", dir, i); err != nil || path != want {
			t.Errorf("create with flags %d: %q %v, want %q", flags, path, err, want)
		}
	}
	mine, err := p.a.CreateProtectedEphemeralSequential(dir+"/lock-", []byte("x"), everyone)
	if err != nil || !regexp.MustCompile(`^/gozk/modes/_c_[0-9a-f]{32}-lock-0000000003$`).MatchString(mine) {
		t.Fatalf("protected: %q %v", mine, err)
	}
	data, stat, err := p.b.Get(mine)
	if err != nil || string(data) != "x" || stat.EphemeralOwner != p.a.SessionID() || stat.Czxid != stat.Mzxid || stat.DataLength != 1 {
		t.Errorf("at the other client: %q %+v %v", data, stat, err)
	}
	if _, err := p.a.Create(mine+"/x", nil, 0, everyone); !errors.Is(err, zk.ErrNoChildrenForEphemerals) {
		t.Errorf("a child of an ephemeral: %v", err)
	}
	if _, err := p.a.Create(dir, nil, 0, everyone); !errors.Is(err, zk.ErrNodeExists) {
		t.Errorf("create again: %v", err)
	}
	if err := p.a.Delete(dir, -1); !errors.Is(err, zk.ErrNotEmpty) {
		t.Errorf("delete of a parent: %v", err)
	}
	big := bytes.Repeat([]byte("x"), 1_000_000)
	if _, err := p.a.Set(mine, big, 1); !errors.Is(err, zk.ErrBadVersion) {
		t.Errorf("set with another version: %v", err)
	}
	if _, err := p.a.Set(mine, big, 0); err != nil {
		t.Error(err)
	}
	if data, _, err := p.b.Get(mine); err != nil || !bytes.Equal(data, big) {
		t.Errorf("%d bytes came back: %v", len(data), err)
	}
	if path, err := p.b.Sync(dir); err != nil || path != dir {
		t.Errorf("sync: %q %v", path, err)
	}
}

func multi(t *testing.T, p pair) {
	path := p.root + "/multi"
	got, err := p.a.Multi(
		&zk.CreateRequest{Path: path, Data: []byte("1"), Acl: everyone},
		&zk.CreateRequest{Path: path + "/s-", Acl: everyone, Flags: zk.FlagSequence},
		&zk.CheckVersionRequest{Path: path, Version: 0},
		&zk.SetDataRequest{Path: path, Data: []byte("2"), Version: 0},
		&zk.DeleteRequest{Path: path + "/s-0000000000", Version: 0})
	if err != nil || len(got) != 5 || got[0].String != path || got[1].String != path+"/s-0000000000" || got[3].Stat.Version != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	got, err = p.a.Multi(
		&zk.CreateRequest{Path: path + "/never", Acl: everyone},
		&zk.CheckVersionRequest{Path: path, Version: 7},
		&zk.DeleteRequest{Path: path, Version: -1})
	if !errors.Is(err, zk.ErrBadVersion) || len(got) != 3 || got[0].Error != nil || !errors.Is(got[1].Error, zk.ErrBadVersion) ||
		got[2].Error == nil || !strings.HasSuffix(got[2].Error.Error(), "-2") {
		t.Errorf("%+v %v", got, err)
	}
	if err := p.b.sees(path+"/never", false)(); err != nil {
		t.Error(err)
	}
}

func watches(t *testing.T, p pair) {
	path := p.root + "/watched"
	hears := func(what string, events <-chan zk.Event, typ zk.EventType, path string) {
		t.Helper()
		select {
		case e := <-events:
			if e.Type != typ || e.Path != path || e.Err != nil {
				t.Errorf("%s: %+v", what, e)
			}
		case <-time.After(patience):
			t.Fatalf("%s: no event", what)
		}
	}
	_, _, created, err := p.b.ExistsW(path)
	if err != nil {
		t.Fatal(err)
	}
	p.a.makePath(t, path)
	hears("exists", created, zk.EventNodeCreated, path)
	_, _, changed, err := p.b.GetW(path)
	if err != nil {
		t.Fatal(err)
	}
	_, _, children, err := p.b.ChildrenW(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.a.Set(path, []byte("1"), -1); err != nil {
		t.Fatal(err)
	}
	hears("get", changed, zk.EventNodeDataChanged, path)
	if data, _, err := p.b.Get(path); err != nil || string(data) != "1" {
		t.Errorf("after the event: %q %v", data, err)
	}
	p.a.makePath(t, path+"/kid")
	hears("children", children, zk.EventNodeChildrenChanged, path)
	_, _, deleted, err := p.b.ExistsW(path + "/kid")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.a.Delete(path+"/kid", 0); err != nil {
		t.Fatal(err)
	}
	hears("exists of what goes", deleted, zk.EventNodeDeleted, path+"/kid")
}

func acls(t *testing.T, p pair) {
	path := p.root + "/acl"
	owner := connect(t, 10*time.Second, &member{zk: p.a.Server()})
	become(t, owner, "bob:secret")
	if _, err := owner.Create(path, []byte("x"), 0, zk.AuthACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	_, _, getErr := p.b.Get(path)
	_, setErr := p.b.Set(path, nil, -1)
	_, aclErr := p.b.SetACL(path, everyone, -1)
	_, _, readErr := p.b.GetACL(path)
	for what, err := range map[string]error{"get": getErr, "set": setErr, "setACL": aclErr, "getACL": readErr} {
		if !errors.Is(err, zk.ErrNoAuth) {
			t.Errorf("%s by a stranger: %v", what, err)
		}
	}
	list, stat, err := owner.GetACL(path)
	if want := zk.DigestACL(zk.PermAll, "bob", "secret"); err != nil || !slices.Equal(list, want) || stat.Aversion != 0 {
		t.Errorf("getACL: %v %+v %v, want %v", list, stat, err, want)
	}
	if stat, err := owner.SetACL(path, zk.WorldACL(zk.PermRead), 0); err != nil || stat.Aversion != 1 {
		t.Errorf("setACL: %+v %v", stat, err)
	}
	if data, _, err := p.b.Get(path); err != nil || string(data) != "x" {
		t.Errorf("get by a stranger who may: %q %v", data, err)
	}
	if _, err := owner.Set(path, nil, -1); !errors.Is(err, zk.ErrNoAuth) {
		t.Errorf("set by who may only read: %v", err)
	}
	if _, err := p.a.Create(path+"s", nil, 0, []zk.ACL{{Perms: zk.PermAll, Scheme: "nosuch", ID: "x"}}); !errors.Is(err, zk.ErrInvalidACL) {
		t.Errorf("an ACL of an unknown scheme: %v", err)
	}
}

// pipeline has many requests under way at once over one connection.
func pipeline(t *testing.T, p pair) {
	path := p.root + "/pipeline"
	p.a.makePath(t, path)
	var versions sync.Map
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for range 20 {
				stat, err := p.a.Set(path, []byte("x"), -1)
				if err != nil {
					t.Error(err)
					return
				}
				if _, twice := versions.LoadOrStore(stat.Version, true); twice {
					t.Errorf("version %d was given twice", stat.Version)
				}
			}
		})
	}
	wg.Wait()
	if _, stat, err := p.b.Exists(path); err != nil || stat.Version != 2000 {
		t.Errorf("%+v %v, want version 2000", stat, err)
	}
}

// reaping: a container goes after its last child, a TTL znode after its time.
func reaping(t *testing.T, p pair) {
	container, ttl := p.root+"/container", p.root+"/ttl"
	if path, err := p.a.CreateContainer(container, nil, zk.FlagContainer, everyone); err != nil || path != container {
		t.Fatalf("createContainer: %q %v", path, err)
	}
	if path, err := p.a.CreateTTL(ttl, []byte("x"), zk.FlagTTL, everyone, 50*time.Millisecond); err != nil || path != ttl {
		t.Fatalf("createTTL: %q %v", path, err)
	}
	p.a.makePath(t, container+"/kid")
	if err := p.b.Delete(container+"/kid", -1); err != nil {
		t.Fatal(err)
	}
	until(t, "the container is gone", p.b.sees(container, false))
	until(t, "the TTL znode is gone", p.b.sees(ttl, false))
}
