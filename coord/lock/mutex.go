package lock

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-coord/strata/coord"
)

var (
	// ErrHeld is the answer of those who try without waiting when somebody else holds the lock or waits for it.
	ErrHeld = errors.New("the lock is held by another")
	// ErrReleased is the cause of a holder's context after Release.
	ErrReleased = errors.New("the lock was released")
)

// Node is what a lock needs of a *coord.Node.
type Node interface {
	Session(ctx context.Context) (*coord.Session, error)
}

// Mutex is a lock that one contender of the whole cluster holds at a time. It keeps no state: each Acquire is a contender of
// its own, so one Mutex may be used concurrently, and two of the same path are the same lock.
type Mutex struct{ queue }

// New returns the lock at path. Nothing is asked of the cluster yet.
func New(node Node, path string, opts ...Option) *Mutex {
	o := newOptions(opts)
	return &Mutex{queue{node: node, path: path, options: o, what: "a lock", name: o.mutexName, ahead: before}}
}

// Acquire waits until the lock is held or ctx ends; then its error wraps ctx's cause and the place in the queue is given up. It waits
// through elections and loss of the majority; when the session is lost meanwhile, it goes to the end of the queue with the next one.
func (m *Mutex) Acquire(ctx context.Context) (*Held, error) { return m.queue.take(ctx) }

// TryAcquire is Acquire without waiting for other contenders: it fails with ErrHeld when there are any.
func (m *Mutex) TryAcquire(ctx context.Context) (*Held, error) {
	return m.queue.tryTake(ctx, anyOf(isExclusive))
}

// Held is a lock that is held, until Release: call it also when Context has ended. Its methods may be called concurrently.
type Held struct{ claim *claim }

// Context ends when the lock is not held for sure any more, before anyone else can be granted it. Its cause says why:
// a *LostError or ErrReleased.
func (h *Held) Context() context.Context { return h.claim.ctx }

// Token is the fencing token: larger than that of every earlier grant of this lock.
func (h *Held) Token() int64 { return int64(h.claim.created) }

// Path is the full name of the contender's znode.
func (h *Held) Path() string { return h.claim.path() }

// Release gives the lock up and ends Context. When it returns nil, the lock is free for the next contender. It tries again while
// ctx lives; when ctx ends first, the lock is given up as soon as the cluster can be reached again, or ends with the session.
// Errors: a *LostError when it was not held any more, tiers.ErrUnknownOutcome when ctx ended, that of the session when it ended meanwhile.
// After a nil, later calls return nil.
func (h *Held) Release(ctx context.Context) error {
	if err := h.claim.release(ctx); err != nil {
		return fmt.Errorf("release %s: %w", h.Path(), err)
	}
	return nil
}
