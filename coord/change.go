package coord

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strata-coord/strata/coord/ensemble"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/strong"
)

// catchUpTimeout bounds how long a new voter may take to catch up.
const catchUpTimeout = 30 * time.Second

// reconfigure is Reconfig at the leader.
func (n *Node) reconfigure(ctx context.Context, call *reconfigCall) *reconfigAnswer {
	if !n.strong.Leads() {
		return &reconfigAnswer{Again: true}
	}
	old, v, err := n.strong.Configuration()
	switch {
	case err != nil:
		return refusal(err)
	case len(old) == 0 && len(n.strong.Servers()) <= 1:
		return refusal(tiers.ErrStandalone)
	case len(old) == 0:
		return &reconfigAnswer{Again: true} // it is about to be published
	case !n.changes.enter():
		return refusal(tiers.ErrReconfigInProgress)
	}
	defer n.changes.leave()
	r := &call.Reconfig
	if !call.Going && r.Version != tiers.AnyConfig && r.Version != int64(v.Stat.Mzxid) {
		return refusal(fmt.Errorf("%w: the configuration is that of %x", tiers.ErrBadVersion, int64(v.Stat.Mzxid)))
	}
	p, err := n.planFor(ctx, call)
	if err != nil {
		return refusal(err)
	}
	if err := n.changes.begin(ctx); err != nil {
		return refusal(err)
	}
	defer n.changes.end()
	n.log.Info("reconfigures the cluster", "joining", r.Joining, "leaving", r.Leaving, "members", r.Members, "session", r.Session.String())
	switch again, err := n.carryOut(ctx, p); {
	case err != nil:
		n.log.Warn("a reconfiguration has failed; what was done until then stays", "err", err)
		return refusal(err)
	case again:
		return &reconfigAnswer{Again: true, Going: true}
	}
	v, err = n.conclude(ctx)
	if err != nil {
		return refusal(&tiers.UnknownOutcomeError{Cause: err})
	}
	return &reconfigAnswer{Data: v.Data, Stat: v.Stat, Zxid: v.Zxid}
}

// planFor makes the plan of a request and looks whether it can be carried out. Errors: ErrBadArguments, ErrNewConfigNoQuorum, ErrNoAuth.
func (n *Node) planFor(ctx context.Context, call *reconfigCall) (*plan, error) {
	may := n.strong.MayConfigure(call.Reconfig.Caller)
	g := &registry{seats: n.seats(), registered: n.strong.Registered()}
	g.find = func(s ensemble.Server, before *strong.Registered) (seat, error) {
		if m, ok := n.acquaintance(s, before); ok {
			return m, nil
		}
		if !may { // addresses that strangers give are not dialled
			return seat{}, tiers.ErrNoAuth
		}
		return n.visit(ctx, s, before)
	}
	p, err := g.draft(&call.Reconfig)
	if err != nil {
		return nil, err
	}
	voters := p.voters()
	var known []string
	for _, s := range p.stay {
		if s.voter && s.inside {
			known = append(known, s.name)
		}
	}
	// Those that are not inside were found alive.
	if there := len(n.strong.Reachable(ctx, known)) + len(voters) - len(known); 2*there <= len(voters) {
		return nil, fmt.Errorf("%w: %d of %d answer", tiers.ErrNewConfigNoQuorum, there, len(voters))
	}
	if !may {
		return nil, tiers.ErrNoAuth
	}
	return p, nil
}

// seats are the members of raft's configuration.
func (n *Node) seats() (ss []seat) {
	known := make(map[string]acquainted)
	for _, m := range n.members() {
		known[m.Name] = m
	}
	registered := n.strong.Registered()
	for _, server := range n.strong.Servers() {
		m := known[server.Name]
		s := seat{name: server.Name, identity: m.identity, addr: m.Address, inside: true, votes: server.Voter, voter: server.Voter}
		s.number = numberOf(registered, s.name, s.identity)
		for _, r := range registered {
			if r.Number == s.number {
				s.identity, s.rank = r.Identity, r.Rank
			}
		}
		ss = append(ss, s)
	}
	return ss
}

// acquaintance is a live member that gossip knows, at an address of the spec or with the identity that the number had before.
func (n *Node) acquaintance(s ensemble.Server, before *strong.Registered) (seat, bool) {
	for _, m := range n.members() {
		at := slices.ContainsFunc(s.Peers, func(p ensemble.Peer) bool { return p.Addr() == m.Address })
		if before != nil {
			at = m.Name == before.Name && m.identity == before.Identity
		}
		if at && m.State == stateAlive && m.wants != "" && (m.cluster == "" || m.cluster == n.cluster()) {
			return seat{name: m.Name, identity: m.identity, addr: m.Address}, true
		}
	}
	return seat{}, false
}

// visit asks who is at the addresses of a spec. Errors: ErrBadArguments: another member, or one of another cluster;
// ErrNewConfigNoQuorum: nobody answers.
func (n *Node) visit(ctx context.Context, s ensemble.Server, before *strong.Registered) (seat, error) {
	for _, p := range s.Peers {
		x, err := n.greeter.ask(ctx, methodHello, p.Addr(), n.me())
		switch {
		case err != nil:
			continue
		case before != nil && (before.Name != x.Name || before.Identity != x.Identity):
			return seat{}, fmt.Errorf("%w: server.%d was member %q; at %s is another one, %q, with data of its own: leave its number to the cluster", tiers.ErrBadArguments, s.ID, before.Name, p.Addr(), x.Name)
		case x.Cluster != "" && x.Cluster != n.cluster():
			return seat{}, fmt.Errorf("%w: server.%d: member %q at %s belongs to another cluster: start it with an empty data directory and --join", tiers.ErrBadArguments, s.ID, x.Name, p.Addr())
		}
		return seat{name: x.Name, identity: x.Identity, addr: p.Addr()}, nil
	}
	return seat{}, fmt.Errorf("%w: server.%d: no member answers at %s: start it first", tiers.ErrNewConfigNoQuorum, s.ID, s.Peers[0].Addr())
}

// carryOut takes the steps of a plan: who joins first, then who loses a vote or leaves, those that do not answer before those that do, and this
// member last. again: it was the leader's turn to go, and the next leader is to go on. Errors: ErrNewConfigNoQuorum; others: see UnknownOutcomeError.
func (n *Node) carryOut(ctx context.Context, p *plan) (again bool, err error) {
	for _, s := range p.stay {
		if !s.inside || s.named && (s.voter || !s.votes) {
			if err := n.join(ctx, &s); err != nil {
				return false, err
			}
		}
	}
	var going []seat
	for _, s := range append(slices.Clone(p.stay), p.leave...) {
		stays := slices.ContainsFunc(p.stay, func(o seat) bool { return o.name == s.name })
		if s.inside && (!stays || s.votes && !s.voter) {
			s.voter = false
			s.named = stays
			going = append(going, s)
		}
	}
	names := make([]string, len(going))
	for i, s := range going {
		names[i] = s.name
	}
	there := n.strong.Reachable(ctx, names)
	turn := func(s seat) int {
		switch {
		case s.name == n.cfg.Name:
			return 2
		case there[s.name]:
			return 1
		}
		return 0
	}
	slices.SortStableFunc(going, func(a, b seat) int { return turn(a) - turn(b) })
	for _, s := range going {
		if s.name == n.cfg.Name {
			return n.stepAside(ctx, p)
		}
		if err := n.leave(ctx, &s); err != nil {
			return false, err
		}
	}
	return false, nil
}

// join makes a member what the plan says: a voter, once it has caught up, or a replica.
func (n *Node) join(ctx context.Context, s *seat) error {
	if s.number == 0 {
		if err := n.strong.Enroll(s.name, s.identity); err != nil {
			return err
		}
		s.number = numberOf(n.strong.Registered(), s.name, s.identity)
	}
	rank := strong.RankOwn
	if !s.voter {
		rank = strong.RankReplica
	}
	if s.rank != rank {
		if err := n.strong.SetRank(s.number, rank); err != nil {
			return err
		}
	}
	if s.inside && s.votes == s.voter {
		return nil
	}
	if _, known := n.resolve(s.name); !known {
		if err := n.eventual.Join(s.addr); err != nil {
			n.log.Warn("a new member is not in gossip yet", "member", s.name, "address", s.addr, "err", err)
		}
	}
	if !s.inside {
		n.tellVerdict(ctx, s.addr, &verdict{Name: s.name, Identity: s.identity, Cluster: n.cluster()})
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	err := n.strong.Add(ctx, strong.Server{Name: s.name, Address: s.addr, Voter: s.voter})
	switch {
	case err == nil:
		n.log.Info("took a member in", "member", s.name, "number", s.number, "voter", s.voter, "address", s.addr)
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", tiers.ErrNewConfigNoQuorum, err)
	}
	return err
}

// leave takes a member's vote, or takes the member out. That is noted in the log first, so that it is done, and not undone, whoever leads next.
func (n *Node) leave(ctx context.Context, s *seat) error {
	if s.votes {
		if err := n.spare(ctx, s.name); err != nil {
			return err
		}
	}
	rank, step, said := strong.RankRemoved, n.strong.Remove, "took a member out"
	if s.named {
		rank, step, said = strong.RankReplica, n.strong.Demote, "took a member's vote"
	}
	if s.number == 0 && s.identity != [16]byte{} {
		if err := n.strong.Enroll(s.name, s.identity); err != nil {
			return err
		}
		s.number = numberOf(n.strong.Registered(), s.name, s.identity)
	}
	if s.number != 0 && s.rank != rank {
		if err := n.strong.SetRank(s.number, rank); err != nil {
			return err
		}
	}
	if err := step(s.name); err != nil {
		if s.number != 0 && s.rank != rank {
			err = errors.Join(err, n.strong.SetRank(s.number, s.rank))
		}
		return err
	}
	n.log.Info(said, "member", s.name, "number", s.number)
	return nil
}

// spare tells whether the cluster has a majority without the vote of that member. Error: ErrNewConfigNoQuorum.
func (n *Node) spare(ctx context.Context, name string) error {
	var rest []string
	for _, s := range n.strong.Servers() {
		if s.Voter && s.Name != name {
			rest = append(rest, s.Name)
		}
	}
	if there := len(n.strong.Reachable(ctx, rest)); 2*there <= len(rest) {
		return fmt.Errorf("%w: without %s, %d of %d voters answer", tiers.ErrNewConfigNoQuorum, name, there, len(rest))
	}
	return nil
}

// stepAside hands the leadership to a voter that stays.
func (n *Node) stepAside(ctx context.Context, p *plan) (again bool, err error) {
	if err := n.spare(ctx, n.cfg.Name); err != nil {
		return false, err
	}
	heirs := slices.DeleteFunc(p.voters(), func(name string) bool { return name == n.cfg.Name })
	if err := n.strong.HandoverTo(ctx, heirs); err != nil {
		return false, fmt.Errorf("%w: %w", tiers.ErrNewConfigNoQuorum, err)
	}
	return true, nil
}

// conclude publishes the configuration as it is now, also if it is as it was, and returns it.
func (n *Node) conclude(ctx context.Context) (tiers.View, error) {
	begun := time.Now()
	for {
		old, _, err := n.strong.Configuration()
		if err != nil {
			return tiers.View{}, err
		}
		specs, whole := n.specs(string(old))
		if whole || time.Since(begun) > settling {
			if err := n.strong.Configure([]byte(ensemble.Format(specs))); err != nil {
				return tiers.View{}, err
			}
			_, v, err := n.strong.Configuration()
			return v, err
		}
		select {
		case <-ctx.Done():
			return tiers.View{}, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
