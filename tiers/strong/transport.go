package strong

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/internal/peernet"
)

// streamLayer carries raft's connections over the member's one port. It knows them all: raft's transport does not close those
// that it accepted, nor every one that it dialled.
type streamLayer struct {
	net.Listener
	port      *peernet.Port
	advertise string
	conns     peernet.Conns
}

func (s *streamLayer) Accept() (net.Conn, error) { return s.conns.Add(s.Listener.Accept()) }

func (s *streamLayer) Close() error {
	err := s.Listener.Close()
	s.conns.CloseAll()
	return err
}

func (s *streamLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	// A dial that began while the way was cut learns late that it is open again: a new one is tried soon.
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, peernet.DialTimeout))
	defer cancel()
	return s.conns.Add(s.port.Dial(ctx, peernet.Raft, string(address)))
}

// Addr is the address that raft tells others.
func (s *streamLayer) Addr() net.Addr { return advertised(s.advertise) }

type advertised string

func (a advertised) Network() string { return "tcp" }
func (a advertised) String() string  { return string(a) }

// transport is raft's network transport, with a way in for messages that came by our own streams.
type transport struct {
	*raft.NetworkTransport
	pause    time.Duration // the longest between two attempts to reach a member
	follows  func(id raft.ServerID, term uint64) bool
	trouble  func() error // why this member can't stand for election; nil: it can
	admits   func(raft.RPC) bool
	settled  func(raft.RPC) bool // it is answered
	injected chan raft.RPC
	merged   chan raft.RPC
	closed   chan struct{}
	work     sync.WaitGroup
	once     sync.Once
}

func newTransport(c *raft.NetworkTransportConfig, pause time.Duration, follows func(id raft.ServerID, term uint64) bool, trouble func() error, admits, settled func(raft.RPC) bool) *transport {
	t := &transport{
		NetworkTransport: raft.NewNetworkTransportWithConfig(c), pause: pause, follows: follows, trouble: trouble, admits: admits, settled: settled,
		injected: make(chan raft.RPC), merged: make(chan raft.RPC), closed: make(chan struct{}),
	}
	t.work.Go(t.merge)
	return t
}

// Consumer is where raft takes its messages.
func (t *transport) Consumer() <-chan raft.RPC { return t.merged }

// SetHeartbeatHandler sets where heartbeats go that need not wait behind other messages.
func (t *transport) SetHeartbeatHandler(f func(raft.RPC)) {
	if f == nil {
		t.NetworkTransport.SetHeartbeatHandler(nil)
		return
	}
	t.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if t.admits(rpc) {
			f(rpc)
		} else {
			rpc.Respond(nil, errNotAdmitted)
		}
	})
}

func (t *transport) merge() {
	for {
		var rpc raft.RPC
		select {
		case rpc = <-t.NetworkTransport.Consumer():
		case rpc = <-t.injected:
		case <-t.closed:
			return
		}
		if a, ok := rpc.Command.(*raft.AppendEntriesRequest); ok {
			// Raft commits up to the end of its log, which may differ from the leader's beyond what this message has proven.
			a.LeaderCommitIndex = min(a.LeaderCommitIndex, a.PrevLogEntry+uint64(len(a.Entries)))
		}
		if !t.admits(rpc) {
			rpc.Respond(nil, errNotAdmitted)
			continue
		}
		if t.settled(rpc) {
			continue
		}
		select {
		case t.merged <- rpc:
		case <-t.closed:
			return
		}
	}
}

// RequestVote is NetworkTransport's, for a member that could lead.
func (t *transport) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if err := t.trouble(); err != nil {
		return err
	}
	return t.NetworkTransport.RequestVote(id, target, args, resp)
}

// RequestPreVote is like RequestVote.
func (t *transport) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if err := t.trouble(); err != nil {
		return err
	}
	return t.NetworkTransport.RequestPreVote(id, target, args, resp)
}

// checkEntries refuses to send what only stands for an entry that is gone.
func checkEntries(xs []*raft.Log) error {
	for _, x := range xs {
		if isGhost(x) {
			return fmt.Errorf("strong: entry %d is gone", x.Index)
		}
	}
	return nil
}

func (t *transport) Close() error {
	var err error
	t.once.Do(func() {
		close(t.closed)
		err = t.NetworkTransport.Close()
		t.work.Wait()
	})
	return err
}

// addresses finds a member's address by its name at each dial: raft's ids are names.
type addresses struct{ t *Tier }

func (a addresses) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if addr, ok := a.t.cfg.Resolve(string(id)); ok {
		return raft.ServerAddress(addr), nil
	}
	return "", errNoAddress(id)
}

// errNoAddress makes raft fall back to the address of its configuration.
type errNoAddress raft.ServerID

func (e errNoAddress) Error() string { return "no other address is known for " + string(e) }

func (t *Tier) dialPeer(ctx context.Context, name string) (net.Conn, error) {
	addr, err := t.address(name)
	if err != nil {
		return nil, err
	}
	return t.cfg.Port.Dial(ctx, peernet.Strong, addr)
}
