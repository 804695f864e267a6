package eventual

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

const (
	methodDelta   byte = 1 // records, and what the receiver knows once it has them; the answer is empty
	methodSync    byte = 2 // what the asker knows; the records that it lacks, with what it knows then
	methodGoodbye byte = 3 // the origin that leaves, as known; the answer is empty

	// chunk bounds the bytes of records in a message; a record that is larger travels alone.
	chunk = 1 << 20
	// maxOutbox bounds the bytes of records that wait to be sent. Who is behind further gets them by a comparison.
	maxOutbox = 16 << 20
	// fan is with how many members what is known is compared in a SyncInterval.
	fan = 4
)

var errClosed = errors.New("eventual tier is closed")

// spread sends this member's records to the others, and compares what is known with them. Its lock is taken under the view's, never
// the other way round.
type spread struct {
	t      *Tier
	server *peernet.Server
	ctx    context.Context // of the peers
	stop   context.CancelFunc
	work   sync.WaitGroup // the peers

	mu    sync.Mutex
	peers map[string]*peer // guarded by mu; the members that are alive, by name
	// outbox is what this member wrote, from the number first on, as long as a peer may still have to send it. Guarded by mu.
	outbox []*crdt.Record
	first  uint64
	bytes  int
	more   chan struct{} // guarded by mu; closed and replaced when the outbox grows
	// synced is when the last comparison with each member began, also of those that are away. Guarded by mu.
	synced map[string]time.Time
	turn   []string // guarded by mu; the members that are still to be compared with in this round
}

func newSpread(t *Tier) *spread {
	s := &spread{t: t, peers: make(map[string]*peer), more: make(chan struct{}), synced: make(map[string]time.Time)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.server = peernet.Serve(t.cfg.Port.Listener(peernet.Records), map[byte]peernet.Method{
		methodDelta:   {Ordered: true, Handle: s.handle(s.delta)},
		methodSync:    {Handle: s.handle(s.answer)},
		methodGoodbye: {Handle: s.handle(s.goodbye)},
	}, t.log)
	return s
}

func (s *spread) close() error {
	s.stop()
	s.work.Wait()
	return s.server.Close()
}

func (s *spread) handle(f func(*parcel) ([]byte, error)) peernet.Handler {
	return func(_ context.Context, from net.Addr, body []byte) ([]byte, error) {
		p, err := decode(body)
		if err == nil && p.label != s.t.cfg.Label {
			err = fmt.Errorf("records of member %s of label %q are not for members of label %q", p.from, p.label, s.t.cfg.Label)
		}
		if err != nil {
			s.t.log.Warn("refused records", "from", from, "err", err)
			return nil, err
		}
		return f(p)
	}
}

func (s *spread) delta(p *parcel) ([]byte, error) {
	s.take(p.records, p.known)
	return nil, nil
}

// answer is what an asker who knows that much lacks.
func (s *spread) answer(p *parcel) ([]byte, error) {
	v := s.t.view
	v.mu.RLock()
	rs, upTo, more := v.records.Delta(p.known, chunk)
	v.mu.RUnlock()
	return s.encode(&parcel{records: rs, known: upTo, more: more})
}

func (s *spread) goodbye(p *parcel) ([]byte, error) {
	for o := range p.known {
		s.t.gossip.goodbye(o)
	}
	return nil, nil
}

// encode makes p a message of this member.
func (s *spread) encode(p *parcel) ([]byte, error) {
	p.label, p.from = s.t.cfg.Label, s.t.cfg.Name
	return encode(p)
}

// take merges records from elsewhere; learn is what this member knows with them.
func (s *spread) take(rs []*crdt.Record, learn crdt.Vector) {
	v := s.t.view
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	var news, wrote []*crdt.Record
	for _, r := range rs {
		old, is := v.put(r)
		if !is {
			continue
		}
		news = append(news, r)
		if x := s.t.writer.heed(old, r, now); x != nil {
			s.t.writer.commit(x)
			wrote = append(wrote, x)
		}
	}
	v.records.Learn(learn)
	s.t.disk.append(news)
	s.t.out(wrote)
}

// send gives this member's new records to the peers. The caller holds the view's lock: so they go in the order of their numbers.
func (s *spread) send(rs []*crdt.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.peers) == 0 {
		return
	}
	for _, r := range rs {
		s.bytes += r.Size()
	}
	s.outbox = append(s.outbox, rs...)
	for s.bytes > maxOutbox && len(s.outbox) > 1 {
		s.drop(1)
	}
	close(s.more)
	s.more = make(chan struct{})
}

// drop forgets the first n records of the outbox. Callers hold mu.
func (s *spread) drop(n int) {
	for i, r := range s.outbox[:n] {
		s.bytes -= r.Size()
		s.outbox[i] = nil
	}
	s.outbox = s.outbox[n:]
	s.first += uint64(n)
}

// next is what p has to send; lost: some of it is no longer in the outbox. more is closed when there is more.
func (s *spread) next(p *peer) (rs []*crdt.Record, lost bool, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.sent < s.first {
		return nil, true, s.more
	}
	size := 0
	for _, r := range s.outbox[p.sent-s.first:] {
		if size += r.Size(); size > chunk && len(rs) > 0 {
			break
		}
		rs = append(rs, r)
	}
	p.sent += uint64(len(rs))
	all := s.first + uint64(len(s.outbox))
	for _, q := range s.peers {
		all = min(all, max(q.sent, s.first))
	}
	s.drop(int(all - s.first))
	return rs, false, s.more
}

// skip leaves what is in the outbox to a comparison.
func (s *spread) skip(p *peer) {
	s.mu.Lock()
	p.sent = s.first + uint64(len(s.outbox))
	s.mu.Unlock()
}

// follow keeps a peer for each other member that is alive.
func (s *spread) follow(alive []Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	there := make(map[string]bool)
	for _, m := range alive {
		there[m.Name] = true
		if p := s.peers[m.Name]; p != nil {
			if p.addr == m.Addr && p.incarnation == m.Incarnation {
				continue
			}
			p.stop()
		}
		p := newPeer(s, m)
		p.sent = s.first + uint64(len(s.outbox))
		s.peers[m.Name] = p
		s.work.Go(p.run)
	}
	for name, p := range s.peers {
		if !there[name] {
			p.stop()
			delete(s.peers, name)
		}
	}
}

// compareNext has the next few members compared with: each comes once in a round.
func (s *spread) compareNext() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range min(fan, len(s.peers)) {
		if len(s.turn) == 0 {
			for name := range s.peers {
				s.turn = append(s.turn, name)
			}
			rand.Shuffle(len(s.turn), func(i, j int) { s.turn[i], s.turn[j] = s.turn[j], s.turn[i] })
		}
		p := s.peers[s.turn[0]]
		s.turn = s.turn[1:]
		if p != nil {
			p.compareSoon()
		}
	}
}

// compared notes that a comparison with p that began then has brought all that it knew.
func (s *spread) compared(p *peer, began time.Time) {
	s.mu.Lock()
	s.synced[p.name] = began
	s.mu.Unlock()
}

// forget drops what is noted of a member.
func (s *spread) forget(name string) {
	s.mu.Lock()
	delete(s.synced, name)
	s.mu.Unlock()
}

// staleness bounds the age of this member's state: what a member that is alive acknowledged before, this one has. 0 for a member
// that reaches nobody: there is nobody to be behind of whom it knows.
func (s *spread) staleness() (d time.Duration) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.peers {
		since, ok := s.synced[name]
		if !ok {
			since = s.t.started
		}
		d = max(d, now.Sub(since))
	}
	return d
}

// farewell tells all peers that this member leaves.
func (s *spread) farewell(ctx context.Context) {
	s.mu.Lock()
	peers := make([]*peer, 0, len(s.peers))
	for _, p := range s.peers {
		peers = append(peers, p)
	}
	s.mu.Unlock()
	body, err := s.encode(&parcel{known: crdt.Vector{s.t.origin: 0}})
	if err != nil {
		s.t.log.Error("could not encode a goodbye", "err", err)
		return
	}
	var calls sync.WaitGroup
	for _, p := range peers {
		calls.Go(func() {
			if _, err := p.client.Load().Call(ctx, methodGoodbye, body); err != nil {
				s.t.log.Debug("could not say goodbye", "to", p.name, "err", err)
			}
		})
	}
	calls.Wait()
}
