package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// roles are the members by name as /v1/status tells them.
func (s status) roles() map[string]string {
	r := map[string]string{}
	for _, m := range s.Members {
		r[m.Name] = m.Role
	}
	return r
}

func TestReplicaServesWithoutAVote(t *testing.T) {
	t.Parallel()
	voter := startOne(t)
	writer := connect(t, 4*time.Second, voter)
	writer.makePath(t, "/config/color")
	replica := newMember(t, "replica", "--bind", freePort(t), "--join", voter.bind, "--role", "replica")
	replica.start(t)
	replica.waitReady(t)

	s, err := replica.status()
	if err != nil {
		t.Fatal(err)
	}
	if s.Role != "replica" || s.RaftState != "follower" || s.Leader != "one" || s.roles()["replica"] != "replica" || s.roles()["one"] != "voter" {
		t.Errorf("%+v", s)
	}
	c := connect(t, 20*time.Second, replica)
	if _, err := c.Set("/config/color", []byte("blue"), 0); err != nil {
		t.Fatalf("a write at the replica: %v", err)
	}
	if data, _, err := writer.Get("/config/color"); err != nil || string(data) != "blue" {
		t.Errorf("at the voter: %q %v", data, err)
	}
	voter.signal(t, syscall.SIGKILL)
	if data, _, err := c.Get("/config/color"); err != nil || string(data) != "blue" {
		t.Errorf("a readonly read at the replica, its voter gone: %q %v", data, err)
	}
}

func TestClusterGrowsWhileItServes(t *testing.T) {
	t.Parallel()
	first := startOne(t)
	c := connect(t, 4*time.Second, first)
	c.makePath(t, "/a/b/c")
	grown := cluster{first}
	for _, name := range []string{"two", "three"} {
		m := newMember(t, name, "--bind", freePort(t), "--join", first.bind)
		m.start(t)
		m.waitReady(t)
		grown = append(grown, m)
		if err := connect(t, 4*time.Second, m).sees("/a/b/c", true)(); err != nil {
			t.Errorf("at %s: %v", name, err)
		}
	}
	until(t, "everyone has a vote", func() error {
		s, err := first.status()
		if err != nil {
			return err
		}
		for _, m := range grown {
			if s.roles()[m.name] != "voter" {
				return fmt.Errorf("%v", s.roles())
			}
		}
		return nil
	})
	leader := grown.leader(t)
	leader.signal(t, syscall.SIGKILL)
	if err := connect(t, 4*time.Second, grown.without(leader)[0]).sees("/a/b/c", true)(); err != nil {
		t.Errorf("with three voters and one of them killed: %v", err)
	}
}

func TestConfigurationFile(t *testing.T) {
	t.Parallel()
	m := newMember(t, "one")
	file := filepath.Join(t.TempDir(), "strata.yaml")
	writeFile(t, file, "# flags win over this name\nname: other\nbind: "+freePort(t)+"\nroute: [/anything=eventual]\nadmin-listen: 127.0.0.1:1\n")
	m.args = append(m.args, "--config", file)
	m.start(t)
	m.waitReady(t)
	s, err := m.status()
	if err != nil {
		t.Fatal(err)
	}
	if s.Member != "one" || len(s.Routes) != 2 || s.Routes[1].Prefix != "/anything" || s.Routes[1].Tier != "eventual" {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(m.stdout.String(), "/anything") {
		t.Errorf("the table of routes:\n%s", m.stdout.String())
	}
}
