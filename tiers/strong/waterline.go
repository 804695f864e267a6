package strong

import (
	"context"
	"sync"
)

// waterline is a number that only rises, and who waits for it.
type waterline struct {
	mu      sync.Mutex
	level   uint64
	waiters []levelWaiter // unordered; few
}

type levelWaiter struct {
	level uint64
	f     func()
}

func (w *waterline) now() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.level
}

// rise lifts the level and runs, in the caller, the functions that waited for it. A lower level changes nothing.
func (w *waterline) rise(to uint64) {
	w.mu.Lock()
	if to <= w.level {
		w.mu.Unlock()
		return
	}
	w.level = to
	var due []func()
	rest := w.waiters[:0]
	for _, x := range w.waiters {
		if x.level <= to {
			due = append(due, x.f)
		} else {
			rest = append(rest, x)
		}
	}
	clear(w.waiters[len(rest):])
	w.waiters = rest
	w.mu.Unlock()
	for _, f := range due {
		f()
	}
}

// then runs f once the level is reached: at once in the caller, or in the goroutine that raises it, where f must not block.
func (w *waterline) then(level uint64, f func()) {
	w.mu.Lock()
	if level > w.level {
		w.waiters = append(w.waiters, levelWaiter{level, f})
		w.mu.Unlock()
		return
	}
	w.mu.Unlock()
	f()
}

func (w *waterline) wait(ctx context.Context, level uint64) error {
	if w.now() >= level {
		return nil
	}
	ch := make(chan struct{})
	w.then(level, func() { close(ch) })
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
