package lock

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// claim is what one session claims with ephemeral znodes below one path, all made by one txn: enter, then perhaps hold, then release or
// leave. There is one znode but for semaphores, where each is one permit.
type claim struct {
	session *coord.Session
	tier    tiers.Tier
	dir     string
	prefix  string // of the znodes' names: unique, so that an uncertain create is found again
	ops     []tiers.Op
	policy  policy

	// ctx ends with the session, when a znode is deleted, when the policy says so, and at the release. It ends under mu.
	ctx context.Context
	end context.CancelCauseFunc

	create  *tiers.Pending // the last create that was submitted. Owned by enter, then by remove
	names   []string       // of the znodes; nil while not known. Owned likewise
	created tiers.Zxid     // the txn that created them. Set by enter

	unobserve func() // set by newClaim

	mu       sync.Mutex     // never held while the session or the tier is called
	held     bool           // guarded by mu
	phase    Phase          // guarded by mu; counts once held, as all below
	since    time.Time      // guarded by mu
	standing coord.Standing // the last one that was told. Guarded by mu
	resumed  chan struct{}  // closed at the end of a jeopardy; nil when there is none. Guarded by mu
	yieldsAt time.Time      // by the policy; zero while it is not counting. Guarded by mu
	termEnds time.Time      // of a lease; zero: it has none. Guarded by mu
	lost     *LostError     // guarded by mu
	story    timeline       // guarded by mu
	changed  chan struct{}  // closed at the next change of phase; nil after the last. Guarded by mu

	releasing sync.Mutex // held by release
	released  bool       // guarded by releasing
	uncertain bool       // removeLater is at it. Guarded by releasing
}

// newClaim claims nothing yet. The ops create the znodes, whose names begin with prefix.
func newClaim(s *coord.Session, dir, prefix string, p policy, ops ...tiers.Op) *claim {
	c := &claim{session: s, tier: s.Tier(), dir: dir, prefix: prefix, ops: ops, policy: p}
	c.ctx, c.end = context.WithCancelCause(context.Background()) // the session ends it: observe
	c.unobserve = s.Observe(c.observe)
	return c
}

// ephemeral is the op that makes a znode of a claim.
func ephemeral(dir, name string, data []byte, mode tiers.CreateMode) tiers.Op {
	return tiers.Op{Kind: tiers.OpCreate, Path: dir + "/" + name, Data: data, Mode: mode, ACL: tiers.OpenACL}
}

// Notify implements tiers.Watcher: the watches on the claim's own znodes.
func (c *claim) Notify(ev tiers.Event) {
	if ev.Type != tiers.NodeDeleted {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.names) > 1 {
		c.yieldNow(Deleted, nil) // the others must not stay behind
	} else {
		c.loseNow(Deleted, nil)
	}
}

// path is the full name of the first znode.
func (c *claim) path() string {
	if len(c.names) == 0 {
		return c.dir + "/" + c.prefix
	}
	return c.dir + "/" + c.names[0]
}

// enter makes the znodes. It returns nil when they were made, and are watched.
func (c *claim) enter(ctx context.Context) error {
	var pause steps.Backoff
	for {
		// Submitted for as long as the session lives, so that remove can learn what became of it when ctx has ended.
		c.create = c.tier.Submit(c.session.Context(), tiers.Txn{Session: c.session.ID(), Ops: c.ops})
		receipt, err := c.create.Wait(ctx)
		if ctx.Err() != nil && err != nil {
			return c.gaveUp(ctx)
		}
		if err == nil {
			c.made(receipt)
		} else if errors.Is(err, tiers.ErrNoNode) {
			err = steps.MakeAll(ctx, c.tier, c.dir)
		} else if errors.Is(err, tiers.ErrUnknownOutcome) {
			// Not before it is known what became of this one: a second create could make a second znode.
			err = c.find(ctx)
		}
		switch {
		case ctx.Err() != nil && err != nil:
			return c.gaveUp(ctx)
		case c.names != nil:
			return c.watch()
		case err != nil && !steps.Retryable(err):
			return err
		case err != nil:
			if err := c.rest(ctx, &pause); err != nil {
				return err
			}
		}
	}
}

// watch arms the watches on the znodes.
func (c *claim) watch() error {
	for _, name := range c.names {
		if err := c.tier.AddWatch(c.dir+"/"+name, tiers.ScopePersistent, c); err != nil {
			return err
		}
	}
	return nil
}

// made keeps what a create that succeeded has made.
func (c *claim) made(r tiers.Receipt) {
	for i, one := range r.Results {
		if c.ops[i].Kind == tiers.OpCreate {
			c.names = append(c.names, one.Path[len(c.dir)+1:])
			c.created = one.Stat.Czxid
		}
	}
}

// find learns what became of an uncertain create, for as long as ctx lives. Without an error, names is set if the znodes were made,
// and they never will be if not.
func (c *claim) find(ctx context.Context) error {
	var pause steps.Backoff
	for {
		err := c.findNow(ctx)
		if err == nil || !steps.Retryable(err) {
			return err
		}
		if err := pause.Wait(ctx); err != nil {
			return err
		}
	}
}

func (c *claim) findNow(ctx context.Context) error {
	if err := steps.Settle(ctx, c.tier, c.session.ID(), c.dir); err != nil {
		return err
	}
	view, err := c.tier.Read(ctx, tiers.Query{Path: c.dir, Want: tiers.WantChildren, Fresh: true})
	if err != nil && !errors.Is(err, tiers.ErrNoNode) {
		return err
	}
	var names []string
	for _, child := range view.Children {
		if !strings.HasPrefix(child, c.prefix) {
			continue
		}
		view, err := c.tier.Read(ctx, tiers.Query{Path: c.dir + "/" + child, Want: tiers.WantStat, Fresh: true})
		if err == nil {
			names = append(names, child)
			c.created = view.Stat.Czxid
		} else if !errors.Is(err, tiers.ErrNoNode) {
			return err
		}
	}
	c.names = names
	return nil
}

// rest is the pause before the next try. Its error says why there should be none.
func (c *claim) rest(ctx context.Context, pause *steps.Backoff) error {
	if pause.Wait(ctx) != nil {
		return c.gaveUp(ctx)
	}
	return context.Cause(c.ctx)
}

func (c *claim) gaveUp(ctx context.Context) error {
	return fmt.Errorf("%s: %w", c.dir, context.Cause(ctx))
}
