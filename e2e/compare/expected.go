package compare

import (
	"slices"
	"strings"
)

// Expectation is a difference that is meant to be, or that waits for work that is under way.
type Expectation struct {
	// Story, At, Real and Ours are those of the Difference; * stands for any text.
	Story, At, Real, Ours string
	// Ends: the servers' states differ from there on, so the rest of the story is not compared.
	Ends bool
	// Cluster: it occurs when Strata has several members; they are compared with one ZooKeeper, not with several.
	Cluster bool
	// Maybe: it depends on the moment.
	Maybe bool
	// Why says it in short, and Docs are words of docs/zk-compat.md that tell clients; empty for what is pending, and for
	// what several ZooKeepers do too.
	Why, Docs string
}

// like tells whether s is what the pattern says.
func like(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	rest, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, p := range parts[1:last] {
		_, after, found := strings.Cut(rest, p)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[last])
}

func (e *Expectation) covers(d *Difference) bool {
	return like(e.Story, d.Story) && like(e.At, d.At) && like(e.Real, d.Real) && like(e.Ours, d.Ours)
}

// Ledger sorts differences into expected ones and others, and knows which expectations were met.
type Ledger struct {
	Cluster  bool // Strata has several members
	Expected []Expectation
	met      []bool
}

// Unexpected returns the differences that no expectation covers.
func (l *Ledger) Unexpected(ds []Difference) (bad []Difference) {
	if l.met == nil {
		l.met = make([]bool, len(l.Expected))
	}
	for i := range ds {
		n := slices.IndexFunc(l.Expected, func(e Expectation) bool { return (l.Cluster || !e.Cluster) && e.covers(&ds[i]) })
		if n < 0 {
			bad = append(bad, ds[i])
			continue
		}
		l.met[n] = true
		if l.Expected[n].Ends {
			break
		}
	}
	return bad
}

// Unmet are the expectations that no difference has met so far.
func (l *Ledger) Unmet() (es []Expectation) {
	for i, e := range l.Expected {
		if !e.Maybe && !e.Cluster && (i >= len(l.met) || !l.met[i]) {
			es = append(es, e)
		}
	}
	return es
}
