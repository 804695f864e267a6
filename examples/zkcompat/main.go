// Zkcompat serves clients of ZooKeeper from a member in this program, and talks to it as one of them.
//
//	go run ./examples/zkcompat
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/zkcompat"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "zkcompat:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "strata-zkcompat-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: dir, Bind: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	if err := node.Ready(ctx); err != nil {
		return err
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	clients, err := zkcompat.Listen(zkcompat.Config{
		Listen: listener, Tier: node.Tier(), Sessions: node.Sessions(), Ready: node.ReadyErr, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clients.Close(context.WithoutCancel(ctx))) }()
	fmt.Fprintf(out, "serving clients at %v\n", clients.Addr())

	conn, _, err := zk.Connect([]string{clients.Addr().String()}, 10*time.Second, zk.WithLogInfo(false))
	if err != nil {
		return err
	}
	defer conn.Close()
	name, err := conn.CreateProtectedEphemeralSequential("/job-", []byte("from go-zookeeper"), zk.WorldACL(zk.PermAll))
	if err != nil {
		return err
	}
	data, stat, err := conn.Get(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s holds %q and belongs to session %#x\n", name, data, stat.EphemeralOwner)
	return nil
}
