package lock_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/tiers"
)

func writeTo(ctx context.Context, shard string, token int64) error { return ctx.Err() }

func ExampleMutex_Acquire() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	held, err := lock.New(node, "/locks/db/users/shards/00", lock.Identifier("worker-1")).Acquire(ctx)
	if err != nil {
		slog.Error("failed", "err", err)
		return
	}
	defer held.Release(context.WithoutCancel(ctx)) // also when ctx has ended: the next one waits for it

	// Under the lock's context, which ends when the lock is lost, and with the token, which the shard compares.
	if err := writeTo(held.Context(), "users/00", held.Token()); err != nil {
		slog.Error("lost", "cause", context.Cause(held.Context()))
	}
}

func ExampleMutex_TryAcquire() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	held, err := lock.New(node, "/locks/nightly").TryAcquire(ctx)
	switch {
	case errors.Is(err, lock.ErrHeld):
		fmt.Println("another one does it tonight")
	case err != nil:
		slog.Error("failed", "err", err)
	default:
		defer held.Release(context.WithoutCancel(ctx))
		fmt.Println("working with token", held.Token())
	}
}

func ExampleHealthy() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	ping := func(ctx context.Context) error { return writeTo(ctx, "users/00", 0) }
	held, err := lock.New(node, "/locks/db/users/shards/00", lock.Healthy(ping, time.Second, 3), lock.YieldAfter(2*time.Second)).Acquire(ctx)
	if err != nil {
		slog.Error("failed", "err", err)
		return
	}
	defer held.Release(context.WithoutCancel(ctx))

	for state := range held.Watch(ctx) {
		switch state.Phase {
		case lock.InJeopardy:
			fmt.Println("begin nothing new; safe for another", time.Until(state.Until))
		case lock.Lost:
			fmt.Println(state.Lost.Story())
		}
	}
}

func ExampleRWMutex() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	schema := lock.NewRW(node, "/locks/db/schema")
	reading, err := schema.RLock(ctx) // with any number of others
	if err != nil {
		slog.Error("failed", "err", err)
		return
	}
	_ = writeTo(reading.Context(), "users/00", 0)
	if err := reading.Release(ctx); err != nil {
		slog.Error("release", "err", err)
	}

	migrating, err := schema.Lock(ctx) // alone
	if err != nil {
		slog.Error("failed", "err", err)
		return
	}
	defer migrating.Release(context.WithoutCancel(ctx))
	_ = writeTo(migrating.Context(), "schema", migrating.Token())
}

func ExampleSemaphore() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	// Backups of the whole cluster together use at most 10 streams; this one wants 3.
	streams := lock.NewSemaphore(node, "/locks/backup-streams", 10)
	held, err := streams.Acquire(ctx, 3)
	if err != nil {
		slog.Error("failed", "err", err)
		return
	}
	defer held.Release(context.WithoutCancel(ctx))
	_ = writeTo(held.Context(), "backup", held.Token())
}

func ExampleLease() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	// Whoever imports says at least every minute that it gets on.
	leased, err := lock.NewLease(node, "/locks/import", time.Minute).Acquire(ctx, []byte("row 0"))
	if err != nil {
		slog.Error("failed", "err", err)
		return
	}
	defer leased.Release(context.WithoutCancel(ctx))
	for row := 1; row <= 3; row++ {
		if err := writeTo(leased.Context(), "import", leased.Token()); err != nil {
			slog.Error("lost", "cause", context.Cause(leased.Context()))
			return
		}
		if err := leased.Update(ctx, fmt.Appendf(nil, "row %d", row)); err != nil {
			slog.Error("renew", "err", err)
			return
		}
	}
}

func ExampleLease_Look() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	terms, err := lock.NewLease(node, "/locks/import", time.Minute).Look(ctx)
	switch {
	case errors.Is(err, lock.ErrFree):
		fmt.Println("nobody imports")
	case err != nil:
		slog.Error("failed", "err", err)
	default:
		fmt.Printf("at %s, since %v\n", terms.Data, terms.Renewed)
	}
}

func ExampleElection_Campaign() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	leading, err := lock.NewElection(node, "/locks/scheduler").Campaign(ctx, []byte("10.0.0.5:9090"))
	if err != nil {
		slog.Error("failed", "err", err)
		return
	}
	defer leading.Resign(context.WithoutCancel(ctx))
	if err := writeTo(leading.Context(), "schedule", leading.Token()); err != nil {
		slog.Error("lost", "cause", context.Cause(leading.Context()))
	}
}

func ExampleElection_Observe() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	for leader, err := range lock.NewElection(node, "/locks/scheduler").Observe(ctx) {
		switch {
		case err != nil:
			slog.Error("failed", "err", err)
		case leader.None():
			fmt.Println("nobody schedules")
		default:
			fmt.Printf("ask %s\n", leader.Data)
		}
	}
}

func ExampleBarrier() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	maintenance := lock.NewBarrier(node, "/locks/maintenance")
	if err := maintenance.Create(ctx); err != nil { // by the operator
		slog.Error("failed", "err", err)
	}
	go func() {
		if err := maintenance.Wait(ctx); err != nil { // by every worker, before its next job
			slog.Error("failed", "err", err)
		}
	}()
	if err := maintenance.Remove(ctx); err != nil {
		slog.Error("failed", "err", err)
	}
}

func ExampleDoubleBarrier() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	// Ten workers measure at the same time, and look at the figures when all have done so.
	inside, err := lock.NewDoubleBarrier(node, "/locks/measure", 10).Enter(ctx)
	if err != nil {
		slog.Error("failed", "err", err)
		return
	}
	_ = writeTo(inside.Context(), "measurements", 0)
	if err := inside.Leave(ctx); err != nil {
		slog.Error("not all have left", "err", err)
	}
}

func ExampleCounter() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	orders := lock.NewCounter(node, "/locks/orders")
	n, err := orders.Add(ctx, 1) // nobody else gets the same sum
	switch {
	case errors.Is(err, tiers.ErrUnknownOutcome):
		slog.Error("counted once, or not at all", "err", err)
	case err != nil:
		slog.Error("not counted", "err", err)
	default:
		fmt.Println("order", n)
	}
}

func ExampleShards() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop() // leaves
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	// 64 shards of users among all members that run this.
	users := lock.NewShards(node, "/locks/users", 64, lock.Identifier("10.0.0.5:9090"))
	err = users.Join(ctx, 1, func(ctx context.Context, shard int, token int64) {
		for ctx.Err() == nil { // until the shard is to be another's
			if err := writeTo(ctx, fmt.Sprint("users/", shard), token); err != nil {
				slog.Error("failed", "shard", shard, "err", err)
			}
		}
	})
	if err != nil {
		slog.Error("failed", "err", err)
	}
}
