// Package readonly is the tier of local reads: any member answers from its own copy of the replicated tree, at once, and says how
// old that copy is. Writes, fresh reads and syncs go to the strong tier, whose tree it shows.
//
// What it answers is always a prefix of the one commit order. A member that has not caught up since its start, or is further
// behind than the route allows, refuses with [tiers.StaleError]: it never answers "no such znode" out of ignorance.
package readonly

import (
	"context"
	"sync"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// Replica is this member's copy of the replicated tree.
type Replica interface {
	// ReadLocal answers from the copy as it is.
	ReadLocal(q tiers.Query) (tiers.View, error)
	// FollowLocal answers from the copy once `after` is applied here, and before any txn that this member submits later.
	FollowLocal(ctx context.Context, q tiers.Query, after *tiers.Pending) *tiers.Pending
	// Freshness is how old the copy may be: it holds everything that was committed that long ago. known is false until the
	// member has caught up once.
	Freshness() (age time.Duration, known bool)
	// Refusal is why the copy alone refuses a txn of one op, with its receipt: the op is wrong in itself, or there is no such znode, or there is
	// one, or its ACL forbids it. It is nil when the tier that keeps the tree must decide, and while an earlier txn of the session
	// waits for its answer.
	Refusal(txn *tiers.Txn) (tiers.Receipt, error)
	// WaitZxid returns when the copy has reached z. Errors: ctx's, ErrClosed.
	WaitZxid(ctx context.Context, z tiers.Zxid) error
}

// Options of a [Tier].
type Options struct {
	// MaxStaleness is beyond which age reads are refused; 0: never. Smaller is fresher, and refuses sooner in a minority.
	MaxStaleness time.Duration
}

// Tier shows the tree of another tier from this member's copy. Its methods may be called concurrently.
type Tier struct {
	replica Replica
	writes  tiers.Tier
	opts    Options
	placed  placed
}

var (
	_ tiers.Tier       = (*Tier)(nil)
	_ tiers.SharedTree = (*Tier)(nil)
)

// New makes a tier that reads from replica; writes is the tier that keeps the tree.
func New(replica Replica, writes tiers.Tier, opts Options) *Tier {
	return &Tier{replica: replica, writes: writes, opts: opts}
}

// TreeOf is the tier that keeps the tree.
func (t *Tier) TreeOf() tiers.Tier { return t.writes }

// Contract is that of the tier below, but for what local reads can't promise.
func (t *Tier) Contract(path string) tiers.Contract {
	c := t.writes.Contract(path)
	c.Tier, c.Linearizable, c.MaxStaleness = "readonly", false, t.opts.MaxStaleness
	return c
}

// age is how old the copy is, if path may be read from it.
func (t *Tier) age(path string) (time.Duration, error) {
	age, known := t.replica.Freshness()
	if !known || (t.opts.MaxStaleness > 0 && age > t.opts.MaxStaleness) {
		return age, &tiers.StaleError{Path: path, Staleness: age, Bound: t.opts.MaxStaleness, Known: known}
	}
	return age, nil
}

// Read answers from the copy; with q.Fresh from the tier below.
func (t *Tier) Read(ctx context.Context, q tiers.Query) (tiers.View, error) {
	if q.Fresh {
		return t.writes.Read(ctx, q)
	}
	if q.AtLeast > 0 {
		if err := t.replica.WaitZxid(ctx, q.AtLeast); err != nil {
			return tiers.View{}, &tiers.OpError{Op: "read", Path: q.Path, Err: err}
		}
	}
	// The age is taken before the read, so that it holds for what the read saw, and counts on.
	at := time.Now()
	age, err := t.age(q.Path)
	if err != nil {
		return tiers.View{}, err
	}
	v, err := t.replica.ReadLocal(q)
	v.Staleness = age + time.Since(at)
	return v, err
}

// refusalAge is how old the copy may be to refuse a write by itself: as long as the member hears its leader, it is younger.
const refusalAge = time.Second

// Submit writes to the tier below. What a read of the copy shows to be impossible (the znode is missing, or is there already, or its
// ACL forbids it) is refused here, without asking anybody: like a read, by a state that may be a moment old.
func (t *Tier) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	if len(txn.Ops) == 1 {
		if age, err := t.age(txn.Ops[0].Path); err == nil && age <= refusalAge {
			if r, err := t.replica.Refusal(&txn); err != nil {
				return tiers.Completed(r, err)
			}
		}
	}
	return t.writes.Submit(ctx, txn)
}

// Follow answers from the copy at q's place; with q.Fresh, or when the copy has not reached q.AtLeast, from the tier below, whose
// answer is newer than anything the caller has seen.
func (t *Tier) Follow(ctx context.Context, q tiers.Query, after *tiers.Pending) *tiers.Pending {
	if q.Fresh {
		return t.writes.Follow(ctx, q, t.placed.below(after))
	}
	at := time.Now()
	age, err := t.age(q.Path)
	if err != nil {
		return tiers.Completed(tiers.Receipt{}, err)
	}
	if q.AtLeast > 0 {
		switch v, err := t.replica.ReadLocal(tiers.Query{Path: q.Path, Want: tiers.WantNothing}); {
		case err != nil:
			return tiers.Completed(tiers.Receipt{Zxid: v.Zxid}, err)
		case v.Zxid < q.AtLeast:
			return t.writes.Follow(ctx, q, t.placed.below(after))
		}
	}
	p := new(tiers.Pending)
	in := t.replica.FollowLocal(ctx, q, t.placed.below(after))
	t.placed.add(p, in)
	in.Then(func(r tiers.Receipt, err error) {
		r.View.Staleness = age + time.Since(at)
		if bound := t.opts.MaxStaleness; err == nil && bound > 0 && r.View.Staleness > bound {
			// It waited for its place for so long that its age is no longer known to be within the bound.
			err = &tiers.StaleError{Path: q.Path, Staleness: r.View.Staleness, Bound: bound, Known: true}
		}
		p.Complete(r, err)
	})
	return p
}

// placed maps the Pendings of unanswered reads that this tier gave out to those of the replica, which alone know their place.
type placed struct {
	mu sync.Mutex
	in map[*tiers.Pending]*tiers.Pending // guarded by mu
}

func (x *placed) add(p, in *tiers.Pending) {
	if _, _, done := in.Result(); done {
		return
	}
	x.mu.Lock()
	if x.in == nil {
		x.in = make(map[*tiers.Pending]*tiers.Pending)
	}
	x.in[p] = in
	x.mu.Unlock()
	p.Then(func(tiers.Receipt, error) {
		x.mu.Lock()
		delete(x.in, p)
		x.mu.Unlock()
	})
}

// below is the replica's Pending for one of ours, and any other as it is.
func (x *placed) below(p *tiers.Pending) *tiers.Pending {
	x.mu.Lock()
	defer x.mu.Unlock()
	if in := x.in[p]; in != nil {
		return in
	}
	return p
}

// Touch goes to the tier below, as do watches: it keeps them where the copy changes.
func (t *Tier) Touch(id tiers.SessionID) { t.writes.Touch(id) }

// AddWatch arms a watch from now on.
func (t *Tier) AddWatch(path string, scope tiers.Scope, w tiers.Watcher) error {
	return t.writes.AddWatch(path, scope, w)
}

// HasWatch tells whether w watches path so.
func (t *Tier) HasWatch(w tiers.Watcher, path string, scope tiers.Scope) bool {
	return t.writes.HasWatch(w, path, scope)
}

// Unwatch removes watches of w.
func (t *Tier) Unwatch(w tiers.Watcher, path string, scope tiers.Scope) bool {
	return t.writes.Unwatch(w, path, scope)
}
