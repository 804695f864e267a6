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
	"path/filepath"
	"sync"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/coord/lock/fence"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "locks:", err)
		os.Exit(1)
	}
}

// shard is what the lock guards: a database, say.
type shard struct {
	mu    sync.Mutex
	owner string // guarded by mu
}

// Put implements fence.Writer.
func (s *shard) Put(_ context.Context, _ string, owner []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner = string(owner)
	return nil
}

// Delete implements fence.Writer.
func (s *shard) Delete(ctx context.Context, key string) error { return s.Put(ctx, key, nil) }

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

	// The shard refuses tokens older than the newest it has seen, also after a restart.
	tokens, err := fence.OpenFile(filepath.Join(dir, "fencing-tokens.json"))
	if err != nil {
		return err
	}
	db := fence.NewKV(fence.NewChecker(tokens), "users/00", new(shard))
	var wg sync.WaitGroup
	failures := make(chan error, 3)
	for _, worker := range []string{"ann", "bob", "cem"} {
		wg.Go(func() { failures <- work(ctx, node, worker, db, out) })
	}
	wg.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			return err
		}
	}

	// A token from the past, as a worker that was paused for too long would send it.
	err = db.Put(ctx, 1, "owner", []byte("a ghost"))
	fmt.Fprintf(out, "a write with token 1: %v\n", err)
	if !errors.Is(err, fence.ErrStaleToken) {
		return errors.New("a stale token was taken")
	}
	return nil
}

func work(ctx context.Context, node *coord.Node, worker string, db *fence.KV, out io.Writer) (err error) {
	held, err := lock.New(node, "/locks/db/users/shards/00", lock.Identifier(worker)).Acquire(ctx)
	if err != nil {
		return err
	}
	// Release also when ctx has ended: the next one waits for it.
	defer func() { err = errors.Join(err, held.Release(context.WithoutCancel(ctx))) }()

	fmt.Fprintf(out, "%s holds the lock with token %d\n", worker, held.Token())
	// Under the lock: with its token, and for no longer than its context lives. When it is lost, the error says why.
	err = db.Under(held).Put(ctx, "owner", []byte(worker))
	var lost *lock.LostError
	if errors.As(err, &lost) {
		fmt.Fprintln(out, lost.Story())
	}
	return err
}
