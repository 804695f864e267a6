package strong

import (
	"io"

	"github.com/hashicorp/raft"
)

// settled sees to messages of a leader about entries that this member has applied, which are committed and so the same at both. Raft takes them
// at their word: it installs a snapshot that is older than its state, goes back to that, and drops the entries behind it, which it
// has acknowledged. A leader sends such a thing to a follower whose disk has refused its entries for a while, as it tries ever older ones.
//
//   - A snapshot that is no newer than what is applied is installed already. true: it is answered.
//   - Of entries that begin before the log does, which raft would refuse, only those are passed on that are not applied.
func (t *Tier) settled(rpc raft.RPC) (answered bool) {
	select {
	case <-t.started:
	default:
		return false
	}
	applied := t.applied.now()
	switch m := rpc.Command.(type) {
	case *raft.InstallSnapshotRequest:
		if m.LastLogIndex > applied || m.Term < t.raft.CurrentTerm() {
			return false
		}
		t.log.Info("keeps its state: the leader sends an older snapshot", "index", m.LastLogIndex, "applied", applied)
		t.transport.work.Go(func() {
			_, err := io.Copy(io.Discard, rpc.Reader) // the next message follows it on the stream
			rpc.Respond(&raft.InstallSnapshotResponse{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}, Term: m.Term, Success: true}, err)
		})
		return true
	case *raft.AppendEntriesRequest:
		first, err := t.raftLog.FirstIndex()
		if err != nil || m.PrevLogEntry == 0 && len(m.Entries) == 0 || first > 0 && m.PrevLogEntry >= first || m.PrevLogEntry >= applied || m.Term < t.raft.CurrentTerm() {
			return false
		}
		if n := applied - m.PrevLogEntry; n <= uint64(len(m.Entries)) {
			m.PrevLogEntry, m.PrevLogTerm, m.Entries = applied, m.Entries[n-1].Term, m.Entries[n:]
			return false
		}
		if term, ok := t.termOf(applied); ok {
			m.PrevLogEntry, m.PrevLogTerm, m.Entries = applied, term, nil
		}
	}
	return false
}

// termOf is the term of an entry that is in the log or the last one of a snapshot.
func (t *Tier) termOf(index uint64) (term uint64, ok bool) {
	var x raft.Log
	if t.raftLog.GetLog(index, &x) == nil {
		return x.Term, true
	}
	snapshots, err := t.stores.Snapshots.List()
	if err != nil {
		return 0, false
	}
	for _, s := range snapshots {
		if s.Index == index {
			return s.Term, true
		}
	}
	return 0, false
}
