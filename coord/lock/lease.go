package lock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// ErrFree is Look's answer when nobody holds the lease.
var ErrFree = errors.New("nobody holds the lease")

// Lease is a lock that is held for a term, with data that everybody can look at. The session keeps it as it keeps a [Mutex]; besides, the
// holder has to say within each term, with Renew or Update, that its work goes on: so it ends with a holder whose process lives but
// whose work hangs.
//
// It keeps no state: each acquire is a contender of its own. Contenders have the names of a Mutex's, and queue up with those of a Mutex of
// the same path.
type Lease struct {
	queue queue
	term  time.Duration
}

// NewLease returns the lease at path. Its holders let go when they have not renewed it for the term. Nothing is asked of the
// cluster yet.
func NewLease(node Node, path string, term time.Duration, opts ...Option) *Lease {
	o := newOptions(opts)
	return &Lease{term: term, queue: queue{node: node, path: path, options: o, what: "a lease", name: o.mutexName, ahead: before}}
}

// Acquire waits until the lease is held, as [Mutex.Acquire] does. The first term begins with the grant.
func (l *Lease) Acquire(ctx context.Context, data []byte) (*Leased, error) {
	return l.acquire(ctx, data, (*queue).take)
}

// TryAcquire is Acquire without waiting: it fails with ErrHeld when somebody holds the lease or waits for it.
func (l *Lease) TryAcquire(ctx context.Context, data []byte) (*Leased, error) {
	return l.acquire(ctx, data, func(q *queue, ctx context.Context) (*Held, error) { return q.tryTake(ctx, anyOf(isExclusive)) })
}

func (l *Lease) acquire(ctx context.Context, data []byte, take func(*queue, context.Context) (*Held, error)) (*Leased, error) {
	if l.term <= 0 {
		return nil, fmt.Errorf("lease %s: %w: its term is %v", l.queue.path, tiers.ErrBadArguments, l.term)
	}
	data = append([]byte{}, data...) // the tier keeps it
	q := l.queue
	q.identifier = data
	var pause steps.Backoff
	for {
		leased, err := l.begin(ctx, &q, take)
		var lost *LostError
		if err == nil || !errors.As(err, &lost) || lost.Reason == TermOver || pause.Wait(ctx) != nil {
			return leased, err
		}
		// It was lost before the first term had begun: stand again.
	}
}

// begin takes the lease, and begins its first term.
func (l *Lease) begin(ctx context.Context, q *queue, take func(*queue, context.Context) (*Held, error)) (*Leased, error) {
	held, err := take(q, ctx)
	if err != nil {
		return nil, err
	}
	leased := &Leased{Held: held, term: l.term, data: q.identifier}
	held.claim.beginTerm(time.Now().Add(l.term))
	// The znode may have waited for long: written again, it tells since when the lease is held.
	if err := leased.Renew(ctx); err != nil {
		// What can't be removed now is removed later, or ends with the session.
		_ = held.Release(ctx)
		return nil, fmt.Errorf("acquire: %w", err)
	}
	return leased, nil
}

// Terms is what everybody can see of a lease that is held.
type Terms struct {
	Data  []byte
	Token int64
	// Session is the holder's.
	Session tiers.SessionID
	// Renewed is when the term began, and Until when it ends if it is not renewed; both on the leader's clock: for people to look at.
	Renewed, Until time.Time
}

// Look tells who holds the lease. The answer is as fresh as a strong read, and may be over when it is there. Errors: ErrFree, the tier's.
func (l *Lease) Look(ctx context.Context) (Terms, error) {
	s, err := l.queue.node.Session(ctx)
	if err != nil {
		return Terms{}, fmt.Errorf("look at lease %s: %w", l.queue.path, err)
	}
	for {
		terms, err := l.look(ctx, s.Tier())
		if !errors.Is(err, tiers.ErrNoNode) { // it is: between two reads, the holder has gone
			if err != nil {
				err = fmt.Errorf("look at lease %s: %w", l.queue.path, err)
			}
			return terms, err
		}
	}
}

func (l *Lease) look(ctx context.Context, t tiers.Tier) (Terms, error) {
	view, err := t.Read(ctx, tiers.Query{Path: l.queue.path, Want: tiers.WantChildren})
	if errors.Is(err, tiers.ErrNoNode) {
		return Terms{}, ErrFree
	} else if err != nil {
		return Terms{}, err
	}
	var holder string
	lowest := int64(-1)
	for _, child := range view.Children {
		if k, n := parse(child); isExclusive(k) && (lowest < 0 || n < lowest) {
			holder, lowest = child, n
		}
	}
	if holder == "" {
		return Terms{}, ErrFree
	}
	view, err = t.Read(ctx, tiers.Query{Path: l.queue.path + "/" + holder, Want: tiers.WantData})
	if err != nil {
		return Terms{}, err
	}
	renewed := time.UnixMilli(view.Stat.Mtime)
	return Terms{
		Data: slices.Clone(view.Data), Token: int64(view.Stat.Czxid), Session: view.Stat.EphemeralOwner,
		Renewed: renewed, Until: renewed.Add(l.term),
	}, nil
}

// Leased is a lease that is held. Its methods may be called concurrently.
type Leased struct {
	*Held
	term time.Duration

	writing sync.Mutex // held by a renewal
	data    []byte     // guarded by writing
}

// Renew begins a new term, counted from the call. It tries again while ctx lives, and the lease is held. Errors: a *LostError,
// ErrReleased, ctx's.
func (l *Leased) Renew(ctx context.Context) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.write(ctx, l.data)
}

// Update is Renew with other data.
func (l *Leased) Update(ctx context.Context, data []byte) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.write(ctx, append([]byte{}, data...))
}

// write is a renewal. Callers hold writing.
func (l *Leased) write(ctx context.Context, data []byte) error {
	c := l.claim
	ends := time.Now().Add(l.term)
	op := tiers.Op{Kind: tiers.OpSetData, Path: c.path(), Data: data, Version: tiers.AnyVersion}
	both, stop := joined(ctx, c.ctx)
	defer stop()
	var pause steps.Backoff
	for {
		_, err := tiers.Do(both, c.tier, tiers.Txn{Session: c.session.ID(), Ops: []tiers.Op{op}})
		if errors.Is(err, tiers.ErrNoNode) {
			c.lose(Deleted, nil)
		}
		switch {
		case err == nil && c.beginTerm(ends):
			l.data = data
			return nil
		case c.ctx.Err() != nil:
			return fmt.Errorf("renew: %w", context.Cause(c.ctx))
		case ctx.Err() != nil:
			return fmt.Errorf("renew %s: %w", c.path(), context.Cause(ctx))
		case err != nil && !steps.Retryable(err):
			return fmt.Errorf("renew %s: %w", c.path(), err)
		}
		_ = pause.Wait(both) // its end is looked at above
	}
}
