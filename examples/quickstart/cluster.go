package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/zkcompat"
)

// member is one member of the cluster, as a process of its own would run it.
type member struct {
	name    string
	node    *coord.Node
	clients *zkcompat.Server // for clients of ZooKeeper
	alive   bool
}

// cluster is three members in this process, with their data in a temporary directory.
type cluster struct {
	dir     string
	members []*member
}

// start opens the members and waits until they are ready.
func start(ctx context.Context) (*cluster, error) {
	dir, err := os.MkdirTemp("", "strata-quickstart-")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir}
	var join []string
	for _, name := range []string{"ann", "bob", "cem"} {
		m, err := open(ctx, name, filepath.Join(dir, name), join)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.members = append(c.members, m)
		join = append(join, m.node.Addr().String())
	}
	for _, m := range c.members {
		if err := m.node.Ready(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("member %s: %w", m.name, err), c.close())
		}
	}
	return c, nil
}

// open starts one member on free ports of the loopback.
func open(ctx context.Context, name, dir string, join []string) (*member, error) {
	const tick = 500 * time.Millisecond // the shortest session lasts two of them: this is a demonstration
	node, err := coord.Open(ctx, coord.Config{
		Name: name, Dir: dir, Bind: "127.0.0.1:0", Join: join, BootstrapExpect: 3, Tick: tick,
	})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, node.Close())
	}
	clients, err := zkcompat.Listen(zkcompat.Config{
		Listen: listener, Tier: node.Tier(), Sessions: node.Sessions(), Ready: node.ReadyErr,
		Tick: tick, MinTimeout: 2 * tick, MaxTimeout: 20 * tick, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, errors.Join(err, listener.Close(), node.Close())
	}
	return &member{name: name, node: node, clients: clients, alive: true}, nil
}

// kill stops the member as a power cut would: it tells nobody.
func (m *member) kill() error {
	m.alive = false
	gone, cancel := context.WithCancel(context.Background())
	cancel() // clients get no answers any more
	return errors.Join(m.node.Abort(), ignore(m.clients.Close(gone), context.Canceled))
}

func ignore(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}

// close ends what is still alive and removes the data. There may be nobody left to hand anything over to: hence no farewell.
func (c *cluster) close() error {
	var errs []error
	for _, m := range c.members {
		if m.alive {
			errs = append(errs, m.kill())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}

// legacy connects an unmodified client of ZooKeeper to m.
func (m *member) legacy() (*zk.Conn, error) {
	conn, _, err := zk.Connect([]string{m.clients.Addr().String()}, 10*time.Second, zk.WithLogger(silent{}))
	return conn, err
}

// silent is a zk.Logger.
type silent struct{}

func (silent) Printf(string, ...any) {}

// leads tells whether m is the leader of the strong tier.
func (c *cluster) leads(m *member) bool { return m.node.Status().Leader == m.name }
