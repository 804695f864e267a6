// Embed runs one member inside a program, and writes, reads and watches a znode through it.
//
//	go run ./examples/embed
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/tiers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

// printer is a tiers.Watcher. Notify is called in commit order and must not block.
type printer chan tiers.Event

func (p printer) Notify(e tiers.Event) { p <- e }

func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "strata-embed-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	// One member is a cluster of one. Give three of them each other's addresses in Join, and BootstrapExpect: 3.
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: dir, Bind: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	if err := node.Ready(ctx); err != nil {
		return err
	}

	// A tier is the tree: here all of them, joined by path prefix.
	tree := node.Tier()
	events := make(printer, 2) // room for as many events as the watch can give
	if err := tree.AddWatch("/hello", tiers.ScopePersistent, events); err != nil {
		return err
	}
	defer tree.Unwatch(events, "", tiers.ScopeAny)

	for _, op := range []tiers.Op{
		{Kind: tiers.OpCreate, Path: "/hello", Data: []byte("world"), ACL: tiers.OpenACL},
		{Kind: tiers.OpSetData, Path: "/hello", Data: []byte("all"), Version: 0}, // only if nobody has changed it
	} {
		receipt, err := tiers.Do(ctx, tree, tiers.Txn{Ops: []tiers.Op{op}})
		if err != nil {
			return err
		}
		event := <-events // comes before the answer
		fmt.Fprintf(out, "%v %s is txn %v; the watch says %v\n", op.Kind, op.Path, receipt.Zxid, event.Type)
	}

	view, err := tree.Read(ctx, tiers.Query{Path: "/hello", Want: tiers.WantData})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "/hello holds %q at version %d\n", view.Data, view.Stat.Version)
	return nil
}
