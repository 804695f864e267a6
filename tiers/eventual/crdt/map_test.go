package crdt

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// history is what several origins wrote, some of it unaware of each other.
func history(r *rand.Rand) (rs []*Record) {
	var origins []Origin
	for i := range 4 {
		origins = append(origins, Origin{fmt.Sprintf("m%d", i%3), uint64(i)})
	}
	seq := map[Origin]uint64{}
	for range 60 {
		o := origins[r.IntN(len(origins))]
		seq[o]++
		rs = append(rs, &Record{Path: fmt.Sprintf("/%d", r.IntN(8)), Clock: uint64(r.IntN(20)), Origin: o, Seq: seq[o], Deleted: r.IntN(4) == 0})
	}
	return rs
}

func (m *Map) dump() map[string]Record {
	d := make(map[string]Record)
	m.All(func(r *Record) bool { d[r.Path] = *r; return true })
	return d
}

func equal(a, b *Map) bool {
	return maps.EqualFunc(a.dump(), b.dump(), func(x, y Record) bool { return fmt.Sprint(x) == fmt.Sprint(y) })
}

func TestOrderAndRepetitionDoNotMatter(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		rs := history(r)
		a, b := New(), New()
		for _, x := range rs {
			a.Merge(x)
		}
		shuffled := append(append([]*Record{}, rs...), rs[:20]...)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for _, x := range shuffled {
			b.Merge(x)
		}
		if !equal(a, b) {
			t.Fatalf("seed %d: the maps differ", seed)
		}
	}
}

func TestDeltasConverge(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		a, b := New(), New()
		for _, x := range history(r) {
			// Each side gets most records directly; the rest is lost.
			if r.IntN(3) > 0 {
				a.Merge(x)
			}
			if r.IntN(3) > 0 {
				b.Merge(x)
			}
		}
		all := New()
		for _, m := range []*Map{a, b} {
			m.All(func(x *Record) bool { all.Merge(x); return true })
		}
		exchange := func(from, to *Map) int {
			rs := from.Delta(to.Known())
			for _, x := range rs {
				to.Merge(x)
			}
			to.Learn(from.Known())
			return len(rs)
		}
		exchange(a, b)
		exchange(b, a)
		if !equal(a, all) || !equal(b, all) {
			t.Fatalf("seed %d: after an exchange both ways the maps differ", seed)
		}
		// Nothing that was known through a gap goes again for ever.
		exchange(a, b)
		if n := exchange(a, b); n > 0 {
			for _, x := range a.Delta(b.Known()) {
				if a.Known()[x.Origin] >= x.Seq {
					t.Fatalf("seed %d: %v goes again though it is known", seed, x)
				}
			}
		}
	}
}

func TestForget(t *testing.T) {
	m := New()
	o := Origin{"a", 1}
	m.Merge(&Record{Path: "/gone", Clock: 5, Origin: o, Seq: 1, Deleted: true})
	m.Merge(&Record{Path: "/kept", Clock: 5, Origin: o, Seq: 2})
	m.Merge(&Record{Path: "/late", Clock: 9, Origin: o, Seq: 3, Deleted: true})
	if d := m.Forget(9); len(d) != 1 || d[0] != "/gone" || m.Len() != 2 {
		t.Errorf("dropped %v, %d left", d, m.Len())
	}
	if c := m.Tick(3); c != 10 {
		t.Errorf("the clock went to %d", c)
	}
}
