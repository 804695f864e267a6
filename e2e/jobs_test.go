package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// The three jobs of a coordination service, as a client program does them. Each works on one member and on many.

// discovery registers at the first member; everybody sees it, and sees it go when its client is killed.
func discovery(t *testing.T, members ...*member) {
	t.Helper()
	owner := connect(t, time.Second, members[0])
	owner.makePath(t, "/services/api")
	const path = "/services/api/host1:9090"
	if _, err := owner.Create(path, []byte("http/json"), zk.FlagEphemeral, everyone); err != nil {
		t.Fatal(err)
	}
	readers := make([]*client, len(members))
	gone := make([]<-chan zk.Event, len(members))
	for i, m := range members {
		readers[i] = connect(t, 4*time.Second, m)
		until(t, "the registration is visible at "+m.name, readers[i].sees(path, true))
		data, stat, events, err := readers[i].GetW(path)
		if err != nil || string(data) != "http/json" || stat.EphemeralOwner != owner.SessionID() {
			t.Fatalf("at %s: %q %+v %v", m.name, data, stat, err)
		}
		gone[i] = events
	}
	owner.kill()
	for i, m := range members {
		select {
		case e := <-gone[i]:
			if e.Type != zk.EventNodeDeleted || e.Path != path {
				t.Errorf("at %s the watch said %v of %s", m.name, e.Type, e.Path)
			}
		case <-time.After(patience):
			t.Fatalf("at %s the registration of a dead client has not gone", m.name)
		}
		if err := readers[i].sees(path, false)(); err != nil {
			t.Errorf("at %s, after the event: %v", m.name, err)
		}
	}
}

// configuration changes a znode at every member in turn; a watch at each member hears of each change, once.
func configuration(t *testing.T, members ...*member) {
	t.Helper()
	writer := connect(t, 4*time.Second, members[0])
	writer.makePath(t, "/configs/features")
	writer.makePath(t, "/configs/features/dark-mode")
	clients := make([]*client, len(members))
	for i, m := range members {
		clients[i] = connect(t, 4*time.Second, m)
		until(t, "the znode is visible at "+m.name, clients[i].sees("/configs/features/dark-mode", true))
	}
	for i, at := range clients {
		value := fmt.Sprintf("value %d", i)
		events := make([]<-chan zk.Event, len(clients))
		for j, c := range clients {
			_, _, ch, err := c.GetW("/configs/features/dark-mode")
			if err != nil {
				t.Fatal(err)
			}
			events[j] = ch
		}
		if _, err := at.Set("/configs/features/dark-mode", []byte(value), -1); err != nil {
			t.Fatal(err)
		}
		for j, c := range clients {
			select {
			case e := <-events[j]:
				if e.Type != zk.EventNodeDataChanged {
					t.Errorf("at %s: %+v", members[j].name, e)
				}
			case <-time.After(patience):
				t.Fatalf("the change at %s was not heard at %s", members[i].name, members[j].name)
			}
			data, _, err := c.Get("/configs/features/dark-mode")
			if err != nil || string(data) != value {
				t.Fatalf("at %s, after the event: %q %v, want %q", members[j].name, data, err, value)
			}
		}
	}
}
