package strong

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// What members ask each other, on peernet's protocol Strong.
const (
	methodForward   byte = iota + 1 // a tree.Batch for the leader; the empty answer says that it is queued
	methodReadIndex                 // a round at the leader; 8 bytes: the commit index
	methodTerm                      // 8 bytes: the current term
	methodTouch                     // []touched; a touchReply
	methodHeard                     // session ids of 8 bytes; a heardReply
	methodRegister                  // a registration; answered when it is in the leader's tree
	methodStatus                    // a PeerStatus
	methodBeat                      // a beat; the empty answer says that it was seen
	methodLeads                     // a room; 8 bytes, the term in which the asked member leads, or 0, and why clients are refused for want of room
	methodHold                      // answered, without content, when the asked member does not lead any more, or after a while
	methodCanvass                   // a canvassed
	methodSeal                      // a sealing for the leader; the empty answer says that it is applied there
	methodGiven                     // 12 bytes: the asked member's incarnation, and the last number that it has given to a txn
	methodStand                     // a term of 8 bytes; the empty answer says that the asked member stands for election, or has moved on
	methodVouch                     // a registration; the empty answer says that the leader knows that member by that identity
	methodStage                     // an entry with a step of a restore, for the leader; the empty answer says that it is committed
)

// registration asks the leader for a member number.
type registration struct {
	_msgpack struct{} `msgpack:",as_array"`
	Name     string
	Identity [16]byte
}

// PeerStatus is what a member tells others of itself.
type PeerStatus struct {
	_msgpack  struct{} `msgpack:",as_array"`
	Term      uint64
	LastIndex uint64
	Applied   uint64
	Disk      string // why it should not lead: what is wrong with its disk; empty: nothing
}

// peers are the warm connections to the other members.
type peers struct {
	dial func(ctx context.Context, name string) (net.Conn, error)

	mu      sync.Mutex
	clients map[string]*peernet.Client // guarded by mu
	closed  bool                       // guarded by mu
}

func (p *peers) get(name string) *peernet.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.clients[name]
	if c == nil {
		c = peernet.NewClient(func(ctx context.Context) (net.Conn, error) { return p.dial(ctx, name) })
		if p.closed {
			c.Close()
			return c
		}
		p.clients[name] = c
	}
	return c
}

func (p *peers) close() error {
	p.mu.Lock()
	p.closed = true
	clients := p.clients
	p.clients = nil
	p.mu.Unlock()
	var errs []error
	for _, c := range clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// address finds where a member is now; its address in raft's configuration is only a fallback, so that a cluster whose
// addresses all changed still finds itself.
func (t *Tier) address(name string) (string, error) {
	if a, ok := t.cfg.Resolve(name); ok {
		return a, nil
	}
	if f := t.raft.GetConfiguration(); f.Error() == nil {
		for _, s := range f.Configuration().Servers {
			if string(s.ID) == name {
				return string(s.Address), nil
			}
		}
	}
	return "", fmt.Errorf("strong: no address is known for member %s", name)
}

func (t *Tier) methods() map[byte]peernet.Method {
	return map[byte]peernet.Method{
		methodForward: {Ordered: true, Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) {
			if t.raft.State() != raft.Leader {
				return nil, errNoLeader
			}
			b, err := tree.DecodeBatch(body)
			if err != nil {
				return nil, err
			}
			return nil, t.proposer.add(b)
		}},
		methodReadIndex: {Handle: func(ctx context.Context, _ net.Addr, _ []byte) ([]byte, error) {
			return t.serveReadIndex(ctx)
		}},
		methodTerm: {Ordered: true, Handle: func(context.Context, net.Addr, []byte) ([]byte, error) {
			return binary.BigEndian.AppendUint64(nil, t.raft.CurrentTerm()), nil
		}},
		methodTouch: {Ordered: true, Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) {
			var batch []touched
			if err := msgpack.Unmarshal(body, &batch); err != nil {
				return nil, fmt.Errorf("malformed touches: %w", err)
			}
			r := t.noteTouches(batch, time.Now())
			return msgpack.Marshal(&r)
		}},
		methodHeard: {Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) {
			return t.handleHeard(body)
		}},
		methodRegister: {Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) {
			var r registration
			if err := msgpack.Unmarshal(body, &r); err != nil {
				return nil, fmt.Errorf("malformed registration: %w", err)
			}
			return nil, t.commit(&tree.Entry{Register: &tree.Registration{Name: r.Name, Identity: r.Identity}})
		}},
		methodBeat: {Handle: func(ctx context.Context, _ net.Addr, body []byte) ([]byte, error) {
			return nil, t.handleBeat(ctx, body)
		}},
		methodLeads: {Ordered: true, Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) {
			return t.handleLeads(body)
		}},
		methodHold: {Handle: func(ctx context.Context, _ net.Addr, _ []byte) ([]byte, error) {
			t.handleHold(ctx)
			return nil, nil
		}},
		methodCanvass: {Handle: func(ctx context.Context, _ net.Addr, _ []byte) ([]byte, error) {
			return t.handleCanvass(ctx)
		}},
		methodSeal: {Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) {
			return nil, t.handleSeal(body)
		}},
		methodGiven: {Ordered: true, Handle: func(context.Context, net.Addr, []byte) ([]byte, error) {
			return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, t.stores.Incarnation), t.outbox.given()), nil
		}},
		methodStand: {Handle: func(ctx context.Context, _ net.Addr, body []byte) ([]byte, error) {
			return nil, t.handleStand(ctx, body)
		}},
		methodVouch: {Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) {
			return nil, t.handleVouch(body)
		}},
		methodStage: {Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) {
			return nil, t.handleStage(body)
		}},
		methodStatus: {Handle: func(context.Context, net.Addr, []byte) ([]byte, error) {
			return msgpack.Marshal(t.peerStatus())
		}},
	}
}

func (t *Tier) peerStatus() *PeerStatus {
	return &PeerStatus{Term: t.raft.CurrentTerm(), LastIndex: t.raft.LastIndex(), Applied: t.applied.now(), Disk: t.diskTrouble()}
}

// serveReadIndex shares the leader's next round with a follower's readers.
func (t *Tier) serveReadIndex(ctx context.Context) ([]byte, error) {
	if t.leads() == 0 {
		return nil, errNoLeader
	}
	type outcome struct {
		index uint64
		err   error
	}
	ch := make(chan outcome, 1)
	t.rounds.join(time.Now().Add(4*t.cfg.Heartbeat), func(index uint64, _ time.Time, err error) { ch <- outcome{index, err} })
	select {
	case o := <-ch:
		return binary.BigEndian.AppendUint64(nil, o.index), o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// register makes this member known to the tree, which gives it its number for ever. Until then nothing can be sent.
func (t *Tier) register(ctx context.Context) {
	body, err := msgpack.Marshal(&registration{Name: t.cfg.Name, Identity: t.cfg.Identity})
	if err != nil {
		t.log.Error("could not encode the registration", "err", err)
		return
	}
	for {
		moved := t.lead.changed()
		select {
		case <-ctx.Done():
			return
		case <-t.hasNumber:
			return
		default:
		}
		var err error
		switch leader := t.epoch().leader; {
		case t.leads() != 0:
			err = t.commit(&tree.Entry{Register: &tree.Registration{Name: t.cfg.Name, Identity: t.cfg.Identity}})
		case leader != "" && leader != t.cfg.Name:
			callCtx, cancel := context.WithTimeout(ctx, t.cfg.Patience)
			_, err = t.peers.get(leader).Call(callCtx, methodRegister, body)
			cancel()
		}
		if err != nil {
			t.log.Debug("not registered yet", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-t.hasNumber:
		case <-moved:
		case <-time.After(2 * t.cfg.Heartbeat):
		}
	}
}
