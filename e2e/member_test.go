package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait. It is far above what is normal: the machine may be busy.
const patience = 30 * time.Second

// quick settings keep the tests short: session timeouts of one second and up.
var quick = []string{"--tick", "500ms"}

// member is one strata process. Its fields are set before it is shared, except those of start, which one goroutine calls.
type member struct {
	name string
	dir  string
	args []string // all flags: a restart uses the same

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended and its output is read
	ready  chan string   // gets the ready line
	stdout output
	stderr output

	zk, bind, admin string // addresses, from the ready line
}

// output collects what a process prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// newMember prepares a member with free ports for clients and admin. Nothing runs yet.
func newMember(t *testing.T, name string, args ...string) *member {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	flags := append([]string{"--name", name, "--data-dir", dir, "--zk-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, quick...)
	return &member{name: name, dir: dir, args: append(flags, args...)}
}

// start runs the process. What it prints is shown if the test fails; the process is gone when the test ends.
func (m *member) start(t *testing.T) {
	t.Helper()
	m.cmd = exec.Command(binary, append([]string{"serve"}, m.args...)...)
	m.exited, m.ready = make(chan struct{}), make(chan string, 1)
	m.stdout, m.stderr = output{}, output{}
	m.cmd.Stderr = &m.stderr
	pipe, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, exited, ready := m.cmd, m.exited, m.ready
	go func() {
		defer close(exited)
		lines := bufio.NewScanner(io.TeeReader(pipe, &m.stdout))
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "ready") {
				ready <- lines.Text()
			}
		}
		_ = cmd.Wait() // the exit code is read from ProcessState
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // an error says that it has ended already
		<-exited
		if t.Failed() {
			t.Logf("%s stdout:\n%s%s stderr:\n%s", m.name, m.stdout.String(), m.name, tail(m.stderr.String(), 60))
		}
	})
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n") + "\n"
}

// waitReady waits for the ready line and reads the addresses off it.
func (m *member) waitReady(t *testing.T) {
	t.Helper()
	select {
	case line := <-m.ready:
		for _, f := range strings.Fields(line) {
			key, value, _ := strings.Cut(f, "=")
			switch key {
			case "clients":
				m.zk = value
			case "members":
				m.bind = value
			case "admin":
				m.admin = value
			}
		}
		if m.bind == "" {
			t.Fatalf("the ready line %q does not name the addresses", line)
		}
	case <-m.exited:
		t.Fatalf("%s ended with %v before it was ready", m.name, m.cmd.ProcessState)
	case <-time.After(patience):
		t.Fatalf("%s is not ready after %v", m.name, patience)
	}
}

// signal sends sig and waits for the end; it returns the exit code, -1 if a signal ended the process.
func (m *member) signal(t *testing.T, sig syscall.Signal) int {
	t.Helper()
	if err := m.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("%s: signal %v: %v", m.name, sig, err)
	}
	return m.wait(t)
}

func (m *member) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-m.exited:
		return m.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("%s has not ended after %v", m.name, patience)
		return 0
	}
}

// status is what the tests read of /v1/status.
type status struct {
	Member      string `json:"member"`
	Role        string `json:"role"`
	RaftState   string `json:"raft_state"`
	Leader      string `json:"leader"`
	Term        uint64 `json:"term"`
	CommitIndex uint64 `json:"commit_index"`
	Applied     uint64 `json:"applied_index"`
	Connections int    `json:"connections"`
	Sessions    int    `json:"sessions"`
	Watches     int    `json:"watches"`
	Members     []struct {
		Name string `json:"name"`
		Role string `json:"role"`
	} `json:"members"`
	Routes []struct {
		Prefix string `json:"prefix"`
		Tier   string `json:"tier"`
	} `json:"routes"`
}

func (m *member) status() (status, error) {
	var s status
	body, err := m.get("/v1/status", http.StatusOK)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(body), &s)
}

// get asks the admin listener, and is an error if the answer does not have that code.
func (m *member) get(path string, code int) (string, error) {
	r, err := http.Get("http://" + m.admin + path)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	if r.StatusCode != code {
		return string(body), fmt.Errorf("%s of %s: %s: %s", path, m.name, r.Status, body)
	}
	return string(body), nil
}

// until polls a condition of another process; what it last returned explains a failure.
func until(t *testing.T, what string, cond func() error) {
	t.Helper()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(patience)
	for {
		err := cond()
		if err == nil {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("%s: not after %v: %v", what, patience, err)
		}
	}
}

// freePort is an address of loopback that was free for TCP and UDP a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		p, err := net.ListenPacket("udp", addr)
		l.Close()
		if err == nil {
			p.Close()
			return addr
		}
	}
	t.Fatal("no port is free for both TCP and UDP")
	return ""
}

// cluster is three members that know each other.
type cluster []*member

func startCluster(t *testing.T, args ...string) cluster {
	t.Helper()
	binds := []string{freePort(t), freePort(t), freePort(t)}
	var c cluster
	for i, name := range []string{"one", "two", "three"} {
		flags := []string{"--bind", binds[i], "--join", strings.Join(binds, ","), "--bootstrap-expect", "3"}
		m := newMember(t, name, append(flags, args...)...)
		m.start(t)
		c = append(c, m)
	}
	for _, m := range c {
		m.waitReady(t)
	}
	return c
}

// leader waits until all running members name the same leader and returns it.
func (c cluster) leader(t *testing.T) *member {
	t.Helper()
	var leader *member
	until(t, "the members name one leader", func() error {
		leader = nil
		names := map[string]int{}
		for _, m := range c {
			s, err := m.status()
			if err != nil {
				return err
			}
			names[s.Leader]++
			if s.RaftState == "leader" && s.Leader == m.name {
				leader = m
			}
		}
		if leader == nil || len(names) != 1 {
			return fmt.Errorf("leaders named: %v", names)
		}
		return nil
	})
	return leader
}

// without is the cluster less one member.
func (c cluster) without(gone *member) cluster {
	var rest cluster
	for _, m := range c {
		if m != gone {
			rest = append(rest, m)
		}
	}
	return rest
}

// writeFile is os.WriteFile for tests.
func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
