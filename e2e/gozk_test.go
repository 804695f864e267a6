package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// What go-zookeeper offers, on one member, on three, and on three whose leader is killed in the middle of it.

// operated are the flags of members whose tests reconfigure them and wait for reaping. The super user's password is "test".
var operated = []string{"--reconfig-enabled", "--super-digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU=", "--container-check-interval", "200ms"}

// pair is two clients that work below root and are attached to members that stay alive.
type pair struct {
	a, b *client
	root string
}

func TestGoClientOnOneMember(t *testing.T) {
	t.Parallel()
	m := startOne(t, operated...)
	goClient(t, func() {}, m)
	c := connect(t, 10*time.Second, m)
	become(t, c, "super:test")
	if _, err := c.IncrementalReconfig(nil, []string{"2"}, -1); err == nil || !strings.Contains(err.Error(), "-6") {
		t.Errorf("reconfig of a standalone member: %v, want code -6", err)
	}
}

func TestGoClientOnThreeMembers(t *testing.T) {
	t.Parallel()
	c := startCluster(t, operated...)
	goClient(t, func() {}, c...)
	removeMember(t, c, c[2])
}

// TestGoClientWhileTheLeaderIsKilled also has a counter at each member, behind an ACL: those of the survivors lose no connection, that of
// the leader loses one, and none a count. In the end the dead member is removed from the cluster.
func TestGoClientWhileTheLeaderIsKilled(t *testing.T) {
	t.Parallel()
	c := startCluster(t, operated...)
	leader := c.leader(t)
	rest := c.without(leader)
	connect(t, 10*time.Second, rest[0]).makePath(t, "/tally")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i, m := range c {
		k := connect(t, 20*time.Second, slices.Concat(c[i:], c[:i])...)
		become(t, k, m.name+":secret")
		path := "/tally/" + m.name
		if _, err := k.Create(path, nil, zk.FlagEphemeral, zk.AuthACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			n, err := tally(k, path, stop)
			_, stat, err2 := k.Exists(path)
			if err := errors.Join(err, err2); err != nil {
				t.Errorf("the counter at %s: %v", m.name, err)
			} else if n == 0 || stat.Version != n || stat.EphemeralOwner != k.SessionID() {
				t.Errorf("the counter at %s: %d acknowledged, %+v", m.name, n, stat)
			}
			want := 0
			if m == leader {
				want = 1
			}
			if k.disconnects() != want || k.sessionsLost() != 0 {
				t.Errorf("the client at %s lost %d connections and %d sessions", m.name, k.disconnects(), k.sessionsLost())
			}
		})
	}
	goClient(t, func() { leader.signal(t, syscall.SIGKILL) }, rest...)
	close(stop)
	wg.Wait()
	removeMember(t, rest, leader)
}

// goClient runs all cases over two clients, which lose no connection; meanwhile is called while they contend for a lock.
func goClient(t *testing.T, meanwhile func(), members ...*member) {
	t.Helper()
	p := pair{a: connect(t, 10*time.Second, members[0]), b: connect(t, 10*time.Second, members[len(members)-1]), root: "/gozk"}
	p.a.makePath(t, p.root)
	for _, c := range []struct {
		name string
		run  func(*testing.T, pair)
	}{
		{"lock", func(t *testing.T, p pair) { libraryLock(t, p, meanwhile) }},
		{"modes", modes}, {"multi", multi}, {"watches", watches}, {"acls", acls}, {"pipeline", pipeline}, {"reaping", reaping},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, p) })
	}
	t.Run("words", func(t *testing.T) { words(t, members, p) })
	for _, c := range []*client{p.a, p.b} {
		if c.disconnects() != 0 || c.sessionsLost() != 0 {
			t.Errorf("a client lost %d connections and %d sessions", c.disconnects(), c.sessionsLost())
		}
	}
}

// words are what the library reads off the four-letter words.
func words(t *testing.T, members []*member, p pair) {
	addrs := make([]string, len(members))
	for i, m := range members {
		addrs[i] = m.zk
	}
	if ok := zk.FLWRuok(addrs, patience); slices.Contains(ok, false) {
		t.Errorf("ruok: %v", ok)
	}
	until(t, "srvr tells who leads", func() error {
		stats, ok := zk.FLWSrvr(addrs, patience)
		if !ok {
			return fmt.Errorf("%+v", *stats[0])
		}
		modes := map[zk.Mode]int{}
		for i, s := range stats {
			modes[s.Mode]++
			busy := i == 0 // pair.a is there
			if !strings.HasPrefix(s.Version, "3.") || s.NodeCount < 5 || s.Counter < 1 || busy && (s.Connections < 2 || s.Sent < 1000 || s.Received < 1000) {
				return fmt.Errorf("%+v", *s)
			}
		}
		if len(members) == 1 && modes[zk.ModeStandalone] != 1 || len(members) > 1 && (modes[zk.ModeLeader] != 1 || modes[zk.ModeFollower] != len(members)-1) {
			return fmt.Errorf("modes are %v", modes)
		}
		return nil
	})
	// The library's verdict is left aside: it stumbles over the line of the asking connection, which has no session, here as in ZooKeeper.
	conns, _ := zk.FLWCons(addrs[:1], patience)
	if !slices.ContainsFunc(conns[0].Clients, func(c *zk.ServerClient) bool {
		return c.SessionID == p.a.SessionID() && c.Timeout == 10000 && c.Received > 100 && c.Sent >= c.Received
	}) {
		for _, c := range conns[0].Clients {
			t.Logf("%+v", *c)
		}
		t.Errorf("cons does not have session %#x, or not as it is: %v", p.a.SessionID(), conns[0].Error)
	}
}

// removeMember takes gone out of the cluster, as its operator would, over a client of one of the others.
func removeMember(t *testing.T, c cluster, gone *member) {
	t.Helper()
	k := connect(t, 10*time.Second, c.without(gone)...)
	const config = "/zookeeper/config"
	data, stat, err := k.Get(config)
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^server\.(\d+)=.*;` + regexp.QuoteMeta(gone.zk) + `$`).FindSubmatch(data)
	if line == nil {
		t.Fatalf("%s is not in %q", gone.zk, data)
	}
	leaving := []string{string(line[1])}
	if _, err := k.IncrementalReconfig(nil, leaving, -1); !errors.Is(err, zk.ErrNoAuth) {
		t.Errorf("reconfig by anybody: %v", err)
	}
	become(t, k, "super:test")
	if _, err := k.IncrementalReconfig(nil, leaving, stat.Mzxid-1); !errors.Is(err, zk.ErrBadVersion) {
		t.Errorf("reconfig of another version: %v", err)
	}
	done, err := k.IncrementalReconfig(nil, leaving, -1)
	if err != nil {
		t.Fatal(err)
	}
	data, stat, err = k.Get(config)
	if err != nil || bytes.Contains(data, []byte(gone.zk)) || stat.Mzxid != done.Mzxid || !bytes.HasSuffix(data, fmt.Appendf(nil, "version=%x", done.Mzxid)) {
		t.Errorf("%q %+v %v after %+v", data, stat, err, done)
	}
}

// become authenticates with the scheme digest.
func become(t *testing.T, c *client, who string) {
	t.Helper()
	if err := c.AddAuth("digest", []byte(who)); err != nil {
		t.Fatal(err)
	}
}

// tally adds to path's version until stop, and returns how often it did. Whether a write whose answer was lost has applied is read off the version.
func tally(c *client, path string, stop <-chan struct{}) (int32, error) {
	var n int32
	for deadline := time.Now().Add(4 * patience); time.Now().Before(deadline); {
		select {
		case <-stop:
			return n, nil
		default:
		}
		stat, err := c.Set(path, nil, n)
		if err == nil {
			if n++; stat.Version != n {
				return n, fmt.Errorf("version %d after write %d", stat.Version, n)
			}
			continue
		}
		for lost(err) && time.Now().Before(deadline) {
			if _, stat, err = c.Exists(path); err == nil && (stat == nil || stat.Version != n && stat.Version != n+1) {
				return n, fmt.Errorf("%+v after %d writes", stat, n)
			}
		}
		if err != nil {
			return n, err
		}
		n = stat.Version
	}
	return n, errors.New("nobody has stopped it")
}
