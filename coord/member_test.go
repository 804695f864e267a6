package coord

import (
	"errors"
	"slices"
	"testing"

	"github.com/strata-coord/strata/tiers"
)

func TestChangeMember(t *testing.T) {
	ns := nodesAt(t, 3)
	ready(t, ns...)
	publishedOf(t, ns[0], ns...)
	leader, others := leaderOf(t, ns)
	asked, other := others[0], others[1]
	for _, c := range []struct {
		name   string
		change MemberChange
	}{{"nobody", RemoveMember}, {other.Name(), RemoveMember}, {other.Name(), "marry"}} {
		if err := asked.ChangeMember(t.Context(), c.name, c.change, false); !errors.Is(err, tiers.ErrBadArguments) {
			t.Errorf("%s %s: %v", c.change, c.name, err)
		}
	}
	for _, c := range []struct {
		change MemberChange
		voters int
	}{{DemoteMember, 2}, {DemoteMember, 2}, {PromoteMember, 3}} {
		if err := asked.ChangeMember(t.Context(), other.Name(), c.change, false); err != nil || len(votersOf(leader)) != c.voters {
			t.Fatalf("%s: %v, voters %v", c.change, err, votersOf(leader))
		}
	}
	list := asked.MemberList(t.Context())
	if len(list) != 3 || !slices.ContainsFunc(list, func(m MemberProgress) bool { return m.Leads && m.Known && m.Applied > 0 && m.Name == leader.Name() }) {
		t.Errorf("%+v", list)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	// Without the leader only one of two others would answer.
	if err := asked.ChangeMember(t.Context(), leader.Name(), DemoteMember, false); !errors.Is(err, tiers.ErrNewConfigNoQuorum) {
		t.Errorf("demote who is needed: %v", err)
	}
	if err := asked.ChangeMember(t.Context(), other.Name(), RemoveMember, false); err != nil || len(votersOf(leader)) != 2 {
		t.Fatalf("remove who is dead: %v, %v", err, votersOf(leader))
	}
	// The leader goes, after it has handed over.
	if err := asked.ChangeMember(t.Context(), leader.Name(), RemoveMember, true); err != nil || len(votersOf(asked)) != 1 {
		t.Fatalf("remove the leader: %v, %v", err, votersOf(asked))
	}
	do(t, asked.Tier(), 0, create("/alone", tiers.Persistent))
	if err := asked.ChangeMember(t.Context(), asked.Name(), RemoveMember, true); !errors.Is(err, tiers.ErrBadArguments) {
		t.Errorf("the last voter: %v", err)
	}
}
