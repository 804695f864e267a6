package tiers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
)

// Some reads are about paths of several trees: how many znodes are below a path that trees are mounted below, and the
// ephemerals that a session has anywhere. A Router asks each tree and puts the answers together. The trees are not asked at
// one moment, as there is none that they share.

// part is what one tree is asked for such a read.
type part struct {
	tier Tier
	q    Query
	add  func(to *View, answer View)
	// lenient: a znode that is not there counts as nothing.
	lenient bool
}

// parts are what answers q; nil when the tier of its path does so alone.
func (r *Router) parts(q *Query) []part {
	switch q.Want {
	case WantDescendants:
		return r.descendants(q)
	case WantEphemerals:
		return r.ephemerals(q)
	default:
		return nil
	}
}

// descendants adds to the znodes below q.Path in its own tree those that the mounts below it bring, and takes away those that
// they hide.
func (r *Router) descendants(q *Query) (ps []part) {
	path := q.Path
	if path == "" {
		path = "/"
	}
	_, own := r.Route(path)
	mounts := 0
	for _, prefix := range r.mountsBelow(path) {
		parent, _ := splitPath(prefix)
		_, hidden := r.Route(parent)
		below := *q
		below.Path, below.Caller = prefix, []Identity{{Scheme: "super"}} // it is q.Path's ACL that counts
		ps = append(ps,
			part{tier: r.routes[prefix], q: below, lenient: true, add: func(to *View, v View) { to.Count += v.Count }},
			part{tier: hidden, q: below, lenient: true, add: func(to *View, v View) { to.Count -= v.Count + 1 }})
		mounts++
	}
	if mounts == 0 {
		return nil
	}
	return append([]part{{tier: own, q: *q, add: func(to *View, v View) {
		*to = v
		to.Count += int32(mounts)
	}}}, ps...)
}

// mountsBelow are the prefixes below path where another tree is mounted than that of the parent.
func (r *Router) mountsBelow(path string) (prefixes []string) {
	top := strings.TrimSuffix(path, "/") + "/"
	for parent, names := range r.virtual {
		for _, name := range names {
			if prefix := strings.TrimSuffix(parent, "/") + "/" + name; strings.HasPrefix(prefix, top) {
				prefixes = append(prefixes, prefix)
			}
		}
	}
	slices.Sort(prefixes)
	return prefixes
}

// ephemerals asks every tree that has paths which begin with q.Path, and leaves out what mounts hide.
func (r *Router) ephemerals(q *Query) (ps []part) {
	// What begins with the prefix is in its last whole component's tier, or in one mounted at or below a longer path.
	_, t := r.Route(q.Path[:max(strings.LastIndexByte(q.Path, '/'), 0)])
	ts := []Tier{t}
	for prefix, t := range r.routes {
		if !strings.HasPrefix(prefix, q.Path) {
			continue
		}
		same := func(u Tier) bool { return sameTree(t, u) }
		switch i := slices.IndexFunc(ts, same); {
		case i < 0:
			ts = append(ts, t)
		case ts[i] != t:
			ts[i] = treeOf(t) // under two contracts: the one that keeps it promises the most
		}
	}
	for _, t := range ts {
		ps = append(ps, part{tier: t, q: *q, add: func(to *View, v View) {
			for _, path := range v.Children {
				if _, shown := r.Route(path); sameTree(shown, t) {
					to.Children = append(to.Children, path)
				}
			}
			slices.Sort(to.Children)
		}})
	}
	return ps
}

// answer is that of one part.
type answer struct {
	view View
	err  error
}

// put puts the answers together, in the order of the parts.
func put(ps []part, as []answer) (v View, err error) {
	var zxid Zxid
	for i, a := range as {
		zxid = max(zxid, a.view.Zxid)
		switch {
		case a.err == nil:
			staleness := max(v.Staleness, a.view.Staleness)
			ps[i].add(&v, a.view)
			v.Staleness = staleness
		case ps[i].lenient && errors.Is(a.err, ErrNoNode):
		default:
			return View{Zxid: zxid}, a.err
		}
	}
	v.Zxid = zxid
	return v, nil
}

// readAll is Read for a query of several parts.
func readAll(ctx context.Context, ps []part) (View, error) {
	as := make([]answer, len(ps))
	for i := range ps {
		as[i].view, as[i].err = ps[i].tier.Read(ctx, ps[i].q)
	}
	return put(ps, as)
}

// followAll is Follow for a query of several parts: each takes its place in its own tree.
func (o *order) followAll(ctx context.Context, session SessionID, ps []part, after *Pending) *Pending {
	p := new(Pending)
	o.track(p, place{tier: ps[0].tier, session: session})
	var mu sync.Mutex
	as, left := make([]answer, len(ps)), len(ps) // guarded by mu
	for i := range ps {
		o.follow(ctx, ps[i].tier, ps[i].q, after, nil).Then(func(r Receipt, err error) {
			r.View.Zxid = max(r.View.Zxid, r.Zxid)
			mu.Lock()
			as[i] = answer{r.View, err}
			left--
			last := left == 0
			mu.Unlock()
			if last {
				v, err := put(ps, as)
				p.Complete(Receipt{Zxid: v.Zxid, View: v}, err)
			}
		})
	}
	return p
}
