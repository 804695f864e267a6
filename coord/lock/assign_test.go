package lock

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// owners checks that each shard is assigned once, if at all, and returns to whom.
func owners(t *testing.T, n int, members []share, lists [][]int) []int {
	t.Helper()
	of := slices.Repeat([]int{-1}, n)
	for i, list := range lists {
		if !slices.IsSorted(list) {
			t.Fatalf("%v is not sorted", list)
		}
		for _, shard := range list {
			if shard < 0 || shard >= n || of[shard] >= 0 {
				t.Fatalf("shard %d of %d: of %d and of %d", shard, n, of[shard], i)
			}
			of[shard] = i
		}
	}
	return of
}

// checkBalance fails unless everybody has its exact share, rounded down or up.
func checkBalance(t *testing.T, n int, members []share, lists [][]int) {
	t.Helper()
	total, assigned := 0, 0
	for i, m := range members {
		total += m.weight
		assigned += len(lists[i])
	}
	if total == 0 {
		n = 0
	}
	if assigned != n {
		t.Fatalf("%d of %d shards are assigned", assigned, n)
	}
	for i, m := range members {
		if total > 0 && (len(lists[i]) < n*m.weight/total || len(lists[i]) > (n*m.weight+total-1)/total) {
			t.Fatalf("%d of %d shards for weight %d of %d", len(lists[i]), n, m.weight, total)
		}
	}
}

// TestAssignKeepsItsPromises, for members that come, go and change their weights at random.
func TestAssignKeepsItsPromises(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		dice := rand.New(rand.NewPCG(seed, 1))
		n := dice.IntN(200)
		var members []share
		for step := range 30 {
			switch k := dice.IntN(4); {
			case k == 0 && len(members) > 0:
				left := dice.IntN(len(members))
				members = slices.Delete(members, left, left+1)
			case k == 1 && len(members) > 0:
				members[dice.IntN(len(members))].weight = dice.IntN(4)
			case k >= 2:
				members = append(members, share{id: fmt.Sprintf("%x", dice.Uint64()), weight: 1 + dice.IntN(3)})
			}
			lists := assign(n, members)
			now := owners(t, n, members, lists)
			checkBalance(t, n, members, lists)

			// As few moves as that allows: another valid way to round can't keep more.
			stays := 0
			for i, m := range members {
				for _, shard := range m.has {
					if now[shard] == i {
						stays++
					}
				}
			}
			if most := mostKept(n, members); stays != most {
				t.Fatalf("seed %d, step %d: %d of %d shards stay where they were; %d could", seed, step, stays, n, most)
			}
			// The order in which the members are listed is nothing.
			shuffled := slices.Clone(members)
			dice.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			again := assign(n, shuffled)
			for i, m := range shuffled {
				j := slices.IndexFunc(members, func(o share) bool { return o.id == m.id })
				if !slices.Equal(again[i], lists[j]) {
					t.Fatalf("in another order: %v, %v", again[i], lists[j])
				}
			}
			for i := range members {
				members[i].has = lists[i]
			}
			// And when nothing changes, nothing moves.
			for i, list := range assign(n, members) {
				if !slices.Equal(list, lists[i]) {
					t.Fatalf("moved without a reason: %v, %v", list, lists[i])
				}
			}
		}
	}
}

// mostKept is how many shards can stay where they are: all who have a fraction compete for the seats above the whole shares.
func mostKept(n int, members []share) int {
	total := 0
	for _, m := range members {
		total += m.weight
	}
	if total == 0 {
		return 0
	}
	kept, seats, wanted := 0, n, 0
	for _, m := range members {
		whole := n * m.weight / total
		seats -= whole
		kept += min(len(m.has), whole)
		if n*m.weight%total != 0 && len(m.has) > whole {
			wanted++
		}
	}
	return kept + min(seats, wanted)
}

func TestAssignMovesOnlyWhatItMust(t *testing.T) {
	t.Parallel()
	members := []share{{id: "a", weight: 1}, {id: "b", weight: 1}, {id: "c", weight: 1}}
	for i, list := range assign(12, members) {
		members[i].has = list
	}
	joined := append(slices.Clone(members), share{id: "d", weight: 1})
	for i, list := range assign(12, joined) {
		if i < 3 && (len(list) != 3 || !subset(list, members[i].has)) || i == 3 && len(list) != 3 {
			t.Errorf("%s had %v, and with d has %v", joined[i].id, joined[i].has, list)
		}
	}
	for i, list := range assign(12, members[:2]) {
		if len(list) != 6 || !subset(members[i].has, list) {
			t.Errorf("%s had %v, and without c has %v", members[i].id, members[i].has, list)
		}
	}
}

func subset(of, all []int) bool {
	return !slices.ContainsFunc(of, func(x int) bool { return !slices.Contains(all, x) })
}

func TestAssignTakesAnything(t *testing.T) {
	t.Parallel()
	members := []share{{id: "a", weight: 1, has: []int{3, -1, 99, 1, 1}}, {id: "b", weight: 1, has: []int{1, 3, 0}}, {id: "c", weight: 0, has: []int{2}}}
	lists := assign(4, members)
	owners(t, 4, members, lists)
	checkBalance(t, 4, members, lists)
	if got := fmt.Sprint(lists); got != "[[1 3] [0 2] []]" {
		t.Errorf("assigned %s", got)
	}
	if got := fmt.Sprint(assign(3, []share{{id: "a", has: []int{1}}})); got != "[[]]" {
		t.Errorf("without weights: %s", got)
	}
	if got := assign(3, nil); len(got) != 0 {
		t.Errorf("without members: %v", got)
	}
	huge := []share{{id: "a", weight: 1 << 62}, {id: "b", weight: 1 << 62}}
	if got := assign(10, huge); len(got[0]) != 5 || len(got[1]) != 5 {
		t.Errorf("huge weights: %v", got)
	}
}
