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
	if m.Role == string(Voter) || m.Role == string(Replica) && !voter {
		return
	}
	if m.cluster != "" && m.cluster != n.cluster() {
		n.log.Warn("a member of another cluster is in our gossip; it is not taken in", "member", m.Name, "address", m.Address)
		return
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
