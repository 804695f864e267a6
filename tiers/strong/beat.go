package strong

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"github.com/vmihailenco/msgpack/v5"
)

// A follower answers its clients when it has applied their txns, but hashicorp/raft tells it of a commit only with the next
// entry, or after CommitTimeout when there is none. A beat closes that gap: as soon as the leader has applied an entry it sends
// the followers an AppendEntries without entries that carries the commit index. It is a message that Raft allows the leader to
// send at any time: it names the last committed entry with its term, so a follower takes it only if its log has that entry.
type beats struct {
	wake chan struct{} // capacity 1
	last atomic.Pointer[beat]

	mu   sync.Mutex
	sent map[string]*beat // guarded by mu; the beat on its way to each member, nil when it has answered
}

type beat struct {
	_msgpack    struct{} `msgpack:",as_array"`
	Term        uint64   // of the leader
	Leader      string
	LeaderAddr  string
	CommitIndex uint64
	CommitTerm  uint64 // of the entry at CommitIndex
}

func newBeats() *beats {
	return &beats{wake: make(chan struct{}, 1), sent: make(map[string]*beat)}
}

// beatAfter is called when an entry is applied.
func (t *Tier) beatAfter(l *raft.Log) {
	term := t.leads()
	if term == 0 {
		return
	}
	t.beats.last.Store(&beat{Term: term, Leader: t.cfg.Name, LeaderAddr: t.cfg.Advertise, CommitIndex: l.Index, CommitTerm: l.Term})
	t.beats.signal()
}

func (b *beats) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// beat sends the latest beat to each follower, one at a time per follower, until ctx ends.
func (t *Tier) beat(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.beats.wake:
		}
		last := t.beats.last.Load()
		if last == nil {
			continue
		}
		for _, s := range t.Servers() {
			if s.Name != t.cfg.Name && t.beats.begin(s.Name, last) {
				body, err := msgpack.Marshal(last)
				if err != nil {
					t.log.Error("could not encode a beat", "err", err)
					return
				}
				t.peers.get(s.Name).Go(methodBeat, body, func([]byte, error) {
					if t.beats.end(s.Name) {
						t.beats.signal()
					}
				})
			}
		}
	}
}

// begin claims the way to a member.
func (b *beats) begin(to string, x *beat) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sent[to] != nil {
		return false
	}
	b.sent[to] = x
	return true
}

// end frees the way and tells whether there is something newer to send.
func (b *beats) end(to string) (more bool) {
	b.mu.Lock()
	was := b.sent[to]
	delete(b.sent, to)
	b.mu.Unlock()
	return b.last.Load() != was
}

// handleBeat hands the beat to this member's raft as what it is.
func (t *Tier) handleBeat(ctx context.Context, body []byte) error {
	var b beat
	if err := msgpack.Unmarshal(body, &b); err != nil {
		return fmt.Errorf("malformed beat: %w", err)
	}
	// A beat may overtake the entry, when the other members were a majority without this one.
	waitCtx, cancel := context.WithTimeout(ctx, t.cfg.Heartbeat/2)
	defer cancel()
	if t.stored.wait(waitCtx, b.CommitIndex) != nil ||
		b.Term != t.raft.CurrentTerm() || t.raft.State() != raft.Follower || b.CommitIndex <= t.raft.CommitIndex() {
		return nil
	}
	answered := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{RespChan: answered, Command: &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(b.Leader), Addr: t.transport.EncodePeer(raft.ServerID(b.Leader), raft.ServerAddress(b.LeaderAddr)),
		},
		Term:              b.Term,
		PrevLogEntry:      b.CommitIndex,
		PrevLogTerm:       b.CommitTerm,
		LeaderCommitIndex: b.CommitIndex,
	}}
	select {
	case t.transport.injected <- rpc:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.transport.closed:
		return errors.New("closing")
	}
	select {
	case <-answered:
	case <-ctx.Done():
	case <-t.transport.closed:
	}
	return nil
}
