package coord

import (
	"net"
	"time"

	"github.com/strata-coord/strata/coord/ensemble"
	"github.com/strata-coord/strata/tiers/strong"
)

// settling is how long the leader waits for what it does not know yet of a member before it publishes a configuration without it.
const settling = 3 * time.Second

// publisher keeps ZooKeeper's configuration znode, at the leader. The goroutine of reconcile owns it.
type publisher struct {
	// waits is since when something has been awaited that is not known; zero: nothing is.
	waits time.Time
}

// publish makes the configuration znode tell of the members as they are now, if it tells anything else. Leaders only.
func (n *Node) publish(p *publisher) {
	old, _, err := n.strong.Configuration()
	if err != nil {
		n.log.Error("could not read the configuration znode", "err", err)
		return
	}
	specs, whole := n.specs(string(old))
	switch {
	case whole:
		p.waits = time.Time{}
	case p.waits.IsZero():
		p.waits = time.Now()
		return
	case time.Since(p.waits) < settling:
		return
	}
	text := ensemble.Format(specs)
	if text == "" || text == string(old) || len(specs) == 1 && len(old) == 0 {
		return // a member that was always alone is what ZooKeeper calls standalone: its configuration is empty
	}
	if err := n.strong.Configure([]byte(text)); err != nil {
		n.log.Debug("the configuration was not published; trying again", "err", err)
	}
}

// specs are the members of raft's configuration as clients are told of them. What is not known of a member that is not there now is
// taken from the configuration of before. whole is false if something is still to be learnt of one.
func (n *Node) specs(before string) (specs []ensemble.Server, whole bool) {
	known := make(map[string]acquainted)
	for _, m := range n.members() {
		known[m.Name] = m
	}
	old, err := ensemble.ParseList(before)
	if err != nil {
		n.log.Error("the configuration that was published is not understood", "err", err)
	}
	told := make(map[int64]ensemble.Server, len(old))
	for _, s := range old {
		told[s.ID] = s
	}
	registered := n.strong.Registered()
	whole = true
	for _, server := range n.strong.Servers() {
		m := known[server.Name]
		number := numberOf(registered, server.Name, m.identity)
		host, port, err := net.SplitHostPort(m.Address)
		if number == 0 || err != nil || !ensemble.IsHost(host) || !ensemble.IsPort(port) {
			whole = false
			continue
		}
		s := ensemble.Server{ID: int64(number), Peers: []ensemble.Peer{{Host: host, Quorum: port, Election: ensemble.ElectionPort(port)}}, Observer: !server.Voter}
		switch {
		case m.wants == "" && told[s.ID].ID != 0:
			s.Client = told[s.ID].Client
		case m.wants == "":
			whole = false
		case announceable(m.Client):
			s.Client = m.Client
		}
		specs = append(specs, s)
	}
	return specs, whole
}

// numberOf is the number of a member by name and, if that is known, identity: else the last one of that name, of those that are not
// removed if there are any. 0: it has none.
func numberOf(registered []strong.Registered, name string, identity [16]byte) (number uint32) {
	removed := false
	for _, r := range registered {
		switch {
		case r.Name != name:
		case identity != [16]byte{}:
			if r.Identity == identity {
				return r.Number
			}
		case number == 0 || removed || r.Rank != strong.RankRemoved:
			number, removed = r.Number, r.Rank == strong.RankRemoved
		}
	}
	return number
}
