package tiers

import (
	"context"
	"sync"
)

// order is what a [Router] remembers of unanswered requests, to keep each session's order where trees meet.
type order struct {
	mu sync.Mutex
	// places are the unanswered Pendings that the router has given out. Guarded by mu.
	places map[*Pending]place
	// lanes are what waits for answers of other trees; a lane is there until it is empty. Guarded by mu.
	lanes map[laneKey]*lane
}

// place is where an unanswered Pending stands.
type place struct {
	tier    Tier
	session SessionID // whose order it belongs to; 0: nobody's
	// in is the tier's own Pending; nil while the request waits in a lane.
	in  *Pending
	txn bool // it is a txn
}

// known tells whether t knows the place of at.in: it or the keeper of its tree gave it out.
func (at *place) known(t Tier) bool {
	return at.in != nil && (at.tier == t || at.tier == treeOf(t) || (at.txn && sameTree(at.tier, t)))
}

// A lane is one session's requests to one tree, the first of which follows an answer of another tree.
type laneKey struct {
	session SessionID
	tree    Tier
}

type lane struct {
	steps   []*step // in order; guarded by order.mu
	running bool    // somebody takes steps from the front; guarded by order.mu
}

type step struct {
	ready bool // the answer that it follows is there; guarded by order.mu
	run   func()
}

func (o *order) init() {
	o.places = make(map[*Pending]place)
	o.lanes = make(map[laneKey]*lane)
}

// track remembers p until it is answered.
func (o *order) track(p *Pending, at place) {
	if _, _, done := p.Result(); done {
		return
	}
	o.mu.Lock()
	o.places[p] = at
	o.mu.Unlock()
	p.Then(func(Receipt, error) {
		o.mu.Lock()
		delete(o.places, p)
		o.mu.Unlock()
	})
}

// submit hands txn to t, behind what waits in the session's lane.
func (o *order) submit(ctx context.Context, t Tier, txn Txn) *Pending {
	if txn.Session != 0 {
		key := laneKey{txn.Session, treeOf(t)}
		o.mu.Lock()
		if l := o.lanes[key]; l != nil {
			p := new(Pending)
			at := place{tier: t, session: txn.Session, txn: true}
			l.steps = append(l.steps, &step{ready: true, run: func() { o.enter(p, at, t.Submit(ctx, txn), nil) }})
			o.mu.Unlock()
			o.track(p, at)
			endWith(ctx, p)
			o.advance(key, l)
			return p
		}
		o.mu.Unlock()
	}
	p := t.Submit(ctx, txn)
	o.track(p, place{tier: t, session: txn.Session, txn: true, in: p})
	return p
}

// enter joins p, given out before, to what the tier gave.
func (o *order) enter(p *Pending, at place, in *Pending, merge func(*View)) {
	at.in = in
	o.mu.Lock()
	if _, waits := o.places[p]; waits {
		o.places[p] = at
	}
	o.mu.Unlock()
	in.Then(func(r Receipt, err error) {
		if err == nil && merge != nil {
			merge(&r.View)
		}
		p.Complete(r, err)
	})
}

// follow places q behind after. merge, if any, completes the view.
func (o *order) follow(ctx context.Context, t Tier, q Query, after *Pending, merge func(*View)) *Pending {
	at := place{tier: t, session: q.Session}
	done := after == nil
	if !done {
		_, _, done = after.Result()
	}
	if !done {
		o.mu.Lock()
		before := o.places[after]
		o.mu.Unlock()
		if before.session != 0 {
			at.session = before.session
		}
		if !before.known(t) {
			return o.wait(ctx, at, q, after, merge)
		}
		after = before.in
	}
	in := t.Follow(ctx, q, after)
	if merge == nil {
		at.in = in
		o.track(in, at)
		return in
	}
	p := new(Pending)
	o.track(p, at)
	o.enter(p, at, in, merge)
	return p
}

// wait follows an answer that the tier does not know.
func (o *order) wait(ctx context.Context, at place, q Query, after *Pending, merge func(*View)) *Pending {
	p := new(Pending)
	o.track(p, at)
	endWith(ctx, p)
	run := func() { o.enter(p, at, at.tier.Follow(ctx, q, nil), merge) }
	if at.session == 0 {
		after.Then(func(Receipt, error) { run() })
		return p
	}
	key := laneKey{at.session, treeOf(at.tier)}
	s := &step{run: run}
	o.mu.Lock()
	l := o.lanes[key]
	if l == nil {
		l = new(lane)
		o.lanes[key] = l
	}
	l.steps = append(l.steps, s)
	o.mu.Unlock()
	after.Then(func(Receipt, error) {
		o.mu.Lock()
		s.ready = true
		o.mu.Unlock()
		o.advance(key, l)
	})
	return p
}

// advance takes the steps that are ready, in order. The lane goes when its last step was taken: nothing can overtake it.
func (o *order) advance(key laneKey, l *lane) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l.running {
		return
	}
	l.running = true
	for len(l.steps) > 0 && l.steps[0].ready {
		run := l.steps[0].run
		l.steps = l.steps[1:]
		o.mu.Unlock()
		run()
		o.mu.Lock()
	}
	l.running = false
	if len(l.steps) == 0 {
		delete(o.lanes, key)
	}
}

// endWith completes p with ErrUnknownOutcome when ctx ends first.
func endWith(ctx context.Context, p *Pending) {
	if ctx.Done() == nil {
		return
	}
	stop := context.AfterFunc(ctx, func() {
		p.Complete(Receipt{}, p.Unknown(context.Cause(ctx)))
	})
	p.Then(func(Receipt, error) { stop() })
}
