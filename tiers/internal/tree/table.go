package tree

import (
	"cmp"
	"maps"
	"slices"
)

const shards = 256

// table is a map whose state at one moment can be walked in pieces while it goes on changing: when a walk is on, the first
// change of an entry in a shard that the walk has yet to reach keeps the entry's old value. Beginning a walk is O(1).
//
// Callers synchronize: changes and each step of a walk under one lock.
type table[K cmp.Ordered, V any] struct {
	hash    func(K) uint32
	live    [shards]map[K]*V
	undo    [shards]map[K]*V // only while walking: old values, nil for entries that were not there
	walking bool
	next    int // the first shard that the walk has yet to reach
	size    int
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

func hashNumber[K ~int64 | ~uint64](k K) uint32 { return uint32(uint64(k) * 0x9e3779b97f4a7c15 >> 32) }

func (t *table[K, V]) shard(k K) int { return int(t.hash(k) % shards) }

// get returns the entry, which must not be changed but through change.
func (t *table[K, V]) get(k K) *V { return t.live[t.shard(k)][k] }

// change returns the entry for writing; nil if there is none.
func (t *table[K, V]) change(k K) *V {
	i := t.shard(k)
	v := t.live[i][k]
	if v != nil {
		t.keep(i, k, v)
	}
	return v
}

func (t *table[K, V]) put(k K, v *V) {
	i := t.shard(k)
	old := t.live[i][k]
	t.keep(i, k, old)
	if old == nil {
		t.size++
	}
	t.live[i][k] = v
}

func (t *table[K, V]) delete(k K) {
	i := t.shard(k)
	if old := t.live[i][k]; old != nil {
		t.keep(i, k, old)
		delete(t.live[i], k)
		t.size--
	}
}

func (t *table[K, V]) keep(i int, k K, old *V) {
	if !t.walking || i < t.next {
		return
	}
	if _, kept := t.undo[i][k]; kept {
		return
	}
	if t.undo[i] == nil {
		t.undo[i] = make(map[K]*V)
	}
	if old != nil {
		c := *old
		old = &c
	}
	t.undo[i][k] = old
}

// begin starts a walk.
func (t *table[K, V]) begin() { t.walking, t.next = true, 0 }

// step calls f with each entry of the next shard as it was at begin, in the order of keys, and tells whether there are more. f
// must not keep the value.
func (t *table[K, V]) step(f func(K, *V)) (more bool) {
	i := t.next
	old := make(map[K]*V, len(t.live[i]))
	maps.Copy(old, t.live[i])
	maps.Copy(old, t.undo[i])
	for _, k := range slices.Sorted(maps.Keys(old)) {
		if v := old[k]; v != nil {
			f(k, v)
		}
	}
	t.undo[i] = nil
	t.next++
	if t.next == shards {
		t.end()
		return false
	}
	return true
}

// end gives the walk up.
func (t *table[K, V]) end() {
	t.walking = false
	clear(t.undo[:])
}

func (t *table[K, V]) each(f func(K, *V) bool) {
	for i := range t.live {
		for k, v := range t.live[i] {
			if !f(k, v) {
				return
			}
		}
	}
}
