package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// Node is what a binding needs of a *coord.Node.
type Node interface{ Tier() tiers.Tier }

// Option changes how Bind works.
type Option[T any] func(*Value[T])

// WithDefault is what Load returns until the znode holds a good value. With it, Bind succeeds also when what the znode holds
// now can't be decoded.
func WithDefault[T any](v T) Option[T] {
	return func(b *Value[T]) { b.current.Store(&v); b.hasDefault = true }
}

// Value is a znode's data as a T. Its methods may be called concurrently.
type Value[T any] struct {
	tier       tiers.Tier
	path       string
	codec      Codec
	hasDefault bool

	current atomic.Pointer[T] // what Load returns: never nil, and what it points to never changes. Written under mu
	changed steps.Signal      // set and closed by run

	mu         sync.Mutex
	seen       tiers.Zxid   // mzxid of data; 0: the znode has not existed yet. Guarded by mu
	data       []byte       // what was decoded last, good or bad. Guarded by mu
	bad        error        // a *DecodeError when data is not good. Guarded by mu
	failed     error        // of the last read. Guarded by mu
	generation uint64       // counts stores to current. Guarded by mu
	listeners  []func(T)    // guarded by mu
	wake       steps.Signal // the watch, and Set

	stop context.CancelFunc
	done chan struct{} // closed when run has returned
}

// Bind reads path and follows it until Close. ctx bounds only the first read, which is tried again while ctx lives when
// the path can't be read now. Errors: a bad path, a *DecodeError when the present data is bad and there is no default, the
// read's.
func Bind[T any](ctx context.Context, node Node, path string, codec Codec, opts ...Option[T]) (*Value[T], error) {
	if err := steps.CheckPath(path); err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	v := &Value[T]{
		tier: node.Tier(), path: path, codec: codec,
		changed: steps.NewSignal(), wake: steps.NewSignal(), done: make(chan struct{}),
	}
	v.current.Store(new(T))
	for _, o := range opts {
		o(v)
	}
	// The watch comes before the first read, so that a change in between is a wake-up.
	if err := v.tier.AddWatch(path, tiers.ScopePersistent, v.wake); err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	if err := v.first(ctx); err != nil {
		v.tier.Unwatch(v.wake, "", tiers.ScopeAny)
		return nil, fmt.Errorf("bind: %w", err)
	}
	running, stop := context.WithCancel(context.Background())
	v.stop = stop
	begin := told{generation: v.generation}
	if err := v.Err(); err != nil {
		begin.problem = err.Error()
	}
	go v.run(running, begin)
	return v, nil
}

// first is the read that Bind waits for.
func (v *Value[T]) first(ctx context.Context) error {
	var pause steps.Backoff
	for {
		err := v.refresh(ctx)
		switch {
		case err == nil && (v.hasDefault || v.Err() == nil):
			return nil
		case err == nil:
			return v.Err()
		case !steps.Retryable(err) || pause.Wait(ctx) != nil:
			return err
		}
	}
}

// run follows the watch. Once Bind has returned it alone reads and notifies; Close waits for it.
func (v *Value[T]) run(ctx context.Context, told told) {
	defer close(v.done)
	defer close(v.changed)
	defer v.tier.Unwatch(v.wake, "", tiers.ScopeAny)
	var pause steps.Backoff
	for {
		select {
		case <-v.wake:
		case <-ctx.Done():
			return
		}
		err := v.refresh(ctx)
		told = v.tell(told)
		if err == nil {
			pause.Reset()
			continue
		}
		if pause.Wait(ctx) != nil {
			return
		}
		v.wake.Set()
	}
}

// refresh reads the znode and takes what it holds. Its error is that of the read; that the znode does not exist is none.
func (v *Value[T]) refresh(ctx context.Context) error {
	view, err := v.tier.Read(ctx, tiers.Query{Path: v.path, Want: tiers.WantData})
	if err == nil {
		v.take(view.Data, view.Stat)
		return nil
	}
	missing := errors.Is(err, tiers.ErrNoNode)
	v.mu.Lock()
	defer v.mu.Unlock()
	if missing && v.seen == 0 {
		v.failed = nil // not deleted: it has not been there yet
		return nil
	}
	v.failed = err
	if missing {
		return nil
	}
	return err
}

// take makes data the value if it can be decoded, and if it is not older than what was taken before.
func (v *Value[T]) take(data []byte, stat tiers.Stat) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if stat.Mzxid < v.seen {
		return
	}
	v.failed = nil
	same := v.seen != 0 && bytes.Equal(data, v.data)
	v.seen, v.data = stat.Mzxid, data
	if same {
		return
	}
	next := new(T)
	if err := v.codec.Decode(data, next); err != nil {
		v.bad = &DecodeError{Path: v.path, Version: stat.Version, Err: err}
		return
	}
	v.bad = nil
	v.generation++
	v.current.Store(next)
}

// told is what run has notified of.
type told struct {
	generation uint64
	problem    string // Err's text
}

// tell notifies of what has changed since was, and returns what is told now.
func (v *Value[T]) tell(was told) (now told) {
	problem := v.Err()
	v.mu.Lock()
	now.generation = v.generation
	listeners, value := v.listeners, *v.current.Load()
	v.mu.Unlock()
	if problem != nil {
		now.problem = problem.Error()
	}
	if now != was {
		v.changed.Set()
	}
	if now.generation != was.generation {
		for _, f := range listeners {
			f(value)
		}
	}
	return now
}

// Load returns the last good value, or the default while there has been none. What it refers to (maps, slices) is shared
// with every caller and must not be changed.
func (v *Value[T]) Load() T { return *v.current.Load() }

// Err tells why Load may not be what the znode holds now; nil when it is. See the package's table.
func (v *Value[T]) Err() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failed != nil {
		return v.failed
	}
	return v.bad
}

// Changed receives after Load or Err has begun to return something else: once for any number of changes since the last receive.
// It is closed by Close. It is one channel: of several receivers, one gets the value.
func (v *Value[T]) Changed() <-chan struct{} { return v.changed }

// OnChange calls f with each later value, one call at a time, in order; values that follow each other faster than f returns are
// skipped, never the last one. f may call every method but Close.
func (v *Value[T]) OnChange(f func(T)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.listeners = append(v.listeners[:len(v.listeners):len(v.listeners)], f)
}

// Set writes the znode, creating it and its parents when they are missing. When it returns nil, Load returns t or something
// newer here; other members follow. After tiers.ErrUnknownOutcome the value may or may not have been written: setting it again is safe.
func (v *Value[T]) Set(ctx context.Context, t T) error {
	data, err := v.codec.Encode(t)
	if err != nil {
		return fmt.Errorf("encode %s: %w", v.path, err)
	}
	// A value that its own codec can't read would be refused by every member.
	if err := v.codec.Decode(data, new(T)); err != nil {
		return fmt.Errorf("encode %s: what was encoded can't be decoded: %w", v.path, err)
	}
	for {
		receipt, err := tiers.Do(ctx, v.tier, tiers.Txn{Ops: []tiers.Op{
			{Kind: tiers.OpSetData, Path: v.path, Data: data, Version: tiers.AnyVersion}}})
		if errors.Is(err, tiers.ErrNoNode) {
			receipt, err = v.create(ctx, data)
		}
		switch {
		case errors.Is(err, tiers.ErrNodeExists):
			continue // created by someone else between the two
		case err != nil:
			return fmt.Errorf("set: %w", err)
		}
		v.take(data, receipt.Results[0].Stat)
		v.wake.Set()
		return nil
	}
}

func (v *Value[T]) create(ctx context.Context, data []byte) (tiers.Receipt, error) {
	if err := steps.MakeAll(ctx, v.tier, steps.Parent(v.path)); err != nil {
		return tiers.Receipt{}, err
	}
	return tiers.Do(ctx, v.tier, tiers.Txn{Ops: []tiers.Op{
		{Kind: tiers.OpCreate, Path: v.path, Data: data, Mode: tiers.Persistent, ACL: tiers.OpenACL}}})
}

// Close stops following the znode. Load keeps answering with the last good value. Later calls do nothing.
func (v *Value[T]) Close() {
	v.stop()
	<-v.done
}
