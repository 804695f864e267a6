package coord

import (
	"fmt"
	"slices"
	"strings"

	"github.com/strata-coord/strata/coord/ensemble"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/strong"
)

// seat is a member in a plan of the cluster.
type seat struct {
	name     string
	number   uint32 // 0: it has none yet
	identity [16]byte
	rank     strong.Rank
	addr     string

	inside bool // raft's configuration has it
	votes  bool // now
	voter  bool // it shall have a vote
	named  bool // the reconfiguration says what it shall be
}

// plan is what a reconfiguration leads to.
type plan struct {
	stay  []seat // who shall be part of the cluster, new ones among them
	leave []seat
}

// voters are the names of those that shall have a vote.
func (p *plan) voters() (names []string) {
	for _, s := range p.stay {
		if s.voter {
			names = append(names, s.name)
		}
	}
	return names
}

// registry is what a plan is made from.
type registry struct {
	seats      []seat // of raft's configuration; voter as votes
	registered []strong.Registered
	// find looks for a running member that is not in raft's configuration: where the spec says, or the one with that number, if it had
	// one before (nil: it had not).
	find func(s ensemble.Server, before *strong.Registered) (seat, error)
}

// draft makes the plan of a request. Errors: ErrBadArguments; those of find.
func (g *registry) draft(r *tiers.Reconfig) (*plan, error) {
	want := make(map[string]seat) // by name
	text := r.Members
	if !r.Whole {
		text = r.Joining
		for _, s := range g.seats {
			want[s.name] = s
		}
		for id := range strings.SplitSeq(r.Leaving, ",") {
			if strings.TrimSpace(id) == "" {
				continue
			}
			number, err := ensemble.ParseID(id)
			if err != nil {
				return nil, fmt.Errorf("%w: leaving: %w", tiers.ErrBadArguments, err)
			}
			for _, s := range g.seats {
				if int64(s.number) == number {
					delete(want, s.name)
				}
			}
		}
	}
	specs, err := ensemble.ParseList(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", tiers.ErrBadArguments, err)
	}
	for _, spec := range specs {
		if !r.Whole && spec.Client == "" {
			return nil, fmt.Errorf("%w: server.%d: three ports are needed, like HOST:PORT:PORT:ROLE;HOST:PORT", tiers.ErrBadArguments, spec.ID)
		}
		s, err := g.seat(spec, want)
		if err != nil {
			return nil, err
		}
		s.voter, s.named = !spec.Observer, true
		want[s.name] = s
	}
	p := new(plan)
	for _, s := range want {
		p.stay = append(p.stay, s)
	}
	for _, s := range g.seats {
		if _, stays := want[s.name]; !stays {
			p.leave = append(p.leave, s)
		}
	}
	slices.SortFunc(p.stay, func(a, b seat) int { return strings.Compare(a.name, b.name) })
	if n := len(p.voters()); n < 2 {
		return nil, fmt.Errorf("%w: the new configuration has %d participants: at least two are needed", tiers.ErrBadArguments, n)
	}
	return p, nil
}

// seat finds the member that a spec means: by its number if that is a member's, else by its address.
func (g *registry) seat(spec ensemble.Server, want map[string]seat) (seat, error) {
	at := func(s seat) bool {
		return slices.ContainsFunc(spec.Peers, func(p ensemble.Peer) bool { return p.Addr() == s.addr })
	}
	for _, s := range want {
		if at(s) && int64(s.number) != spec.ID && slices.ContainsFunc(g.registered, func(r strong.Registered) bool { return int64(r.Number) == spec.ID }) {
			return seat{}, fmt.Errorf("%w: server.%d: the member at %s is server.%d", tiers.ErrBadArguments, spec.ID, s.addr, s.number)
		}
	}
	for _, s := range g.seats {
		if s.number != 0 && int64(s.number) == spec.ID {
			return s, nil
		}
	}
	var before *strong.Registered
	for i := range g.registered {
		if int64(g.registered[i].Number) == spec.ID {
			before = &g.registered[i]
		}
	}
	if before == nil { // the number is the asker's idea: members get theirs when they join
		for _, s := range g.seats {
			if at(s) {
				return s, nil
			}
		}
	}
	s, err := g.find(spec, before)
	if err != nil {
		return seat{}, err
	}
	for _, r := range g.registered {
		if r.Name == s.name && r.Identity == s.identity {
			s.number, s.rank = r.Number, r.Rank
		}
	}
	for _, o := range g.seats {
		switch {
		case o.name == s.name && o.identity == s.identity:
			return o, nil // it has another address by now
		case o.name == s.name:
			return seat{}, fmt.Errorf("%w: server.%d: the cluster has a member called %q already", tiers.ErrBadArguments, spec.ID, s.name)
		}
	}
	return s, nil
}
