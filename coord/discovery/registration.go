package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// ErrReplaced is a registration's last error when another session has registered the same id: the last one wins, and a
// registration that was replaced does not fight.
var ErrReplaced = errors.New("the instance was registered again by another session")

// closePatience bounds how long Close waits for the tier.
const closePatience = 5 * time.Second

// Node is what registering needs of a *coord.Node.
type Node interface {
	Reader
	// Session returns the session that registrations belong to: another one after it was lost.
	Session(ctx context.Context) (*coord.Session, error)
}

// Registration keeps an instance registered. Its methods may be called concurrently.
type Registration struct {
	node     Node
	tier     tiers.Tier
	path     string
	instance Instance

	wake steps.Signal // the watch on path, and changes of ill

	session *coord.Session               // owns the znode; nil: none yet, or lost. Owned by keep's caller: Register, then run
	past    map[tiers.SessionID]struct{} // lost sessions that owned it. Owned likewise

	mu         sync.Mutex
	ill        error // why the check says that the instance is not well; nil: it is. Guarded by mu
	failed     error // of the last step of run. Guarded by mu
	registered bool  // guarded by mu

	stop context.CancelFunc
	work sync.WaitGroup // run and probe
	once sync.Once      // of Close
	last error          // of unregistering. Written by run before it ends
}

// Register makes the instance known at dir until Close, and again after each loss of the node's session. When it returns nil,
// the instance is registered, or its check says that it is not well. ctx bounds only this first registration, which is tried again
// while ctx lives. An instance of the same id is taken over.
func Register(ctx context.Context, node Node, dir string, instance Instance) (*Registration, error) {
	if err := steps.CheckPath(dir); err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	if err := instance.complete(); err != nil {
		return nil, fmt.Errorf("register at %s: %w", dir, err)
	}
	instance.Check.setDefaults()
	r := &Registration{
		node: node, tier: node.Tier(), path: dir + "/" + instance.ID, instance: instance,
		wake: steps.NewSignal(), past: make(map[tiers.SessionID]struct{}),
	}
	if err := r.tier.AddWatch(r.path, tiers.ScopePersistent, r.wake); err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	if instance.Check.Probe != nil {
		r.ill = instance.Check.run(ctx)
	}
	if err := r.first(ctx); err != nil {
		r.tier.Unwatch(r.wake, "", tiers.ScopeAny)
		return nil, fmt.Errorf("register: %w", err)
	}
	running, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.work.Go(func() { r.run(running) })
	if instance.Check.Probe != nil {
		r.work.Go(func() { r.probe(running) })
	}
	return r, nil
}

// first is the registration that Register waits for.
func (r *Registration) first(ctx context.Context) error {
	var pause steps.Backoff
	for {
		err := r.keep(ctx)
		if err == nil {
			return nil
		}
		if !steps.Retryable(err) && !errors.Is(err, tiers.ErrSessionExpired) || pause.Wait(ctx) != nil {
			return err
		}
	}
}

// run keeps the znode as the check says. Close waits for it.
func (r *Registration) run(ctx context.Context) {
	defer r.tier.Unwatch(r.wake, "", tiers.ScopeAny)
	var pause steps.Backoff
	for {
		var lost <-chan struct{}
		if r.session != nil {
			lost = r.session.Context().Done()
		}
		select {
		case <-r.wake:
		case <-lost:
			r.past[r.session.ID()] = struct{}{}
			r.session = nil
		case <-ctx.Done():
			r.last = r.leave()
			return
		}
		err := r.keep(ctx)
		switch {
		case err == nil:
			pause.Reset()
		case errors.Is(err, ErrReplaced):
			<-ctx.Done()
			return
		default:
			if pause.Wait(ctx) == nil {
				r.wake.Set()
			}
		}
	}
}

// probe asks the check. Close waits for it.
func (r *Registration) probe(ctx context.Context) {
	check := &r.instance.Check
	tick := time.NewTimer(check.Every)
	defer tick.Stop()
	for failures := 0; ; tick.Reset(check.Every) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := check.run(ctx)
		if err == nil {
			failures = 0
		} else if failures++; failures < check.Failures || ctx.Err() != nil {
			continue
		}
		r.mu.Lock()
		changed := (r.ill == nil) != (err == nil)
		r.ill = err
		r.mu.Unlock()
		if changed {
			r.wake.Set()
		}
	}
}

// keep makes the znode exist under the present session when the instance is well, and not exist when it is not.
func (r *Registration) keep(ctx context.Context) error {
	r.mu.Lock()
	well := r.ill == nil
	r.mu.Unlock()
	var err error
	if well {
		err = r.enter(ctx)
	} else {
		err = r.remove(ctx)
	}
	r.mu.Lock()
	r.failed = err
	r.registered = well && err == nil
	r.mu.Unlock()
	return err
}

// enter returns when the znode exists and belongs to the present session.
func (r *Registration) enter(ctx context.Context) error {
	s, err := r.node.Session(ctx)
	if err != nil {
		return err
	}
	owned := r.session == s // the znode was there under s
	for {
		view, err := r.tier.Read(ctx, tiers.Query{Path: r.path, Want: tiers.WantStat})
		owner := view.Stat.EphemeralOwner
		_, ours := r.past[owner]
		switch {
		case err == nil && owner == s.ID():
			r.session = s
			return nil
		case err == nil && owner == 0:
			return &tiers.OpError{Op: "register", Path: r.path, Err: fmt.Errorf("%w and is not ephemeral: delete it", tiers.ErrNodeExists)}
		case err == nil && owned && !ours:
			return fmt.Errorf("%s: %w", r.path, ErrReplaced)
		case err == nil:
			err = r.takeOver(ctx, s)
		case errors.Is(err, tiers.ErrNoNode):
			err = r.create(ctx, s)
		}
		if errors.Is(err, tiers.ErrUnknownOutcome) {
			err = steps.Settle(ctx, r.tier, s.ID(), r.path)
		}
		if err != nil {
			return err
		}
	}
}

func (r *Registration) create(ctx context.Context, s *coord.Session) error {
	_, err := tiers.Do(ctx, r.tier, tiers.Txn{Session: s.ID(), Ops: []tiers.Op{r.createOp()}})
	switch {
	case errors.Is(err, tiers.ErrNodeExists):
		return nil // look again at whose it is
	case errors.Is(err, tiers.ErrNoNode):
		return steps.MakeAll(ctx, r.tier, steps.Parent(r.path))
	}
	return err
}

// takeOver replaces the znode by one of s: in one txn where the tier has such, so that watchers never see the instance gone.
func (r *Registration) takeOver(ctx context.Context, s *coord.Session) error {
	txn := tiers.Txn{Session: s.ID(), Ops: []tiers.Op{{Kind: tiers.OpDelete, Path: r.path, Version: tiers.AnyVersion}}}
	if r.tier.Contract(r.path).Multi {
		txn.Ops = append(txn.Ops, r.createOp())
	}
	_, err := tiers.Do(ctx, r.tier, txn)
	if errors.Is(err, tiers.ErrNoNode) {
		return nil
	}
	return err
}

func (r *Registration) createOp() tiers.Op {
	return tiers.Op{Kind: tiers.OpCreate, Path: r.path, Data: r.instance.Data, Mode: tiers.Ephemeral, ACL: tiers.OpenACL}
}

// remove returns when the znode does not exist, or belongs to somebody else.
func (r *Registration) remove(ctx context.Context) error {
	if r.session == nil {
		return nil
	}
	for {
		view, err := r.tier.Read(ctx, tiers.Query{Path: r.path, Want: tiers.WantStat})
		_, ours := r.past[view.Stat.EphemeralOwner]
		switch {
		case errors.Is(err, tiers.ErrNoNode):
			return nil
		case err == nil && !ours && view.Stat.EphemeralOwner != r.session.ID():
			return nil
		case err == nil:
			_, err = tiers.Do(ctx, r.tier, tiers.Txn{Session: r.session.ID(), Ops: []tiers.Op{
				{Kind: tiers.OpDelete, Path: r.path, Version: tiers.AnyVersion}}})
		}
		switch {
		case errors.Is(err, tiers.ErrSessionExpired):
			return nil // the znode ends with it
		case errors.Is(err, tiers.ErrUnknownOutcome):
			err = steps.Settle(ctx, r.tier, r.session.ID(), r.path)
		case errors.Is(err, tiers.ErrNoNode):
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// leave is what Close does to the znode.
func (r *Registration) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	var pause steps.Backoff
	for {
		err := r.remove(ctx)
		if !steps.Retryable(err) || pause.Wait(ctx) != nil {
			return err
		}
	}
}

// Registered tells whether the instance is registered, as far as this member knows.
func (r *Registration) Registered() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.registered
}

// Err tells why the instance is not registered: its check's error, the tier's, or ErrReplaced, which is final. What failed otherwise
// is tried again. It is nil when the instance is registered.
func (r *Registration) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return r.failed
	}
	return r.ill
}

// Close unregisters the instance and stops its check. An error says that the tier did not take it within a few seconds: the
// znode is then there until the node's session ends. Later calls return nil.
func (r *Registration) Close() error {
	var err error
	r.once.Do(func() {
		r.stop()
		r.work.Wait()
		r.mu.Lock()
		r.registered = false
		r.mu.Unlock()
		if r.last != nil {
			err = fmt.Errorf("unregister: %w", r.last)
		}
	})
	return err
}
