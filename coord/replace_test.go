package coord

import (
	"slices"
	"testing"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/strong"
)

// TestDiskIsGone: a voter comes back under its name with an empty directory. It is another member now, and has a vote once it has caught up.
func TestDiskIsGone(t *testing.T) {
	ns := nodesAt(t, 3)
	ready(t, ns...)
	publishedOf(t, ns[0], ns...)
	do(t, ns[0].Tier(), 0, create("/kept", tiers.Persistent))
	leader, others := leaderOf(t, ns)
	lost, stays := others[0], others[1]
	number, _ := lost.number()
	if err := lost.Close(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*Node{leader, stays} {
		until(t, "it is seen to be gone", func() bool {
			return !slices.ContainsFunc(n.members(), func(m acquainted) bool { return m.Name == lost.Name() && m.State == stateAlive })
		})
	}
	again := openNode(t, Config{Name: lost.Name(), Dir: t.TempDir(), Bind: "127.0.0.1:0", Join: []string{leader.Addr().String(), stays.Addr().String()}})
	ready(t, again)
	if now, _ := again.number(); now == number {
		t.Errorf("it is member %d as before, and has forgotten what that one has promised", now)
	}
	until(t, "it has a vote", func() bool { return len(votersOf(leader)) == 3 })
	for _, r := range leader.strong.Registered() {
		if r.Number == number && r.Rank != strong.RankRemoved {
			t.Errorf("the lost directory is still a member: %+v", r)
		}
	}
	if _, err := again.Tier().Read(t.Context(), tiers.Query{Path: "/kept", Want: tiers.WantData}); err != nil {
		t.Error(err)
	}
}
