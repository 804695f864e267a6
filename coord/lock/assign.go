package lock

import (
	"cmp"
	"math/bits"
	"slices"
)

// share is a member that shards are assigned to.
type share struct {
	id     string
	weight int   // 0: it is to have none
	has    []int // the shards that it is to have up to now
}

// assign says who is to have each of the shards 0 … n-1: for each member, in the order given, a sorted list. It depends on nothing but its arguments, and not on the
// order of the members.
//
// Balance: a member's number of shards is its exact share, n*weight/sum of weights, rounded down or up. Stickiness: as many shards as that allows stay where
// they are; so when it was balanced, nothing moves, and who joins or leaves moves only what it gets or had. Without a weight nobody has any.
func assign(n int, members []share) [][]int {
	order := make([]int, len(members)) // of the members, whatever order they were given in
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(members[a].id, members[b].id) })

	// What each has, each shard counted once.
	taken := make([]bool, n)
	kept := make([][]int, len(members))
	for _, i := range order {
		for _, shard := range slices.Sorted(slices.Values(members[i].has)) {
			if shard >= 0 && shard < n && !taken[shard] && members[i].weight > 0 {
				taken[shard] = true
				kept[i] = append(kept[i], shard)
			}
		}
	}
	quota := quotas(n, members, order, kept)
	for _, i := range order {
		for _, shard := range kept[i][min(len(kept[i]), quota[i]):] {
			taken[shard] = false
		}
		kept[i] = kept[i][:min(len(kept[i]), quota[i])]
	}
	next := 0
	for shard := range n {
		if taken[shard] {
			continue
		}
		for next < len(order) && len(kept[order[next]]) == quota[order[next]] {
			next++
		}
		if next == len(order) {
			break // nobody has a weight
		}
		kept[order[next]] = append(kept[order[next]], shard)
	}
	for _, shards := range kept {
		slices.Sort(shards)
	}
	return kept
}

// quotas is how many shards each is to have. Those are rounded up that keep one more by it, and then those with the largest remainders.
func quotas(n int, members []share, order []int, kept [][]int) []int {
	quota := make([]int, len(members))
	total := uint64(0)
	for _, m := range members {
		total += uint64(max(m.weight, 0))
	}
	if total == 0 {
		return quota
	}
	rest := make([]uint64, len(members))
	left := n
	for i, m := range members {
		hi, lo := bits.Mul64(uint64(n), uint64(max(m.weight, 0)))
		whole, remainder := bits.Div64(hi, lo, total)
		quota[i], rest[i] = int(whole), remainder
		left -= int(whole)
	}
	up := slices.DeleteFunc(slices.Clone(order), func(i int) bool { return rest[i] == 0 })
	slices.SortStableFunc(up, func(a, b int) int {
		if more := cmp.Compare(b2i(len(kept[b]) > quota[b]), b2i(len(kept[a]) > quota[a])); more != 0 {
			return more
		}
		return cmp.Compare(rest[b], rest[a])
	})
	for _, i := range up[:left] { // the remainders add up to a whole number below their count
		quota[i]++
	}
	return quota
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
