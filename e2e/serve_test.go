package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

func startOne(t *testing.T, args ...string) *member {
	t.Helper()
	m := newMember(t, "one", append([]string{"--bind", "127.0.0.1:0"}, args...)...)
	m.start(t)
	m.waitReady(t)
	return m
}

func TestOneMemberDoesTheThreeJobs(t *testing.T) {
	t.Parallel()
	m := startOne(t)
	t.Run("discovery", func(t *testing.T) { discovery(t, m) })
	t.Run("configuration", func(t *testing.T) { configuration(t, m) })
	t.Run("lock", func(t *testing.T) { contend(t, 6, 3, func() {}, m) })
}

func TestStdoutIsTheRoutesThenReady(t *testing.T) {
	t.Parallel()
	m := startOne(t)
	lines := strings.Split(strings.TrimSpace(m.stdout.String()), "\n")
	for i, prefix := range []string{"PREFIX", "/ ", "/config ", "/configs ", "/locks ", "/services ", "ready"} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], prefix) {
			t.Fatalf("line %d does not begin with %q:\n%s", i, prefix, m.stdout.String())
		}
	}
	if len(lines) != 7 {
		t.Errorf("%d lines on stdout:\n%s", len(lines), m.stdout.String())
	}
}

func TestAdminListener(t *testing.T) {
	t.Parallel()
	m := startOne(t)
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		if _, err := m.get(path, http.StatusOK); err != nil {
			t.Error(err)
		}
	}
	c := connect(t, 4*time.Second, m)
	if _, _, _, err := c.ExistsW("/nothing"); err != nil {
		t.Fatal(err)
	}
	until(t, "status and metrics count the client", func() error {
		s, err := m.status()
		if err != nil {
			return err
		}
		scrape, err := m.get("/metrics", http.StatusOK)
		if err != nil {
			return err
		}
		if s.Member != "one" || s.Role != "voter" || s.RaftState != "leader" || s.Leader != "one" || s.Term == 0 || s.CommitIndex == 0 ||
			s.Applied == 0 || len(s.Members) != 1 || len(s.Routes) != 5 || s.Connections != 1 || s.Sessions < 1 || s.Watches != 1 ||
			!strings.Contains(scrape, "strata_connections 1\n") || !strings.Contains(scrape, "strata_ready 1\n") {
			return fmt.Errorf("%+v\n%s", s, scrape)
		}
		return nil
	})
}

func TestRestartKeepsTheData(t *testing.T) {
	t.Parallel()
	m := startOne(t)
	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		c := connect(t, 4*time.Second, m)
		path := "/kept-" + end.String()
		c.makePath(t, path)
		if _, err := c.Set(path, []byte("value"), 0); err != nil {
			t.Fatal(err)
		}
		c.kill()
		if code := m.signal(t, end); end == syscall.SIGTERM && code != 0 {
			t.Errorf("exit code %d after %v", code, end)
		}
		m.start(t)
		m.waitReady(t)
		data, stat, err := connect(t, 4*time.Second, m).Get(path)
		if err != nil || string(data) != "value" || stat.Version != 1 {
			t.Errorf("after %v and a restart: %q %+v %v", end, data, stat, err)
		}
	}
}

func TestStopLeavesSessionsAlone(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	leader := c.leader(t)
	rest := c.without(leader)
	owner := connect(t, 10*time.Second, leader, rest[0], rest[1])
	const path = "/held"
	if _, err := owner.Create(path, nil, zk.FlagEphemeral, everyone); err != nil {
		t.Fatal(err)
	}
	reader := connect(t, 4*time.Second, rest[1])
	if code := leader.signal(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	rest.leader(t)
	until(t, "the client goes on elsewhere", func() error { _, err := owner.Set(path, []byte("on"), -1); return err })
	if owner.sessionsLost() != 0 {
		t.Error("the stop ended a session")
	}
	data, stat, err := reader.Get(path)
	if err != nil || !bytes.Equal(data, []byte("on")) || stat.EphemeralOwner != owner.SessionID() {
		t.Errorf("%q %+v %v", data, stat, err)
	}
}

func TestSIGINTStopsToo(t *testing.T) {
	t.Parallel()
	m := startOne(t)
	if code := m.signal(t, syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestNoListeners(t *testing.T) {
	t.Parallel()
	m := startOne(t, "--zk-listen", "", "--admin-listen", "")
	if m.zk != "" || m.admin != "" {
		t.Errorf("listens for clients at %q, for admin at %q", m.zk, m.admin)
	}
	if code := m.signal(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
