package history

import (
	"context"
	"sync"

	"github.com/strata-coord/strata/tiers"
)

// Client is a caller of one member's tier: a tiers.Tier that writes down what it is asked and what it answers. It counts as one client for its
// life; a caller that moves to another member takes a new one there, with the same session.
type Client struct {
	tiers.Tier
	rec    *Recorder
	name   string
	member string

	mu       sync.Mutex
	watchers map[tiers.Watcher]*ear // guarded by mu
}

// Client returns the tier of a member, as seen by a caller with that name, for people.
func (r *Recorder) Client(name, member string, t tiers.Tier) *Client {
	return &Client{Tier: t, rec: r, name: name, member: member, watchers: make(map[tiers.Watcher]*ear)}
}

// Leave says that the member is gone or the client has left it: its watches are not owed anything from now on.
func (c *Client) Leave() {
	c.rec.mu.Lock()
	defer c.rec.mu.Unlock()
	at := c.rec.now()
	for _, a := range c.rec.arms {
		if a.client == c && a.until.seq == never {
			a.until = at
		}
	}
}

func (c *Client) call(txn *tiers.Txn, q *tiers.Query, local bool) *Op {
	c.rec.mu.Lock()
	defer c.rec.mu.Unlock()
	o := &Op{client: c, txn: txn, query: q, called: c.rec.now(), done: stamp{seq: never}, local: local}
	c.rec.ops = append(c.rec.ops, o)
	return o
}

func (o *Op) answer(zxid tiers.Zxid, results []tiers.Result, view tiers.View, err error) {
	o.client.rec.mu.Lock()
	defer o.client.rec.mu.Unlock()
	o.done, o.outcome, o.err, o.zxid, o.results, o.view = o.client.rec.now(), outcomeOf(err), err, zxid, results, view
	if o.query != nil && o.outcome == Unknown {
		o.outcome = Refused // a read changes nothing
	}
	if o.view.ACL = nil; o.query == nil || o.query.Want != tiers.WantChildren {
		o.view.Children = nil
	}
}

// Submit implements tiers.Tier.
func (c *Client) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	o := c.call(&txn, nil, false)
	p := c.Tier.Submit(ctx, txn)
	p.Then(func(r tiers.Receipt, err error) { o.answer(r.Zxid, r.Results, tiers.View{}, err) })
	return p
}

// Read implements tiers.Tier.
func (c *Client) Read(ctx context.Context, q tiers.Query) (tiers.View, error) {
	o := c.call(nil, &q, c.local(&q))
	a := c.arm(o, &q)
	view, err := c.Tier.Read(ctx, q)
	o.answer(view.Zxid, nil, view, err)
	a.armed(o)
	return view, err
}

// Follow implements tiers.Tier.
func (c *Client) Follow(ctx context.Context, q tiers.Query, after *tiers.Pending) *tiers.Pending {
	o := c.call(nil, &q, c.local(&q))
	a := c.arm(o, &q)
	p := c.Tier.Follow(ctx, q, after)
	p.Then(func(r tiers.Receipt, err error) {
		o.answer(r.View.Zxid, nil, r.View, err)
		a.armed(o)
	})
	return p
}

func (c *Client) local(q *tiers.Query) bool {
	return q.Local || !q.Fresh && !c.Tier.Contract(q.Path).Linearizable
}

// AddWatch implements tiers.Tier.
func (c *Client) AddWatch(path string, scope tiers.Scope, w tiers.Watcher) error {
	e := c.ear(w)
	e.lasts(scope)
	return c.Tier.AddWatch(path, scope, e)
}

// HasWatch implements tiers.Tier.
func (c *Client) HasWatch(w tiers.Watcher, path string, scope tiers.Scope) bool {
	return c.Tier.HasWatch(c.ear(w), path, scope)
}

// Unwatch implements tiers.Tier. What it removes is not owed anything from now on.
func (c *Client) Unwatch(w tiers.Watcher, path string, scope tiers.Scope) bool {
	e := c.ear(w)
	c.rec.mu.Lock()
	at := c.rec.now()
	for _, a := range c.rec.arms {
		if a.ear == e && a.until.seq == never && (path == "" || a.path == path && (scope == tiers.ScopeAny || a.scope == scope)) {
			a.until = at
		}
	}
	c.rec.mu.Unlock()
	return c.Tier.Unwatch(e, path, scope)
}

// Touch implements tiers.Tier.
func (c *Client) Touch(id tiers.SessionID) {
	c.rec.touched(id)
	c.Tier.Touch(id)
}
