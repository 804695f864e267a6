package lock

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

var (
	// ErrHeld is TryAcquire's answer when somebody else holds the lock or waits for it.
	ErrHeld = errors.New("the lock is held by another")
	// ErrLost is the cause of a holder's context, and Release's error, when the lock's znode is gone before its Release. When
	// the session was lost, the cause is that of the session's context.
	ErrLost = errors.New("the lock was lost: its znode was deleted")
	// ErrReleased is the cause of a holder's context after Release.
	ErrReleased = errors.New("the lock was released")
)

// Node is what a lock needs of a *coord.Node.
type Node interface {
	Session(ctx context.Context) (*coord.Session, error)
}

// Option changes how a lock works.
type Option func(*Mutex)

// Identifier is the contender's name for people and for kazoo's contenders(): the data of its znode. Default empty.
func Identifier(name string) Option { return func(m *Mutex) { m.identifier = []byte(name) } }

// CuratorNames names contenders as Curator does, for locks shared with Curator: see the package's doc.
func CuratorNames() Option { return func(m *Mutex) { m.names = curatorNames } }

// Mutex is a lock that one contender of the whole cluster holds at a time. It keeps no state: each Acquire is a contender of
// its own, so one Mutex may be used concurrently, and two of the same path are the same lock.
type Mutex struct {
	node       Node
	path       string
	identifier []byte
	names      naming
}

// New returns the lock at path. Nothing is asked of the cluster yet.
func New(node Node, path string, opts ...Option) *Mutex {
	m := &Mutex{node: node, path: path, identifier: []byte{}, names: kazooNames}
	for _, o := range opts {
		o(m)
	}
	return m
}

// Acquire waits until the lock is held or ctx ends; then its error wraps ctx's cause and the place in the queue is given up. It waits
// through elections and loss of the majority; when the session is lost meanwhile, it goes to the end of the queue with the next one.
func (m *Mutex) Acquire(ctx context.Context) (*Held, error) {
	held, err := m.acquire(ctx, (*contender).wait)
	if err != nil {
		return nil, fmt.Errorf("acquire: %w", err)
	}
	return held, nil
}

// TryAcquire is Acquire without waiting for other contenders: it fails with ErrHeld when there are any.
func (m *Mutex) TryAcquire(ctx context.Context) (*Held, error) {
	// Most often somebody holds it: that is found out without a write.
	err := m.unclaimed(ctx)
	var held *Held
	if err == nil {
		held, err = m.acquire(ctx, (*contender).first)
	}
	if err != nil {
		return nil, fmt.Errorf("try to acquire: %w", err)
	}
	return held, nil
}

// acquire contends until turn says that the lock is held.
func (m *Mutex) acquire(ctx context.Context, turn func(*contender, context.Context) error) (*Held, error) {
	if err := steps.CheckPath(m.path); err != nil {
		return nil, err
	}
	var pause steps.Backoff
	for {
		s, err := m.node.Session(ctx)
		if steps.Retryable(err) && pause.Wait(ctx) == nil {
			continue
		} else if err != nil {
			return nil, err
		}
		if err := m.allowed(s.Tier().Contract(m.path)); err != nil {
			return nil, err
		}
		c := newContender(m, s)
		if err = c.enter(ctx); err == nil {
			err = turn(c, ctx)
		}
		if err == nil {
			return &Held{contender: c}, nil
		}
		lost := c.ctx.Err() != nil || errors.Is(err, tiers.ErrSessionExpired)
		c.leave(ctx)
		if !lost || ctx.Err() != nil {
			return nil, err
		}
		// The session or the znode was lost before the lock was held: stand again.
		if pause.Wait(ctx) != nil {
			return nil, err
		}
	}
}

// unclaimed returns ErrHeld when there is any contender.
func (m *Mutex) unclaimed(ctx context.Context) error {
	s, err := m.node.Session(ctx)
	if err != nil {
		return err
	}
	view, err := s.Tier().Read(ctx, tiers.Query{Path: m.path, Want: tiers.WantChildren})
	switch {
	case errors.Is(err, tiers.ErrNoNode):
		return nil
	case err == nil && anyContender(view.Children):
		return fmt.Errorf("%s: %w", m.path, ErrHeld)
	}
	return err
}

// allowed refuses tiers that can't keep a lock.
func (m *Mutex) allowed(c tiers.Contract) error {
	if c.Linearizable && c.Sequential && c.Ephemeral {
		return nil
	}
	return &tiers.ContractError{Tier: c.Tier, Path: m.path, What: "a lock", Hint: "route the path to the strong tier"}
}

// Held is a lock that is held, until Release: call it also when Context has ended. Its methods may be called concurrently.
type Held struct{ contender *contender }

// Context ends when the lock is not held for sure any more, before anyone else can be granted it. Its cause says why: the
// session's, ErrLost or ErrReleased.
func (h *Held) Context() context.Context { return h.contender.ctx }

// Token is the fencing token: larger than that of every earlier grant of this lock.
func (h *Held) Token() int64 { return int64(h.contender.created) }

// Path is the full name of the contender's znode.
func (h *Held) Path() string { return h.contender.path() }

// Release gives the lock up and ends Context. When it returns nil, the lock is free for the next contender. It tries again while
// ctx lives; when ctx ends first, the lock is given up as soon as the cluster can be reached again, or ends with the session.
// Errors: ErrLost or the cause of the session's context when it was not held any more, tiers.ErrUnknownOutcome when ctx ended.
// After a nil, later calls return nil.
func (h *Held) Release(ctx context.Context) error {
	if err := h.contender.release(ctx); err != nil {
		return fmt.Errorf("release %s: %w", h.Path(), err)
	}
	return nil
}
