package coord

import (
	"context"
	"time"

	"github.com/strata-coord/strata/tiers/strong"
)

// reconciler is what reconcile remembers. Its goroutine owns it.
type reconciler struct {
	publisher publisher
	told      map[string]time.Time // when which removed member was told last, by name
}

// reconcile keeps the membership, at the leader: it takes members that gossip knows into the replicated cluster, ends what a leader before
// has left of a reconfiguration, and tells clients of the members. Nobody is taken out but by a reconfiguration.
func (n *Node) reconcile(ctx context.Context) {
	tick := time.NewTicker(formEvery)
	defer tick.Stop()
	r := reconciler{told: make(map[string]time.Time)}
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			return
		case now = <-tick.C:
		}
		registered := n.strong.Registered()
		n.forgetRemoved(registered)
		if !n.strong.Leads() {
			n.lookForLeader(now)
			r.publisher = publisher{}
			clear(r.told)
			continue
		}
		turn, done, ok := n.changes.try(ctx)
		if !ok {
			continue
		}
		n.complete(turn)
		for _, m := range n.members() {
			if turn.Err() == nil && m.Name != n.cfg.Name && m.State == stateAlive && m.wants != "" {
				n.take(turn, &r, registered, m)
			}
		}
		if turn.Err() == nil {
			n.publish(&r.publisher)
		}
		done()
	}
}

// take takes a live member in, if it is not part of the cluster yet or a voter without its vote, and nothing else was decided about it.
func (n *Node) take(ctx context.Context, r *reconciler, registered []strong.Registered, m acquainted) {
	rank, voter := rankOf(registered, m), m.wants == Voter
	switch {
	case rank == strong.RankRemoved:
		if m.Role == "" && time.Since(r.told[m.Name]) > remindEvery {
			r.told[m.Name] = time.Now()
			n.log.Info("a member that was removed still runs", "member", m.Name, "address", m.Address)
			n.work.Go(func() {
				n.tellVerdict(n.running, m.Address, &verdict{Name: m.Name, Identity: m.identity, Cluster: n.cluster(), Removed: true})
			})
		}
		return
	case rank == strong.RankReplica:
		voter = false
	}
	if err := n.replace(ctx, registered, m); err != nil {
		if ctx.Err() == nil {
			n.log.Warn("a member came back with another data directory, and can't be taken in before its old place is free; trying again", "member", m.Name, "err", err)
		}
		return
	}
	if m.Role == string(Voter) || m.Role == string(Replica) && !voter {
		return
	}
	if m.cluster != "" && m.cluster != n.cluster() {
		n.log.Warn("a member of another cluster is in our gossip; it is not taken in", "member", m.Name, "address", m.Address)
		return
	}
	if numberOf(registered, m.Name, m.identity) == 0 { // it takes no part before it is known by its identity
		if err := n.strong.Enroll(m.Name, m.identity); err != nil {
			n.log.Warn("could not take a member in; trying again", "member", m.Name, "err", err)
			return
		}
	}
	addCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
	err := n.strong.Add(addCtx, strong.Server{Name: m.Name, Address: m.Address, Voter: voter})
	cancel()
	switch {
	case err == nil:
		n.log.Info("took a member in", "member", m.Name, "voter", voter, "address", m.Address)
	case ctx.Err() == nil:
		n.log.Warn("could not take a member in; trying again", "member", m.Name, "err", err)
	}
}

// replace frees the place of a live member from those that had its name with other data directories: it may have lost its disk, and with it what it
// had acknowledged and for whom it had voted. So its vote is taken away, and it is taken in as any new member: first it catches up. Error: ErrNewConfigNoQuorum without
// a majority among the others; raft's.
func (n *Node) replace(ctx context.Context, registered []strong.Registered, m acquainted) error {
	seated := false // under the identity that it has now
	var old []strong.Registered
	for _, r := range registered {
		switch {
		case r.Name != m.Name || r.Rank == strong.RankRemoved:
		case r.Identity == m.identity:
			seated = true
		default:
			old = append(old, r)
		}
	}
	for i, r := range old {
		if i == len(old)-1 && m.Role != "" && !seated {
			n.log.Warn("a member came back with another data directory: it is taken out, and in again as a new one", "member", m.Name, "number", r.Number, "address", m.Address)
			s := seat{name: r.Name, number: r.Number, identity: r.Identity, rank: r.Rank, inside: true, votes: m.Role == string(Voter)}
			if err := n.leave(ctx, &s); err != nil {
				return err
			}
		} else if err := n.strong.SetRank(r.Number, strong.RankRemoved); err != nil {
			return err
		}
	}
	if len(old) > 0 && !seated {
		return n.strong.Enroll(m.Name, m.identity)
	}
	return nil
}

// complete ends what a leader has begun that is gone: members that were ranked, and are still what they were.
func (n *Node) complete(ctx context.Context) {
	p := new(plan)
	todo := false
	for _, s := range n.seats() {
		switch {
		case s.rank == strong.RankRemoved:
			p.leave = append(p.leave, s)
			todo = true
			continue
		case s.rank == strong.RankReplica && s.votes:
			s.voter = false
			todo = true
		}
		p.stay = append(p.stay, s)
	}
	if !todo || len(p.voters()) == 0 {
		return
	}
	if _, err := n.carryOut(ctx, p); err != nil && ctx.Err() == nil {
		n.log.Warn("could not end what another leader has begun; trying again", "err", err)
	}
}
