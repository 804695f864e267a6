package tree

import (
	"cmp"
	"slices"
)

// shards is how many pieces a walk goes in: at a million entries a piece is four thousand, gathered in about 0.1 ms.
const shards = 256

// table is a map of immutable values whose state at one moment can be walked in pieces while it goes on changing. While a walk
// is on, the first change of an entry in a shard that the walk has yet to reach keeps the entry's old value aside; as values
// are never changed in place, that is a pointer. Beginning a walk is O(1).
//
// Callers synchronize: put and begin exclude everything; get, each and step may run beside each other, but one step at a time.
type table[K cmp.Ordered, V any] struct {
	hash    func(K) uint32
	live    [shards]map[K]*V
	undo    [shards]map[K]*V // only while walking: old values, nil for entries that were not there
	walking bool
	next    int // the first shard that the walk has yet to reach
	size    int
	leaky   bool // planted: see FlawLeakySnapshot
}

// entry is a value that a walk comes by.
type entry[K cmp.Ordered, V any] struct {
	key   K
	value *V
}

func newTable[K cmp.Ordered, V any](hash func(K) uint32) *table[K, V] {
	t := &table[K, V]{hash: hash}
	for i := range t.live {
		t.live[i] = make(map[K]*V)
	}
	return t
}

// hashString is FNV-1a: the same on every member, so that equal trees stream equal snapshots.
func hashString(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

// hashNumber spreads numbers that follow each other.
func hashNumber[K ~int64](k K) uint32 { return uint32(uint64(k) * 0x9e3779b97f4a7c15 >> 32) }

func (t *table[K, V]) shard(k K) int { return int(t.hash(k) % shards) }

// get returns the value of k; nil if there is none.
func (t *table[K, V]) get(k K) *V { return t.live[t.shard(k)][k] }

// put makes v the value of k (nil: takes k away) and returns the value before. v must not be changed any more.
func (t *table[K, V]) put(k K, v *V) (old *V) {
	i := t.shard(k)
	live := t.live[i]
	old = live[k]
	if t.walking && i >= t.next && !t.leaky {
		if t.undo[i] == nil {
			t.undo[i] = make(map[K]*V)
		}
		if _, kept := t.undo[i][k]; !kept {
			t.undo[i][k] = old
		}
	}
	switch {
	case v != nil:
		live[k] = v
		if old == nil {
			t.size++
		}
	case old != nil:
		delete(live, k)
		t.size--
	}
	return old
}

// begin starts a walk. There is at most one.
func (t *table[K, V]) begin() { t.walking, t.next = true, 0 }

// step appends the entries of the next shard, as they were at begin, in no order, and tells whether there may be more.
func (t *table[K, V]) step(to []entry[K, V]) (_ []entry[K, V], more bool) {
	if !t.walking || t.next == shards {
		return to, false
	}
	undo := t.undo[t.next]
	for k, v := range t.live[t.next] {
		if _, changed := undo[k]; !changed {
			to = append(to, entry[K, V]{k, v})
		}
	}
	for k, v := range undo {
		if v != nil {
			to = append(to, entry[K, V]{k, v})
		}
	}
	t.undo[t.next] = nil
	t.next++
	return to, t.next < shards
}

// end gives the walk up, or acknowledges its end. It excludes put, as begin does.
func (t *table[K, V]) end() {
	t.walking = false
	clear(t.undo[:])
}

// each calls f with all entries, in no order, until it returns false.
func (t *table[K, V]) each(f func(K, *V) bool) {
	for i := range t.live {
		for k, v := range t.live[i] {
			if !f(k, v) {
				return
			}
		}
	}
}

func sortEntries[K cmp.Ordered, V any](es []entry[K, V]) {
	slices.SortFunc(es, func(a, b entry[K, V]) int { return cmp.Compare(a.key, b.key) })
}
