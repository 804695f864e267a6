// Config binds a znode to a typed value that follows every change, and keeps the last good one when a bad one is written.
//
//	go run ./examples/config
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/config"
	"github.com/strata-coord/strata/tiers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "config:", err)
		os.Exit(1)
	}
}

// Features is what the program's operators can change while it runs.
type Features struct {
	NewCheckout bool `yaml:"new_checkout"`
	Limit       int  `yaml:"limit"`
}

func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "strata-config-")
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

	const path = "/config/features"
	features, err := config.Bind(ctx, node, path, config.YAML, config.WithDefault(Features{Limit: 100}))
	if err != nil {
		return err
	}
	defer features.Close()
	fmt.Fprintf(out, "by default: %+v\n", features.Load())

	if err := features.Set(ctx, Features{NewCheckout: true, Limit: 500}); err != nil {
		return err
	}
	fmt.Fprintf(out, "after Set:  %+v\n", features.Load())
	if err := changed(ctx, features); err != nil {
		return err
	}

	// An operator's typo, written by any client, and its repair.
	for _, data := range []string{"limit: many", "limit: 600"} {
		write := tiers.Op{Kind: tiers.OpSetData, Path: path, Data: []byte(data), Version: tiers.AnyVersion}
		if _, err := tiers.Do(ctx, node.Tier(), tiers.Txn{Ops: []tiers.Op{write}}); err != nil {
			return err
		}
		if err := changed(ctx, features); err != nil {
			return err
		}
		fmt.Fprintf(out, "after %q: %+v (problem: %v)\n", data, features.Load(), features.Err())
	}
	return nil
}

// changed waits for the next change.
func changed(ctx context.Context, features *config.Value[Features]) error {
	select {
	case <-features.Changed():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
