package lock

import "context"

// RWMutex is a lock that any number of readers hold together, or one writer alone. It is fair: who comes is behind all who wait, so a
// stream of readers does not keep a writer out, and when a writer goes, the readers just behind it get the lock together.
//
// It keeps no state: each acquire is a contender of its own. It is not re-entrant: who asks for the write lock while it holds the read
// lock waits for itself.
type RWMutex struct{ read, write queue }

// NewRW returns the lock at path. Nothing is asked of the cluster yet.
func NewRW(node Node, path string, opts ...Option) *RWMutex {
	o := newOptions(opts)
	q := queue{node: node, path: path, options: o, what: "a lock"}
	m := &RWMutex{read: q, write: q}
	m.read.name = func(id string) string { return o.rwName(id, "__rlock__", "__READ__") }
	m.read.ahead = func(children []string, name string) (string, bool) { return nearest(children, name, isWriter) }
	m.write.name = func(id string) string { return o.rwName(id, "__lock__", "__WRIT__") }
	m.write.ahead = func(children []string, name string) (string, bool) { return nearest(children, name, isAny) }
	return m
}

func (o *options) rwName(id, kazoo, curator string) string {
	if o.curator {
		return curatorName(id, curator)
	}
	return id + kazoo
}

// RLock waits until the lock is held for reading, as [Mutex.Acquire] does: it waits for the writers that came before. Its token is
// larger than those of the writers before it, and smaller than those of the writers after it; readers beside it have others.
func (m *RWMutex) RLock(ctx context.Context) (*Held, error) { return m.read.take(ctx) }

// TryRLock is RLock without waiting: it fails with ErrHeld when a writer holds the lock or waits for it.
func (m *RWMutex) TryRLock(ctx context.Context) (*Held, error) {
	return m.read.tryTake(ctx, anyOf(isWriter))
}

// Lock waits until the lock is held for writing, as [Mutex.Acquire] does: it waits for all that came before.
func (m *RWMutex) Lock(ctx context.Context) (*Held, error) { return m.write.take(ctx) }

// TryLock is Lock without waiting: it fails with ErrHeld when anybody holds the lock or waits for it.
func (m *RWMutex) TryLock(ctx context.Context) (*Held, error) {
	return m.write.tryTake(ctx, anyOf(isAny))
}
