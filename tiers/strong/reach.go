package strong

import (
	"time"

	"github.com/hashicorp/raft"
)

// AppendEntries is NetworkTransport's, but for entries it does not give up while this member leads and the other one belongs to the cluster.
//
// Raft waits ever longer after each failure, up to 10 s, and can't be woken: a member that was away for a minute would get nothing for
// seconds after its return, and the cluster would stand still if another one left meanwhile. Here the pause is bounded.
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if err := checkEntries(args.Entries); err != nil {
		return err
	}
	heartbeat := args.PrevLogEntry == 0 && len(args.Entries) == 0 // raft sends these from another goroutine, with a bounded pause
	for pause := t.pause / 16; ; pause = min(2*pause, t.pause) {
		err := t.NetworkTransport.AppendEntries(id, target, args, resp)
		if err == nil || heartbeat || !t.follows(id, args.Term) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-t.closed:
			timer.Stop()
			return err
		}
	}
}

// follows tells whether a member is to get the entries of this one as the leader of term.
func (t *Tier) follows(id raft.ServerID, term uint64) bool {
	<-t.started
	if t.raft.State() != raft.Leader || t.raft.CurrentTerm() != term {
		return false
	}
	for _, s := range t.Servers() {
		if s.Name == string(id) {
			return true
		}
	}
	return false
}
