package discovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// Reader is what watching needs of a *coord.Node.
type Reader interface{ Tier() tiers.Tier }

// Watcher knows the instances of one service. Its methods may be called concurrently.
type Watcher struct {
	tier tiers.Tier
	dir  string

	instances atomic.Pointer[[]Instance] // what Instances returns: never nil, its content never changes. Written by refresh
	changed   steps.Signal               // set and closed by run

	events events // the watch

	known map[string]Instance // by znode name. Owned by refresh's caller: Watch, then run

	mu  sync.Mutex
	err error // guarded by mu

	stop context.CancelFunc
	done chan struct{} // closed when run has returned
}

// events is the watch on a service: it collects which znodes to read again.
type events struct {
	dir  string
	wake steps.Signal

	mu    sync.Mutex
	all   bool                // read everything. Guarded by mu
	names map[string]struct{} // read these. Guarded by mu
}

// Notify implements tiers.Watcher.
func (e *events) Notify(ev tiers.Event) {
	name, child := strings.CutPrefix(ev.Path, e.dir+"/")
	if child && strings.Contains(name, "/") {
		return // below an instance
	}
	e.mu.Lock()
	if child {
		e.names[name] = struct{}{}
	} else {
		e.all = true
	}
	e.mu.Unlock()
	e.wake.Set()
}

// take empties e.
func (e *events) take() (all bool, names map[string]struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all, names = e.all, e.names
	e.all, e.names = false, make(map[string]struct{})
	return all, names
}

// giveBack undoes take.
func (e *events) giveBack(all bool, names map[string]struct{}) {
	e.mu.Lock()
	e.all = e.all || all
	maps.Copy(e.names, names)
	e.mu.Unlock()
	e.wake.Set()
}

// Watch follows the service at dir until Close. The service need not exist yet. ctx bounds only the first read, which is tried
// again while ctx lives when the path can't be read now.
func Watch(ctx context.Context, node Reader, dir string) (*Watcher, error) {
	if err := steps.CheckPath(dir); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	w := &Watcher{
		tier: node.Tier(), dir: dir, changed: steps.NewSignal(), known: make(map[string]Instance), done: make(chan struct{}),
		events: events{dir: dir, wake: steps.NewSignal(), all: true, names: make(map[string]struct{})},
	}
	w.instances.Store(new([]Instance))
	// The watch comes before the first read, so that a change in between is a wake-up.
	if err := w.tier.AddWatch(dir, tiers.ScopeRecursive, &w.events); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	var pause steps.Backoff
	for {
		_, err := w.refresh(ctx)
		if err == nil {
			break
		}
		if !steps.Retryable(err) || pause.Wait(ctx) != nil {
			w.tier.Unwatch(&w.events, "", tiers.ScopeAny)
			return nil, fmt.Errorf("watch: %w", err)
		}
	}
	running, stop := context.WithCancel(context.Background())
	w.stop = stop
	go w.run(running)
	return w, nil
}

// run follows the watch. Close waits for it.
func (w *Watcher) run(ctx context.Context) {
	defer close(w.done)
	defer close(w.changed)
	defer w.tier.Unwatch(&w.events, "", tiers.ScopeAny)
	var pause steps.Backoff
	for {
		select {
		case <-w.events.wake:
		case <-ctx.Done():
			return
		}
		changed, err := w.refresh(ctx)
		if changed {
			w.changed.Set()
		}
		switch {
		case err == nil:
			pause.Reset()
		case pause.Wait(ctx) != nil:
			return
		}
	}
}

// refresh reads what events name. On an error it changes nothing, and the events are kept for the next call.
func (w *Watcher) refresh(ctx context.Context) (changed bool, err error) {
	all, names := w.events.take()
	next, err := w.read(ctx, all, names)
	if err != nil {
		w.events.giveBack(all, names)
	} else if changed = !maps.EqualFunc(next, w.known, same); changed {
		w.known = next
		list := slices.SortedFunc(maps.Values(next), func(a, b Instance) int { return strings.Compare(a.ID, b.ID) })
		w.instances.Store(&list)
	}
	w.mu.Lock()
	w.err = err
	w.mu.Unlock()
	return changed, err
}

// same compares what was decoded from two znodes of one name.
func same(a, b Instance) bool {
	return a.ID == b.ID && slices.Equal(a.Data, b.Data)
}

// read returns what is known after reading the named instances, or all.
func (w *Watcher) read(ctx context.Context, all bool, names map[string]struct{}) (map[string]Instance, error) {
	next := make(map[string]Instance, len(w.known))
	if all {
		names = make(map[string]struct{})
		view, err := w.tier.Read(ctx, tiers.Query{Path: w.dir, Want: tiers.WantChildren})
		if err != nil && !errors.Is(err, tiers.ErrNoNode) {
			return nil, err
		}
		for _, name := range view.Children {
			names[name] = struct{}{}
		}
	} else {
		maps.Copy(next, w.known)
	}
	for name := range names {
		view, err := w.tier.Read(ctx, tiers.Query{Path: w.dir + "/" + name, Want: tiers.WantData})
		switch {
		case err == nil:
			next[name] = decode(name, view.Data)
		case errors.Is(err, tiers.ErrNoNode):
			delete(next, name)
		case errors.Is(err, tiers.ErrNoAuth):
			next[name] = decode(name, nil) // it is there, what it says is for others
		default:
			return nil, err
		}
	}
	return next, nil
}

// Instances returns the last-known set, sorted by id. It is shared with every caller and must not be changed.
func (w *Watcher) Instances() []Instance { return *w.instances.Load() }

// Err tells why Instances may be behind; nil when the last read succeeded. What failed is tried again.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Changed receives after Instances has begun to return another set: once for any number of changes since the last receive. It
// is closed by Close. It is one channel: of several receivers, one gets the value.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Close stops following the service. Instances keeps answering with the last-known set. Later calls do nothing.
func (w *Watcher) Close() {
	w.stop()
	<-w.done
}
