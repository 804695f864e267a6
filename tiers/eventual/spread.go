package eventual

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

const (
	methodDelta byte = 1 // records; empty
	methodSync  byte = 2 // what the asker knows; the records that it lacks, with what the answerer knows

	// maxQueue bounds the records that wait to be sent to one member; beyond it they are left to the next comparison.
	maxQueue = 16384
	// maxSync bounds the records of one answer.
	maxSync = 4096
)

// spread sends this member's records to the others, and compares what is known with them.
type spread struct {
	t      *Tier
	server *peernet.Server

	mu     sync.Mutex
	peers  map[string]*peer // guarded by mu; by address
	synced time.Time        // guarded by mu; the last comparison with another member
	closed bool             // guarded by mu
}

// peer is the way to one member.
type peer struct {
	client *peernet.Client

	mu      sync.Mutex
	queue   []*crdt.Record // guarded by mu
	sending bool           // guarded by mu; a message is on its way
}

func newSpread(t *Tier) *spread {
	s := &spread{t: t, peers: make(map[string]*peer), synced: time.Now()}
	s.server = peernet.Serve(t.cfg.Port.Listener(peernet.Records), map[byte]peernet.Method{
		methodDelta: {Ordered: true, Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) {
			_, rs, _, _, err := decode(body)
			if err == nil {
				s.take(rs, nil)
			}
			return nil, err
		}},
		methodSync: {Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) {
			_, _, known, _, err := decode(body)
			if err != nil {
				return nil, err
			}
			return s.answer(known)
		}},
	}, t.log)
	return s
}

func (s *spread) close() error {
	s.mu.Lock()
	s.closed = true
	peers := s.peers
	s.peers = nil
	s.mu.Unlock()
	for _, p := range peers {
		p.client.Close()
	}
	return s.server.Close()
}

func (s *spread) peer(addr string) *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	p := s.peers[addr]
	if p == nil {
		p = &peer{client: peernet.NewClient(func(ctx context.Context) (net.Conn, error) {
			return s.t.cfg.Port.Dial(ctx, peernet.Records, addr)
		})}
		s.peers[addr] = p
	}
	return p
}

// take merges records from elsewhere.
func (s *spread) take(rs []*crdt.Record, known crdt.Vector) {
	news := s.t.view.merge(rs)
	if known != nil {
		s.t.view.mu.Lock()
		s.t.view.records.Learn(known)
		s.t.view.mu.Unlock()
	}
	s.t.disk.append(news)
}

// send passes this member's new records to every reachable member at once.
func (s *spread) send(rs []*crdt.Record) {
	for _, addr := range s.t.gossip.reachable() {
		if p := s.peer(addr); p != nil {
			p.add(rs)
			s.pump(p)
		}
	}
}

func (p *peer) add(rs []*crdt.Record) {
	p.mu.Lock()
	if len(p.queue)+len(rs) <= maxQueue {
		p.queue = append(p.queue, rs...)
	}
	p.mu.Unlock()
}

// pump sends what is queued, one message at a time: what comes meanwhile travels together.
func (s *spread) pump(p *peer) {
	p.mu.Lock()
	if p.sending || len(p.queue) == 0 {
		p.mu.Unlock()
		return
	}
	n := min(len(p.queue), maxSync)
	rs := p.queue[:n:n]
	p.queue = p.queue[n:]
	p.sending = true
	p.mu.Unlock()
	body, err := encode(s.t.cfg.Name, rs, nil, false)
	if err != nil {
		s.t.log.Error("could not encode records", "err", err)
	}
	p.client.Go(methodDelta, body, func(_ []byte, err error) {
		p.mu.Lock()
		p.sending = false
		if err != nil {
			p.queue = nil // the next comparison brings them
		}
		p.mu.Unlock()
		if err != nil {
			s.t.log.Debug("could not send records; they follow with the next comparison", "err", err)
			return
		}
		s.pump(p)
	})
}

// answer is what an asker who knows that much lacks.
func (s *spread) answer(theirs crdt.Vector) ([]byte, error) {
	v := s.t.view
	v.mu.RLock()
	rs := v.records.Delta(theirs)
	known := v.records.Known()
	v.mu.RUnlock()
	if len(rs) <= maxSync {
		return encode(s.t.cfg.Name, rs, known, false)
	}
	last := rs[maxSync-1]
	for o := range known {
		switch c := o.Compare(last.Origin); {
		case c == 0:
			known[o] = last.Seq
		case c > 0:
			delete(known, o)
		}
	}
	return encode(s.t.cfg.Name, rs[:maxSync], known, true)
}

// syncWith brings this member to what another one knows.
func (s *spread) syncWith(ctx context.Context, addr string) error {
	p := s.peer(addr)
	if p == nil {
		return errClosed
	}
	v := s.t.view
	v.mu.RLock()
	known := v.records.Known()
	v.mu.RUnlock()
	for {
		body, err := encode(s.t.cfg.Name, nil, known, false)
		if err != nil {
			return err
		}
		b, err := p.client.Call(ctx, methodSync, body)
		if err != nil {
			return err
		}
		_, rs, theirs, more, err := decode(b)
		if err != nil {
			return err
		}
		s.take(rs, theirs)
		if !more {
			break
		}
		v.mu.RLock()
		known = v.records.Known()
		v.mu.RUnlock()
	}
	s.mu.Lock()
	s.synced = time.Now()
	s.mu.Unlock()
	return nil
}

// staleness is the time since the last comparison; 0 for a member that reaches nobody, as there is nothing to miss from whom it
// could ask.
func (s *spread) staleness() time.Duration {
	if len(s.t.gossip.reachable()) == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.synced)
}

var errClosed = errors.New("eventual tier is closed")

// syncForever compares with a random member about every SyncInterval, and with a member that has just appeared at once.
func (t *Tier) syncForever(ctx context.Context) {
	for {
		d := t.cfg.SyncInterval/2 + rand.N(t.cfg.SyncInterval)
		timer := time.NewTimer(d)
		var addr string
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case addr = <-t.gossip.appeared:
		case <-timer.C:
			if all := t.gossip.reachable(); len(all) > 0 {
				addr = all[rand.IntN(len(all))]
			}
			t.forget(time.Now())
		}
		timer.Stop()
		if addr == "" {
			continue
		}
		callCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
		if err := t.spread.syncWith(callCtx, addr); err != nil {
			t.log.Debug("could not compare records", "with", addr, "err", err)
		}
		cancel()
	}
}

// forget drops old tombstones.
func (t *Tier) forget(now time.Time) {
	t.view.mu.Lock()
	t.view.records.Forget(clock(now.Add(-t.cfg.TombstoneAge).UnixMilli()))
	t.view.mu.Unlock()
}
