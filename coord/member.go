package coord

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// MemberChange is what shall become of a member.
type MemberChange string

const (
	RemoveMember  MemberChange = "remove"  // out of the cluster, for good
	PromoteMember MemberChange = "promote" // a vote, once it has caught up
	DemoteMember  MemberChange = "demote"  // no vote any more; it stays as a replica
)

// memberCall is a ChangeMember on its way to the leader.
type memberCall struct {
	_msgpack struct{} `msgpack:",as_array"`
	Name     string
	Change   MemberChange
	Force    bool
}

// MemberProgress is a member with how far it has come.
type MemberProgress struct {
	Member
	Leads bool
	// Applied is the log index that its tree has applied; Known is false if it did not answer.
	Applied uint64
	Known   bool
}

// MemberList asks all members how far they have come; who does not answer within a few heartbeats is listed without.
func (n *Node) MemberList(ctx context.Context) (list []MemberProgress) {
	var names []string
	ms := n.members()
	for _, m := range ms {
		names = append(names, m.Name)
	}
	applied := n.strong.Progress(ctx, names)
	leader, _ := n.strong.Leader()
	for _, m := range ms {
		index, known := applied[m.Name]
		list = append(list, MemberProgress{Member: m.Member, Leads: m.Name == leader, Applied: index, Known: known})
	}
	return list
}

// ChangeMember changes one member for good; any member may be asked. Unless forced, a live member is not removed, and nobody loses a vote without whom no
// majority answers. The last voter stays in any case. Errors: tiers.ErrBadArguments: no such member, or it is alive, or the last voter; tiers.ErrNewConfigNoQuorum;
// tiers.ErrReconfigInProgress; tiers.ErrUnavailable without a leader; tiers.ErrUnknownOutcome: the leader was lost meanwhile: look, and ask again.
func (n *Node) ChangeMember(ctx context.Context, name string, change MemberChange, force bool) error {
	ctx, cancel := context.WithTimeout(ctx, reconfigTimeout)
	defer cancel()
	call := &memberCall{Name: name, Change: change, Force: force}
	asked := time.Now()
	for {
		moved := n.strong.LeaderChanged()
		a, heard := n.askLeader(ctx, methodMember, call, func() *reconfigAnswer { return n.changeMember(ctx, call) })
		var err error
		switch {
		case heard && !a.Again:
			if err = a.fault(); err != nil {
				return fmt.Errorf("coord: %s member %s: %w", change, name, err)
			}
			return nil
		case heard:
			asked = time.Now()
		case time.Since(asked) > leaderPatience:
			return fmt.Errorf("coord: %s member %s: %w: no leader answers: a majority of the voters must reach each other", change, name, tiers.ErrUnavailable)
		}
		select {
		case <-moved:
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("coord: %s member %s: %w", change, name, &tiers.UnknownOutcomeError{Cause: context.Cause(ctx)})
		}
	}
}

// changeMember is ChangeMember at the leader.
func (n *Node) changeMember(ctx context.Context, call *memberCall) *reconfigAnswer {
	switch {
	case !n.strong.Leads():
		return &reconfigAnswer{Again: true}
	case !n.changes.enter():
		return refusal(tiers.ErrReconfigInProgress)
	}
	defer n.changes.leave()
	if err := n.changes.begin(ctx); err != nil {
		return refusal(err)
	}
	defer n.changes.end()
	again, err := n.change(ctx, call)
	if err != nil {
		return refusal(err)
	}
	return &reconfigAnswer{Again: again}
}

func (n *Node) change(ctx context.Context, call *memberCall) (again bool, err error) {
	var s seat
	var rest plan // the others
	var names []string
	for _, x := range n.seats() {
		names = append(names, x.name)
		if x.name == call.Name {
			s = x
		} else {
			rest.stay = append(rest.stay, x)
		}
	}
	gone := call.Change == RemoveMember
	switch {
	case s.name == "":
		return false, fmt.Errorf("%w: no member is called %q: there are %s", tiers.ErrBadArguments, call.Name, strings.Join(names, ", "))
	case call.Change == PromoteMember:
		s.voter, s.named = true, true
		return false, n.join(ctx, &s)
	case !gone && call.Change != DemoteMember:
		return false, fmt.Errorf("%w: %q is nothing that can be done with a member", tiers.ErrBadArguments, call.Change)
	case s.votes && len(rest.voters()) == 0:
		return false, fmt.Errorf("%w: %s is the last voter", tiers.ErrBadArguments, s.name)
	case gone && !call.Force && n.strong.Reachable(ctx, []string{s.name})[s.name]:
		return false, fmt.Errorf("%w: member %s is alive: stop it first, or force its removal", tiers.ErrBadArguments, s.name)
	case s.name == n.cfg.Name:
		return n.stepAside(ctx, &rest)
	}
	s.voter, s.named = false, !gone
	if call.Force {
		s.votes = false // nobody asks whether it is needed
	} else if !gone && !s.votes {
		return false, nil
	}
	return false, n.leave(ctx, &s)
}
