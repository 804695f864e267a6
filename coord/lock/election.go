package lock

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// ErrNoLeader is Leader's answer when nobody leads.
var ErrNoLeader = errors.New("nobody leads")

// Election is a leadership that one candidate of the whole cluster has at a time, and that others look at. Candidates queue up: the next leader
// is the one who has waited longest.
//
// It keeps no state: each Campaign is a candidate of its own. In the tree it is a [Mutex] whose contenders' znodes have data, which is
// kazoo's Election, and with [CuratorNames] Curator's LeaderSelector.
type Election struct{ queue queue }

// NewElection returns the election at path. Nothing is asked of the cluster yet. Campaign's data takes the place of an [Identifier].
func NewElection(node Node, path string, opts ...Option) *Election {
	o := newOptions(opts)
	return &Election{queue{node: node, path: path, options: o, what: "an election", name: o.mutexName, ahead: before}}
}

// Campaign waits until this candidate leads, as [Mutex.Acquire] does. Everybody can see data while it leads.
func (e *Election) Campaign(ctx context.Context, data []byte) (*Leadership, error) {
	q := e.queue
	q.identifier = append([]byte{}, data...) // the tier keeps it
	held, err := q.acquire(ctx, (*contender).wait)
	if err != nil {
		return nil, fmt.Errorf("campaign: %w", err)
	}
	return &Leadership{Held: held}, nil
}

// Leadership is held until Resign: call it also when Context has ended. Its methods may be called concurrently.
type Leadership struct {
	*Held
	writing sync.Mutex // held by SetData: what is set last is seen last
}

// Resign gives the leadership up, as [Held.Release] does a lock.
func (l *Leadership) Resign(ctx context.Context) error { return l.Release(ctx) }

// SetData changes what observers see. It tries again while ctx lives and the leadership is held. Errors: a *LostError, ErrReleased; ctx's,
// when the data may have been set or not.
func (l *Leadership) SetData(ctx context.Context, data []byte) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	c := l.claim
	op := tiers.Op{Kind: tiers.OpSetData, Path: c.path(), Data: append([]byte{}, data...), Version: tiers.AnyVersion}
	both, stop := joined(ctx, c.ctx)
	defer stop()
	var pause steps.Backoff
	for {
		_, err := tiers.Do(both, c.tier, tiers.Txn{Session: c.session.ID(), Ops: []tiers.Op{op}})
		if errors.Is(err, tiers.ErrNoNode) {
			c.lose(Deleted, nil)
		}
		switch {
		case err == nil:
			return nil
		case c.ctx.Err() != nil:
			return fmt.Errorf("set the leader's data: %w", context.Cause(c.ctx))
		case ctx.Err() != nil:
			return fmt.Errorf("set the leader's data at %s: %w", c.path(), context.Cause(ctx))
		case !steps.Retryable(err):
			return fmt.Errorf("set the leader's data at %s: %w", c.path(), err)
		}
		_ = pause.Wait(both) // its end is looked at above
	}
}

// Leader is what everybody can see of who leads. The zero value is nobody.
type Leader struct {
	Path    string // of the candidate's znode
	Data    []byte
	Token   int64
	Session tiers.SessionID
}

// None tells whether nobody leads.
func (l Leader) None() bool { return l.Path == "" }

func (l Leader) same(m Leader) bool { return l.Path == m.Path && slices.Equal(l.Data, m.Data) }

// Leader tells who leads: it has been granted the leadership, though it may not have heard so yet. The answer is as fresh as a strong read, and
// may be over when it is there. Errors: ErrNoLeader, the tier's.
func (e *Election) Leader(ctx context.Context) (Leader, error) {
	l, err := e.leader(ctx)
	if err == nil && l.None() {
		err = ErrNoLeader
	}
	if err != nil {
		return Leader{}, fmt.Errorf("election %s: %w", e.queue.path, err)
	}
	return l, nil
}

func (e *Election) leader(ctx context.Context) (Leader, error) {
	s, err := e.queue.session(ctx)
	if err != nil {
		return Leader{}, err
	}
	return foremost(ctx, s.Tier(), e.queue.path, nil)
}

// Observe yields who leads now, nobody included, and then each change, of the leader or of its data, until ctx ends. Who is slow sees the latest one:
// leaders between may be skipped, but the tokens never go back. It waits through elections and loss of the majority; any other error is yielded last.
//
// An observer is woken by changes of the leader, not by candidates that come and go.
func (e *Election) Observe(ctx context.Context) iter.Seq2[Leader, error] {
	return observe(ctx, &e.queue, Leader.same, func(t tiers.Tier, wake steps.Signal) (Leader, error) {
		return foremost(ctx, t, e.queue.path, wake)
	})
}

// session is the node's, where path's tier can keep the recipe.
func (q *queue) session(ctx context.Context) (*coord.Session, error) {
	if err := steps.CheckPath(q.path); err != nil {
		return nil, err
	}
	s, err := q.node.Session(ctx)
	if err != nil {
		return nil, err
	}
	return s, q.allowed(s.Tier().Contract(q.path))
}

// foremost is the contender whose turn it is in the queue at dir; none when there is none. If wake is not nil, a watch is armed that sets it when that
// may have changed.
func foremost(ctx context.Context, t tiers.Tier, dir string, wake steps.Signal) (Leader, error) {
	watch := func(scope tiers.Scope) *tiers.WatchSpec {
		if wake == nil {
			return nil
		}
		t.Unwatch(wake, "", tiers.ScopeAny)
		return &tiers.WatchSpec{Watcher: wake, Scope: scope}
	}
	for {
		view, err := t.Read(ctx, tiers.Query{Path: dir, Want: tiers.WantChildren})
		if err != nil && !errors.Is(err, tiers.ErrNoNode) {
			return Leader{}, err
		}
		missing := err != nil
		name := lowest(view.Children)
		if name == "" && wake == nil {
			return Leader{}, nil
		}
		switch {
		case name != "":
			path := dir + "/" + name
			// Nobody ever comes before it: while it is there, it is the foremost.
			view, err = t.Read(ctx, tiers.Query{Path: path, Want: tiers.WantData, Watch: watch(tiers.ScopeData)})
			if err == nil {
				return Leader{
					Path: path, Data: slices.Clone(view.Data), Token: int64(view.Stat.Czxid), Session: view.Stat.EphemeralOwner,
				}, nil
			}
		case missing:
			if _, err = t.Read(ctx, tiers.Query{Path: dir, Want: tiers.WantStat, Watch: watch(tiers.ScopeData)}); errors.Is(err, tiers.ErrNoNode) {
				return Leader{}, nil
			}
		default:
			view, err = t.Read(ctx, tiers.Query{Path: dir, Want: tiers.WantChildren, Watch: watch(tiers.ScopeChildren)})
			if err == nil && lowest(view.Children) == "" {
				return Leader{}, nil
			}
		}
		if err != nil && !errors.Is(err, tiers.ErrNoNode) {
			return Leader{}, err
		}
		// Between two reads, one has gone or come.
	}
}

// lowest is the contender with the lowest number; "" when there is none.
func lowest(children []string) (name string) {
	best := int64(-1)
	for _, child := range children {
		if k, n := parse(child); isExclusive(k) && (best < 0 || n < best) {
			best, name = n, child
		}
	}
	return name
}
