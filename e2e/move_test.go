package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// A client whose member dies hears of every change that it watches for, whatever the tier: of those that happen while it is on its way,
// too.
func TestNoWatchIsLostWhenAClientMoves(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"the leader", "a follower"} {
		c := startCluster(t)
		home := c.leader(t)
		if first == "a follower" {
			home = c.without(home)[0]
		}
		rest := c.without(home)
		writer := connect(t, 20*time.Second, rest...)
		client := connect(t, 20*time.Second, append([]*member{home}, rest...)...)
		watched := make(map[string]<-chan zk.Event)
		for _, dir := range []string{"/strong", "/config/readonly", "/services/eventual"} {
			writer.makePath(t, dir)
			writer.makePath(t, dir+"/data")
			writer.makePath(t, dir+"/gone")
			writer.makePath(t, dir+"/kids")
			for _, name := range []string{"data", "gone", "kids"} {
				until(t, "the client's member has "+dir+"/"+name, client.sees(dir+"/"+name, true))
			}
			arm := func(path string, events <-chan zk.Event, err error) {
				t.Helper()
				if err != nil {
					t.Fatalf("watch %s: %v", path, err)
				}
				watched[path] = events
			}
			_, _, events, err := client.GetW(dir + "/data")
			arm(dir+"/data", events, err)
			_, _, events, err = client.ExistsW(dir + "/gone")
			arm(dir+"/gone", events, err)
			_, _, events, err = client.ChildrenW(dir + "/kids")
			arm(dir+"/kids", events, err)
			_, _, events, err = client.ExistsW(dir + "/new")
			arm(dir+"/new", events, err)
		}
		session := client.SessionID()
		home.signal(t, syscall.SIGKILL)
		for _, dir := range []string{"/services/eventual", "/strong", "/config/readonly"} {
			if _, err := writer.Set(dir+"/data", []byte("new"), -1); err != nil {
				t.Fatal(err)
			}
			if err := writer.Delete(dir+"/gone", -1); err != nil {
				t.Fatal(err)
			}
			writer.makePath(t, dir+"/kids/one")
			writer.makePath(t, dir+"/new")
		}
		deadline := time.After(patience)
		for path, events := range watched {
			select {
			case e := <-events:
				if e.Path != path || e.Err != nil || e.Type == zk.EventNotWatching {
					t.Errorf("%s, home was %s: %+v", path, first, e)
				}
			case <-deadline:
				t.Fatalf("%s, home was %s: no event", path, first)
			}
		}
		until(t, "the client has lost one connection", func() error { // it hears of that by another way
			if n := client.disconnects(); n != 1 {
				return fmt.Errorf("it has lost %d", n)
			}
			return nil
		})
		if client.SessionID() != session || client.sessionsLost() != 0 {
			t.Errorf("home was %s: session %#x, before %#x", first, client.SessionID(), session)
		}
	}
}

// On eventual paths each member gives its own numbers: no two are the same, and those of one member increase.
func TestSequentialNamesOnAnEventualPath(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	seen := make(map[string]string)
	clients := make([]*client, len(c))
	for i, m := range c {
		clients[i] = connect(t, 10*time.Second, m)
	}
	clients[0].makePath(t, "/services/queue")
	for i, x := range clients {
		until(t, "the members have the parent", x.sees("/services/queue", true))
		var last string
		for range 50 {
			name, err := x.Create("/services/queue/n-", nil, zk.FlagSequence, everyone)
			if err != nil {
				t.Fatal(err)
			}
			number := strings.TrimPrefix(name, "/services/queue/n-")
			if len(number) != 10 || number <= last || seen[name] != "" {
				t.Fatalf("member %s gave %s after %s; it was given before by %q", c[i].name, name, last, seen[name])
			}
			last, seen[name] = number, c[i].name
		}
	}
	for i, x := range clients {
		until(t, "the members agree", func() error {
			names, _, err := x.Children("/services/queue")
			if err == nil && (len(names) != len(seen) || slices.ContainsFunc(names, func(n string) bool { return seen["/services/queue/"+n] == "" })) {
				err = fmt.Errorf("member %s has %d of %d", c[i].name, len(names), len(seen))
			}
			return err
		})
	}
}
