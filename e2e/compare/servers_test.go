//go:build foreign

package compare

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	zookeeperJar  = "/usr/share/java/zookeeper.jar" // its manifest names the others
	zookeeperMain = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
	// superDigest is of super:secret, on both servers.
	superDigest = "super:lK75jTNcA+U9vtVEw5vB51mj/w4="
	tickMillis  = 500
)

var (
	members = flag.Int("compare.members", 1, "members of Strata's cluster; connections A, B, C go to different ones")
	route   = flag.String("compare.route", "strong", "tier of Strata's znodes")
)

// real and ours play to the servers. Owned by TestMain.
var real, ours Player

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := withServers(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
	}
	os.Exit(code)
}

func withServers(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "strata-compare")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	zk, err := startZooKeeper(dir)
	if err != nil {
		return 1, err
	}
	defer zk.stop()
	strata, err := startStrata(dir)
	for _, s := range strata {
		defer s.stop()
	}
	if err != nil {
		return 1, err
	}
	all := append([]*server{zk}, strata...)
	for _, s := range all {
		if err := s.serves(); err != nil {
			return 1, err
		}
	}
	real.Addr, ours.Addr = zk.addr, strata[0].addr
	for _, s := range strata[1:] {
		ours.Others = append(ours.Others, s.addr)
	}
	code := m.Run()
	for _, s := range all {
		select {
		case <-s.ended:
			return 1, fmt.Errorf("%s ended before the tests did: %v\n%s", s.name, s.cmd.ProcessState, s.said())
		default:
		}
	}
	if code != 0 && testing.Verbose() {
		for _, s := range strata {
			fmt.Fprintf(os.Stderr, "%s said:\n%s\n", s.name, s.said())
		}
	}
	return code, nil
}

// server is one process.
type server struct {
	name, addr string
	cmd        *exec.Cmd
	ended      chan struct{}

	mu  sync.Mutex
	out bytes.Buffer // guarded by mu
}

func (s *server) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

// said is the end of what the process has printed.
func (s *server) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.out.Bytes()
	return string(b[max(0, len(b)-6000):])
}

func (s *server) start() error {
	s.cmd.Stdout, s.cmd.Stderr = s, s
	s.ended = make(chan struct{})
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // ProcessState tells
	}()
	return nil
}

func (s *server) stop() {
	_ = s.cmd.Process.Kill() // an error says that it has ended already
	<-s.ended
}

// serves waits until the server answers.
func (s *server) serves() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		p := Player{Addr: s.addr, Patience: time.Second}
		t, err := p.Play(&Story{}, "/ready") // which may be there since a try before
		if err == nil && len(t.Heard) > 0 && len(t.Heard[0].Frames) == 2 && t.Heard[0].Frames[1].Kind == "reply" {
			return nil
		}
		select {
		case <-again.C:
		case <-s.ended:
			return fmt.Errorf("%s ended at its start: %v\n%s", s.name, s.cmd.ProcessState, s.said())
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve: %w\n%s", s.name, errors.Join(err, ctx.Err()), s.said())
		}
	}
}

func startZooKeeper(dir string) (*server, error) {
	if _, err := os.Stat(zookeeperJar); err != nil {
		return nil, fmt.Errorf("no ZooKeeper to compare with, install Debian's package zookeeper: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "zoo.cfg")
	text := fmt.Sprintf(`tickTime=%d
dataDir=%s
clientPort=%s
clientPortAddress=127.0.0.1
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=*
extendedTypesEnabled=true
enforceQuota=true
reconfigEnabled=true
znode.container.checkIntervalMs=500
forceSync=no
DigestAuthenticationProvider.superDigest=%s
`, tickMillis, filepath.Join(dir, "zookeeper"), port, superDigest)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	jaas := filepath.Join(dir, "jaas.conf")
	text = "Server {\n  org.apache.zookeeper.server.auth.DigestLoginModule required\n  user_bob=\"secret\";\n};\n"
	if err := os.WriteFile(jaas, []byte(text), 0o600); err != nil {
		return nil, err
	}
	s := &server{name: "ZooKeeper", addr: "127.0.0.1:" + port}
	s.cmd = exec.Command("java", "-Xmx512m", "-Dzookeeper.extendedTypesEnabled=true", "-Dznode.container.checkIntervalMs=500",
		"-Dzookeeper.jmx.log4j.disable=true",
		"-Djava.security.auth.login.config="+jaas, "-Dzookeeper.authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider", "-cp", zookeeperJar, zookeeperMain, conf)
	s.cmd.Dir = dir
	return s, s.start()
}

// startStrata starts the members of one cluster; on an error too, those that it returns run.
func startStrata(dir string) ([]*server, error) {
	bin := filepath.Join(dir, "strata")
	build := exec.Command("go", "build", "-o", bin, "github.com/strata-coord/strata/cmd/strata")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build strata: %w\n%s", err, out)
	}
	users := filepath.Join(dir, "users.yaml")
	if err := os.WriteFile(users, []byte("bob: secret\n"), 0o600); err != nil {
		return nil, err
	}
	var binds []string
	for range *members {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		binds = append(binds, "127.0.0.1:"+port)
	}
	var all []*server
	for i, bind := range binds {
		port, err := freePort()
		if err != nil {
			return all, err
		}
		s := &server{name: fmt.Sprintf("Strata's member %d", i+1), addr: "127.0.0.1:" + port}
		s.cmd = exec.Command(bin, "serve", "--name", fmt.Sprintf("m%d", i+1), "--data-dir", filepath.Join(dir, fmt.Sprintf("data%d", i+1)),
			"--bind", bind, "--join", strings.Join(binds, ","), "--bootstrap-expect", strconv.Itoa(*members),
			"--zk-listen", s.addr, "--admin-listen", "", "--route", "/="+*route, "--tick", fmt.Sprintf("%dms", tickMillis),
			"--container-check-interval", "500ms", "--super-digest", superDigest, "--enforce-quota", "--reconfig-enabled", "--sasl-users", users, "--four-letter-words", "*")
		if err := s.start(); err != nil {
			return all, err
		}
		all = append(all, s)
	}
	return all, nil
}

// freePort was free a moment ago.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
