// Locks lets three workers share one lock. Each sends its fencing token with what it writes, so that a worker that lost the lock
// without noticing can do no harm.
//
//	go run ./examples/locks
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/lock"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "locks:", err)
		os.Exit(1)
	}
}

// shard is what the lock guards: a database, say. It refuses tokens older than the newest it has seen.
type shard struct {
	mu    sync.Mutex
	token int64  // the newest. Guarded by mu
	owner string // guarded by mu
}

var errStale = errors.New("refused: a newer holder was here")

func (s *shard) write(token int64, owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token < s.token {
		return errStale
	}
	s.token, s.owner = token, owner
	return nil
}

func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "strata-locks-")
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

	var db shard
	var wg sync.WaitGroup
	failures := make(chan error, 3)
	for _, worker := range []string{"ann", "bob", "cem"} {
		wg.Go(func() { failures <- work(ctx, node, worker, &db, out) })
	}
	wg.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			return err
		}
	}

	// A token from the past, as a worker that was paused for too long would send it.
	err = db.write(1, "a ghost")
	fmt.Fprintf(out, "a write with token 1: %v\n", err)
	if !errors.Is(err, errStale) {
		return errors.New("a stale token was taken")
	}
	return nil
}

func work(ctx context.Context, node *coord.Node, worker string, db *shard, out io.Writer) (err error) {
	held, err := lock.New(node, "/locks/db/users/shards/00", lock.Identifier(worker)).Acquire(ctx)
	if err != nil {
		return err
	}
	// Release also when ctx has ended: the next one waits for it.
	defer func() { err = errors.Join(err, held.Release(context.WithoutCancel(ctx))) }()

	// Work under the lock's context: it ends when the lock is lost.
	if cause := context.Cause(held.Context()); cause != nil {
		return cause
	}
	fmt.Fprintf(out, "%s holds the lock with token %d\n", worker, held.Token())
	return db.write(held.Token(), worker)
}
