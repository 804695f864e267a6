package fence

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

var (
	// ErrStaleToken is in every [StaleTokenError].
	ErrStaleToken = errors.New("stale fencing token")
	// ErrNoToken refuses a call without a token, or with one that is no positive number.
	ErrNoToken = errors.New("no fencing token")
)

// StaleTokenError is the refusal of a token smaller than one that the resource has seen: its holder has lost the lock.
type StaleTokenError struct {
	Resource       string
	Token, Highest int64
}

func (e *StaleTokenError) Error() string {
	return fmt.Sprintf("%s: %v %d: it has seen %d", e.Resource, ErrStaleToken, e.Token, e.Highest)
}

func (e *StaleTokenError) Unwrap() error { return ErrStaleToken }

// Checker lets the holder of the largest token pass. Its methods may be called concurrently.
type Checker struct {
	store Store

	mu      sync.Mutex
	running map[string][]*run // by resource; guarded by mu
}

// run is one Do between its entry and its return.
type run struct {
	token  int64
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// NewChecker returns a checker that keeps what it has seen in store; nil: in memory, where a restart forgets it.
func NewChecker(store Store) *Checker {
	if store == nil {
		store = NewMemory()
	}
	return &Checker{store: store, running: make(map[string][]*run)}
}

// Check returns nil when token is not smaller than any that was seen for resource, and remembers it. By itself that says nothing
// about the moment after: a write that is checked, and then delayed, may come after the next holder's. Use [Checker.Do] where the
// resource does not order its writes in another way.
//
// Errors: *StaleTokenError, ErrNoToken when token is not positive, the store's.
func (c *Checker) Check(ctx context.Context, resource string, token int64) error {
	if token <= 0 {
		return fmt.Errorf("%s: %w", resource, ErrNoToken)
	}
	highest, err := c.store.Raise(ctx, resource, token)
	if err != nil {
		return fmt.Errorf("check fencing token %d of %s: %w", token, resource, err)
	}
	if token < highest {
		return &StaleTokenError{Resource: resource, Token: token, Highest: highest}
	}
	return nil
}

// Do runs f if Check passes. Calls with the same token may run together. A call with a larger token ends the contexts of those with smaller
// ones that run in this checker, with a *StaleTokenError, and waits for them to return: so what an earlier holder has begun is over before
// the next one begins. Errors: Check's, f's, ctx's cause when it ended during that wait.
func (c *Checker) Do(ctx context.Context, resource string, token int64, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Known before it is checked: who checks a larger token later finds it here.
	mine := c.enter(resource, token, cancel)
	defer c.leave(resource, mine)
	if err := c.Check(ctx, resource, token); err != nil {
		return err
	}
	for _, earlier := range c.smaller(resource, token) {
		earlier.cancel(&StaleTokenError{Resource: resource, Token: earlier.token, Highest: token})
		select {
		case <-earlier.done:
		case <-ctx.Done():
			return fmt.Errorf("%s: waiting for the call with token %d: %w", resource, earlier.token, context.Cause(ctx))
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", resource, context.Cause(ctx))
	}
	return f(ctx)
}

func (c *Checker) enter(resource string, token int64, cancel context.CancelCauseFunc) *run {
	r := &run{token: token, cancel: cancel, done: make(chan struct{})}
	c.mu.Lock()
	c.running[resource] = append(c.running[resource], r)
	c.mu.Unlock()
	return r
}

func (c *Checker) leave(resource string, r *run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := c.running[resource][:0:0]
	for _, other := range c.running[resource] {
		if other != r {
			left = append(left, other)
		}
	}
	if c.running[resource] = left; len(left) == 0 {
		delete(c.running, resource)
	}
	close(r.done)
}

// smaller are the calls that run with smaller tokens.
func (c *Checker) smaller(resource string, token int64) (rs []*run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.running[resource] {
		if r.token < token {
			rs = append(rs, r)
		}
	}
	return rs
}
