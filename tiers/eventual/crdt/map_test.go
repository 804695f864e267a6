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
		rs = append(rs, &Record{Path: fmt.Sprintf("/%d", r.IntN(8)), Epoch: uint64(r.IntN(3)), Clock: uint64(r.IntN(20)), Origin: o, Seq: seq[o], Deleted: r.IntN(4) == 0})
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

// pull brings `to` all that `from` has, in deltas of limit bytes; between runs after each. It tells how many records went.
func pull(from, to *Map, limit int, between func()) (n int) {
	c := NewCursor(to.Known())
	for {
		rs, upTo, more := from.Delta(c.At(), limit)
		n += len(rs)
		for _, x := range rs {
			to.Merge(x)
		}
		to.Learn(c.Pass(rs, upTo))
		if !more {
			return n
		}
		between()
	}
}

func TestDeltasConverge(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 2))
		limit := []int{1, 300, 1 << 20}[seed%3]
		a, b, c := New(), New(), New()
		maps := []*Map{a, b, c}
		rs := history(r)
		// Each gets most records directly; the rest is lost.
		direct := func(rs []*Record) {
			for _, x := range rs {
				got := false
				for _, m := range maps {
					if r.IntN(3) > 0 {
						got = true
						m.Merge(x)
					}
				}
				if !got {
					a.Merge(x)
				}
			}
		}
		direct(rs[:30])
		// The rest comes while they exchange, and they exchange with the third meanwhile.
		between := func() {
			if n := min(len(rs)-30, 1+r.IntN(3)); n > 0 {
				direct(rs[30 : 30+n])
				rs = append(rs[:30], rs[30+n:]...)
			}
			x, y := maps[r.IntN(3)], maps[r.IntN(3)]
			if x != y {
				pull(x, y, limit, func() {})
			}
		}
		pull(a, b, limit, between)
		pull(b, c, limit, between)
		direct(rs[30:])
		nothing := func() {}
		for range 2 {
			pull(a, b, limit, nothing)
			pull(b, c, limit, nothing)
			pull(c, a, limit, nothing)
		}
		all := New()
		for _, m := range maps {
			m.All(func(x *Record) bool { all.Merge(x); return true })
		}
		for i, m := range maps {
			if !equal(m, all) {
				t.Fatalf("seed %d: map %d lacks something after all exchanges:\n%v\n%v", seed, i, m.dump(), all.dump())
			}
		}
	}
}

// Who takes everything over from a map without gaps is never sent it again.
func TestDeltasEnd(t *testing.T) {
	a, b := New(), New()
	for _, x := range history(rand.New(rand.NewPCG(1, 3))) {
		a.Merge(x)
	}
	if n := pull(a, b, 200, func() {}); n != a.Len() {
		t.Errorf("%d records went, of %d", n, a.Len())
	}
	if n := pull(a, b, 200, func() {}); n != 0 {
		t.Errorf("%d records went again", n)
	}
	if rs, upTo, more := a.Delta(nil, 0); len(rs) != 1 || !more || upTo[rs[0].Origin] < rs[0].Seq {
		t.Errorf("the smallest delta has %d records up to %v", len(rs), upTo)
	}
}

func TestForgetStarts(t *testing.T) {
	m := New()
	first, second, other := Origin{"a", 1}, Origin{"a", 2}, Origin{"b", 1}
	m.Merge(&Record{Path: "/x", Clock: 1, Origin: first, Seq: 1})
	m.Merge(&Record{Path: "/y", Clock: 2, Origin: first, Seq: 2})
	m.Merge(&Record{Path: "/x", Clock: 3, Origin: second, Seq: 1})
	m.Merge(&Record{Path: "/z", Clock: 4, Origin: other, Seq: 1})
	m.Merge(&Record{Path: "/z", Clock: 5, Origin: second, Seq: 2})
	m.Forget(0)
	if k := m.Known(); len(k) != 3 {
		t.Errorf("known %v", k)
	}
	y := m.Get("/y")
	m.Merge(&Record{Path: "/y", Clock: 6, Origin: second, Seq: 3, Deleted: true})
	m.Forget(7)
	if k := m.Known(); len(k) != 2 || k[first] != 0 || k[other] != 1 {
		t.Errorf("of a start that nothing is left of: %v", k)
	}
	// Somebody who was away for longer brings it back: once.
	m.Merge(y)
	if rs, _, _ := m.Delta(Vector{second: 9, other: 9}, 1<<20); len(rs) != 1 || rs[0] != y {
		t.Errorf("delta %v", rs)
	}
}

// Who took a session over has the last word over its former host, by whatever clock.
func TestEpochsLead(t *testing.T) {
	m := New()
	taken := &Record{Path: "/e", Epoch: 2, Clock: 10, Origin: Origin{"b", 1}, Seq: 1, Session: 7}
	m.Merge(taken)
	if m.Merge(&Record{Path: "/e", Epoch: 1, Clock: 99, Origin: Origin{"a", 1}, Seq: 5, Deleted: true, Session: 7}) || m.Get("/e") != taken {
		t.Error("the former host's word won")
	}
	if c := m.Tick(0); c != 100 {
		t.Errorf("the clock went to %d", c)
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
