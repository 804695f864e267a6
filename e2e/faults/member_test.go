//go:build foreign

package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strata-coord/strata/e2e/wire"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// patience bounds every wait for what must come. The machine may be slow and busy.
const patience = 90 * time.Second

const (
	zkPort     = "2181"
	memberPort = "7400"
	adminPort  = "8080"
)

// binary is the strata under test. Set by TestMain; read-only afterwards.
var binary string

func TestMain(m *testing.M) { os.Exit(withBinary(m)) }

func withBinary(m *testing.M) int {
	if binary = os.Getenv("STRATA_BIN"); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "strata-faults")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "strata")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/strata")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the binary:", err)
		return 1
	}
	return m.Run()
}

// member is one strata process in its namespace. One goroutine at a time starts and ends it.
type member struct {
	t      *testing.T
	i      int
	name   string
	net    *network
	args   []string
	log    string // a file: the stderr of all its lives
	dial   wire.Dialer
	client *http.Client

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
}

// cluster is the members of one test.
type cluster struct {
	t       *testing.T
	net     *network
	members []*member
}

// newCluster starts members, which all know each other. dir says where one keeps its data; nil: anywhere.
func newCluster(t *testing.T, size int, dir func(i int) string, flags ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, net: newNetwork(t, size)}
	var join []string
	for i := range size {
		join = append(join, c.net.address(i)+":"+memberPort)
	}
	logs := t.TempDir()
	for i := range size {
		m := &member{t: t, i: i, name: fmt.Sprint("m", i), net: c.net, dial: c.net.dialer(i)}
		m.log = filepath.Join(logs, m.name)
		data := filepath.Join(t.TempDir(), m.name)
		if dir != nil {
			data = filepath.Join(dir(i), m.name)
		}
		host := c.net.address(i)
		m.args = append([]string{"netns", "exec", c.net.namespace(i), binary, "serve", "--name", m.name, "--data-dir", data,
			"--bind", host + ":" + memberPort, "--zk-listen", host + ":" + zkPort, "--admin-listen", host + ":" + adminPort,
			"--join", strings.Join(join, ","), "--bootstrap-expect", fmt.Sprint(size), "--tick", "500ms"}, flags...)
		m.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return m.dial(ctx, addr) }, DisableKeepAlives: true}, Timeout: 5 * time.Second}
		c.members = append(c.members, m)
		t.Cleanup(m.end)
	}
	for _, m := range c.members {
		if err := m.start(); err != nil {
			t.Fatal(err)
		}
	}
	c.ready()
	return c
}

func (m *member) start() error {
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("ip", m.args...) // which becomes strata: the pid stays
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	m.cmd, m.exited = cmd, exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // the exit code is read from ProcessState
	}()
	return nil
}

// end kills the process, and shows what it said if the test failed.
func (m *member) end() {
	if m.cmd != nil {
		m.signal(syscall.SIGKILL)
		<-m.exited
	}
	if m.t.Failed() {
		m.t.Logf("the end of the log of %s:\n%s", m.name, tail(m.log, 40))
	}
}

func tail(file string, n int) string {
	f, err := os.Open(file)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if lines = append(lines, s.Text()); len(lines) > n {
			lines = lines[1:]
		}
	}
	return strings.Join(lines, "\n")
}

// signal sends sig; a process that has ended gets none.
func (m *member) signal(sig syscall.Signal) { _ = m.cmd.Process.Signal(sig) }

// stop sends sig and waits for the end.
func (m *member) stop(sig syscall.Signal) error {
	m.signal(sig)
	select {
	case <-m.exited:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("%s has not ended %v after %v", m.name, patience, sig)
	}
}

func (m *member) host() string { return m.net.address(m.i) }

// connect opens a connection to the member.
func (m *member) connect(ctx context.Context, s wire.Session) (*wire.Conn, error) {
	return wire.Dial(ctx, m.dial, m.host()+":"+zkPort, s)
}

// status is what these tests read of /v1/status.
type status struct {
	Member    string `json:"member"`
	Ready     bool   `json:"ready"`
	Reason    string `json:"reason"`
	Disk      string `json:"disk"` // what is wrong with it
	RaftState string `json:"raft_state"`
	Leader    string `json:"leader"`
	Term      uint64 `json:"term"`
	Applied   uint64 `json:"applied_index"`
	Commit    uint64 `json:"commit_index"`
}

func (m *member) status() (s status, err error) {
	r, err := m.client.Get("http://" + m.host() + ":" + adminPort + "/v1/status")
	if err != nil {
		return s, err
	}
	defer r.Body.Close()
	return s, json.NewDecoder(r.Body).Decode(&s)
}

// until polls a condition; what it last returned explains a failure.
func until(t *testing.T, what string, cond func() error) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
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

// leader waits until one of the members leads and all name it.
func (c *cluster) leader(among ...*member) (leader *member) {
	c.t.Helper()
	if among == nil {
		among = c.members
	}
	until(c.t, "one leader", func() error {
		leader = nil
		named := make(map[string]bool)
		for _, m := range among {
			s, err := m.status()
			if err != nil {
				return err
			}
			named[s.Leader] = true
			if s.RaftState == "leader" {
				leader = m
			}
		}
		if leader == nil || len(named) != 1 || !named[leader.name] {
			return fmt.Errorf("named are %v", named)
		}
		return nil
	})
	return leader
}

// without is all members but one.
func (c *cluster) without(gone *member) (rest []*member) {
	for _, m := range c.members {
		if m != gone {
			rest = append(rest, m)
		}
	}
	return rest
}

// ready waits until each member answers a strong read.
func (c *cluster) ready() {
	c.t.Helper()
	for _, m := range c.members {
		until(c.t, m.name+" serves strong reads", func() error {
			ctx, cancel := context.WithTimeout(c.t.Context(), 8*time.Second)
			defer cancel()
			conn, err := m.connect(ctx, wire.Session{Timeout: 4 * time.Second})
			if err != nil {
				return err
			}
			defer conn.Close()
			if r := conn.Do(ctx, jute.NodeOp{Op: jute.OpExists, Path: "/"}); !r.OK() {
				return fmt.Errorf("%v", &r)
			}
			return nil
		})
	}
}
