package tiers

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Route gives the paths at and below Prefix to a tier.
type Route struct {
	Prefix string
	Tier   Tier
}

// SharedTree is implemented by a tier that shows, under another contract, the tree that another tier keeps. A [Router] takes
// both for one tree: a mount of such a tier is an ordinary znode, and a txn over both is no txn over several trees. Its Submit
// returns the Pending of that other tier.
type SharedTree interface{ TreeOf() Tier }

// Router joins tiers into one tree: the longest prefix that ends at a border of path components decides. It is a [Tier].
//
// Where a tier with another tree is mounted, the parent's children and their number include the mount's name; a znode
// of that name in the parent's tree is out of sight. Order holds per tree, with one exception: a Follow behind an answer of
// another tree waits for that answer, and what its session submits to the tree of the Follow meanwhile stays behind it.
type Router struct {
	routes map[string]Tier // by prefix; the root is "/". Never changes.
	tiers  []Tier          // each once. Never changes.
	trees  []Tier          // the tiers that keep the trees, each once. Never changes.
	// virtual are the names to add to the children of a path, sorted. Never changes.
	virtual map[string][]string

	order order
}

var _ Tier = (*Router)(nil)

// NewRouter routes "/" to root and each prefix to its tier. Errors: a missing tier, a prefix that is no clean path, or given twice.
func NewRouter(root Tier, routes ...Route) (*Router, error) {
	if err := checkTier(root); err != nil {
		return nil, fmt.Errorf("router: route %q: %w: every path needs a tier", "/", err)
	}
	r := &Router{routes: map[string]Tier{"/": root}, virtual: make(map[string][]string)}
	r.add(root)
	for _, route := range routes {
		if err := checkPrefix(route.Prefix); err != nil {
			return nil, fmt.Errorf("router: route %q: %w", route.Prefix, err)
		}
		if err := checkTier(route.Tier); err != nil {
			return nil, fmt.Errorf("router: route %q: %w", route.Prefix, err)
		}
		if _, twice := r.routes[route.Prefix]; twice {
			return nil, fmt.Errorf("router: route %q is given twice", route.Prefix)
		}
		r.routes[route.Prefix] = route.Tier
		r.add(route.Tier)
	}
	for prefix, t := range r.routes {
		if prefix == "/" {
			continue
		}
		parent, name := splitPath(prefix)
		if _, above := r.Route(parent); !sameTree(above, t) {
			r.virtual[parent] = append(r.virtual[parent], name)
		}
	}
	for _, names := range r.virtual {
		slices.Sort(names)
	}
	r.order.init()
	return r, nil
}

func checkTier(t Tier) error {
	switch v := reflect.ValueOf(t); {
	case !v.IsValid(), v.Kind() == reflect.Pointer && v.IsNil():
		return errors.New("no tier")
	case !v.Comparable():
		return fmt.Errorf("a %v cannot be told from other tiers: use a pointer", v.Type())
	}
	return nil
}

func checkPrefix(p string) error {
	switch {
	case p == "":
		return errors.New("the prefix is empty")
	case p[0] != '/':
		return errors.New("the prefix does not begin with a slash")
	case p == "/":
		return nil // NewRouter says that it is given twice
	case p[len(p)-1] == '/':
		return errors.New("the prefix ends with a slash")
	}
	for name := range strings.SplitSeq(p[1:], "/") {
		if name == "" || name == "." || name == ".." || strings.ContainsRune(name, 0) {
			return fmt.Errorf("the prefix has a component %q", name)
		}
	}
	return nil
}

func (r *Router) add(t Tier) {
	if !slices.Contains(r.tiers, t) {
		r.tiers = append(r.tiers, t)
	}
	if t = treeOf(t); !slices.Contains(r.trees, t) {
		r.trees = append(r.trees, t)
	}
}

func treeOf(t Tier) Tier {
	for {
		s, ok := t.(SharedTree)
		if !ok {
			return t
		}
		t = s.TreeOf()
	}
}

func sameTree(a, b Tier) bool { return treeOf(a) == treeOf(b) }

// splitPath is the parent's path and the name of a clean path that is not the root.
func splitPath(p string) (parent, name string) {
	i := strings.LastIndexByte(p, '/')
	return p[:max(i, 1)], p[i+1:]
}

// Route is the prefix that decides about path, and its tier.
func (r *Router) Route(path string) (prefix string, t Tier) {
	for {
		if t, ok := r.routes[path]; ok {
			return path, t
		}
		i := strings.LastIndexByte(path, '/')
		if i <= 0 {
			return "/", r.routes["/"]
		}
		path = path[:i]
	}
}

// Contract is that of path's tier.
func (r *Router) Contract(path string) Contract {
	_, t := r.Route(path)
	return t.Contract(path)
}

// Touch reaches every tree.
func (r *Router) Touch(id SessionID) {
	for _, t := range r.trees {
		t.Touch(id)
	}
}

// Read answers from path's tier; what is about several trees, from all of them.
func (r *Router) Read(ctx context.Context, q Query) (View, error) {
	if ps := r.parts(&q); ps != nil {
		return readAll(ctx, ps)
	}
	_, t := r.Route(q.Path)
	v, err := t.Read(ctx, q)
	if err == nil {
		r.merge(&q, &v)
	}
	return v, err
}

// merge adds the mounts below q.Path to what its tier tells.
func (r *Router) merge(q *Query, v *View) {
	names := r.mounts(q.Path)
	if len(names) == 0 || q.Want == WantNothing || q.Want == WantEphemerals {
		return
	}
	if q.Want != WantChildren {
		v.Stat.NumChildren += int32(len(names))
		return
	}
	all := make([]string, 0, len(v.Children)+len(names))
	all = append(append(all, v.Children...), names...)
	slices.Sort(all)
	v.Children = slices.Compact(all)
	v.Stat.NumChildren = int32(len(v.Children))
}

// mounts are the names to add to path's children.
func (r *Router) mounts(path string) []string {
	if path == "" {
		path = "/"
	}
	return r.virtual[path]
}

// Submit hands txn to the one tier of its paths.
func (r *Router) Submit(ctx context.Context, txn Txn) *Pending {
	t, refused := r.tierOf(&txn)
	if refused != nil {
		return refused
	}
	return r.order.submit(ctx, t, txn)
}

// tierOf is the one tier of all ops, or the refusal. Over tiers of one tree it is the one that keeps it.
func (r *Router) tierOf(txn *Txn) (t Tier, refused *Pending) {
	_, t = r.Route(firstPath(txn))
	for i := range txn.Ops {
		op := &txn.Ops[i]
		_, u := r.Route(op.Path)
		switch {
		case t == u:
		case sameTree(t, u):
			t = treeOf(t)
		default:
			return nil, refusal(txn, i, &ContractError{
				Tier: "router", Path: op.Path,
				What: fmt.Sprintf("a txn together with %s", txn.Ops[0].Path),
				Hint: "keep the paths of one txn in one tier, or route them to the same one",
			})
		}
		if op.Kind == OpDelete && op.Path != "/" && len(r.virtual[op.Path]) > 0 {
			return nil, refusal(txn, i, &OpError{Op: op.Kind.String(), Path: op.Path, Err: ErrNotEmpty})
		}
	}
	return t, nil
}

func firstPath(txn *Txn) string {
	if len(txn.Ops) == 0 {
		return "/"
	}
	return txn.Ops[0].Path
}

// refusal answers a txn whose op at index i is wrong.
func refusal(txn *Txn, i int, err error) *Pending {
	rs := make([]Result, len(txn.Ops))
	for j := range rs {
		switch {
		case j < i:
			rs[j].Err = ErrRolledBack
		case j == i:
			rs[j].Err = err
		default:
			rs[j].Err = ErrNotTried
		}
	}
	return Completed(Receipt{Results: rs}, err)
}

// Follow places q behind `after` in the tier of q.Path, or in each tree that it is about.
func (r *Router) Follow(ctx context.Context, q Query, after *Pending) *Pending {
	if ps := r.parts(&q); ps != nil {
		return r.order.followAll(ctx, q.Session, ps, after)
	}
	_, t := r.Route(q.Path)
	if len(r.mounts(q.Path)) == 0 {
		return r.order.follow(ctx, t, q, after, nil)
	}
	return r.order.follow(ctx, t, q, after, func(v *View) { r.merge(&q, v) })
}

// AddWatch arms the watch in path's tier; a recursive one also in the trees mounted below path.
func (r *Router) AddWatch(path string, scope Scope, w Watcher) error {
	armed := r.watched(path, scope)
	for i, t := range armed {
		if err := t.AddWatch(path, scope, w); err != nil {
			for _, u := range armed[:i] {
				u.Unwatch(w, path, scope)
			}
			return err
		}
	}
	return nil
}

// watched are the tiers whose events a watch of that scope on path wants: one of each tree.
func (r *Router) watched(path string, scope Scope) []Tier {
	_, t := r.Route(path)
	ts := []Tier{t}
	if scope != ScopeRecursive {
		return ts
	}
	below := strings.TrimSuffix(path, "/") + "/"
	for prefix, t := range r.routes {
		if strings.HasPrefix(prefix, below) && !slices.ContainsFunc(ts, func(u Tier) bool { return sameTree(t, u) }) {
			ts = append(ts, t)
		}
	}
	return ts
}

// HasWatch tells whether any tier has the watch.
func (r *Router) HasWatch(w Watcher, path string, scope Scope) bool {
	return slices.ContainsFunc(r.tiers, func(t Tier) bool { return t.HasWatch(w, path, scope) })
}

// Unwatch removes the watch from every tier.
func (r *Router) Unwatch(w Watcher, path string, scope Scope) bool {
	had := false
	for _, t := range r.tiers {
		had = t.Unwatch(w, path, scope) || had
	}
	return had
}
