package e2e

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

var everyone = zk.WorldACL(zk.PermAll)

// client is a go-zookeeper client that tries its servers in the order given, and that can be killed as a process is.
type client struct {
	*zk.Conn
	mu     sync.Mutex
	conns  []net.Conn // ever dialled; guarded by mu
	killed bool       // guarded by mu
	lost   int        // sessions that the server declared expired; guarded by mu
	drops  int        // connections lost; guarded by mu
}

// connect opens a session at the first of the members, and goes on at the others.
func connect(t *testing.T, timeout time.Duration, members ...*member) *client {
	t.Helper()
	servers := make([]string, len(members))
	for i, m := range members {
		servers[i] = m.zk
	}
	c := &client{}
	connected := make(chan struct{})
	var once sync.Once
	conn, _, err := zk.Connect(servers, timeout,
		zk.WithLogger(quiet{}), zk.WithHostProvider(&inOrder{servers: slices.Clone(servers)}), zk.WithDialer(c.dial),
		zk.WithEventCallback(func(e zk.Event) {
			c.mu.Lock()
			defer c.mu.Unlock()
			switch {
			case e.Type != zk.EventSession:
			case e.State == zk.StateHasSession:
				once.Do(func() { close(connected) })
			case e.State == zk.StateExpired:
				c.lost++
			case e.State == zk.StateDisconnected:
				c.drops++
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	c.Conn = conn
	t.Cleanup(conn.Close)
	select {
	case <-connected:
	case <-time.After(patience):
		t.Fatalf("no session at %v after %v", servers, patience)
	}
	return c
}

func (c *client) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	c.mu.Lock()
	dead := c.killed
	c.mu.Unlock()
	if dead {
		return nil, errors.New("this client was killed")
	}
	conn, err := net.DialTimeout(network, address, timeout)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		conn.Close()
		return nil, errors.New("this client was killed")
	}
	c.conns = append(c.conns, conn)
	return conn, nil
}

// kill cuts the client off without a word, as SIGKILL would.
func (c *client) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killed = true
	for _, conn := range c.conns {
		conn.Close()
	}
}

// sessionsLost tells how often the server said that the session has expired.
func (c *client) sessionsLost() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

func (c *client) disconnects() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drops
}

// makePath creates path and what is missing above it, as kazoo's makepath does.
func (c *client) makePath(t *testing.T, path string) {
	t.Helper()
	for i := 1; i <= len(path); i++ {
		if i == len(path) || path[i] == '/' {
			if _, err := c.Create(path[:i], nil, 0, everyone); err != nil && !errors.Is(err, zk.ErrNodeExists) {
				t.Fatalf("create %s: %v", path[:i], err)
			}
		}
	}
}

// sees is the condition that path exists for this client, or not.
func (c *client) sees(path string, want bool) func() error {
	return func() error {
		got, _, err := c.Exists(path)
		if err == nil && got != want {
			err = fmt.Errorf("exists(%s) = %v", path, got)
		}
		return err
	}
}

// inOrder is a zk.HostProvider that keeps to the order it was made with: what Init is given, the library has shuffled.
type inOrder struct {
	servers []string // never changes
	mu      sync.Mutex
	next    int // guarded by mu
	good    int // index that last worked; guarded by mu
}

func (p *inOrder) Init([]string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.good = len(p.servers) - 1
	return nil
}

func (p *inOrder) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.servers)
}

func (p *inOrder) Next() (server string, retryStart bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.next % len(p.servers)
	retryStart = len(p.servers) > 1 && p.next > 0 && i == p.good
	p.next++
	return p.servers[i], retryStart
}

func (p *inOrder) Connected() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.good = (p.next - 1) % len(p.servers)
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
