package eventual

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

const (
	// callTimeout bounds one message and its answer. A connection that is slower is given up: after a partition TCP may take minutes
	// to notice that it heals.
	callTimeout = 3 * time.Second
	// retryAfter is the mean pause after a failure.
	retryAfter = 500 * time.Millisecond
)

// peer is the way to one member that is alive. One goroutine talks to it over one warm connection: it sends what this member
// writes, and compares when it is told to or when anything may have been missed.
type peer struct {
	s           *spread
	name, addr  string
	incarnation uint64
	ctx         context.Context
	stop        context.CancelFunc
	client      atomic.Pointer[peernet.Client] // replaced by the goroutine after a failure
	compareNow  chan struct{}                  // capacity 1

	sent uint64 // guarded by s.mu; the number of the outbox's record that is to be sent next
}

func newPeer(s *spread, m Member) *peer {
	p := &peer{s: s, name: m.Name, addr: m.Addr, incarnation: m.Incarnation, compareNow: make(chan struct{}, 1)}
	p.ctx, p.stop = context.WithCancel(s.ctx)
	p.dial()
	return p
}

// dial takes a new client, which connects at its first call.
func (p *peer) dial() {
	p.client.Store(peernet.NewClient(func(ctx context.Context) (net.Conn, error) {
		return p.s.t.cfg.Port.Dial(ctx, peernet.Records, p.addr)
	}))
}

func (p *peer) compareSoon() {
	select {
	case p.compareNow <- struct{}{}:
	default:
	}
}

func (p *peer) run() {
	defer p.stop()
	defer func() { p.client.Load().Close() }()
	for behind := true; p.ctx.Err() == nil; {
		if behind {
			p.s.skip(p)
			behind = !p.try("compare records", p.compare)
			continue
		}
		select {
		case <-p.compareNow:
			behind = true
			continue
		default:
		}
		rs, lost, more := p.s.next(p)
		switch {
		case lost:
			behind = true
		case len(rs) > 0:
			behind = !p.try("send records", func() error { return p.send(rs, nil) })
		default:
			select {
			case <-p.ctx.Done():
			case <-more:
			case <-p.compareNow:
				behind = true
			}
		}
	}
}

// try does f; if it fails, the connection is given up, and a while passes.
func (p *peer) try(what string, f func() error) bool {
	err := f()
	if err == nil {
		return true
	}
	p.client.Load().Close()
	if p.ctx.Err() != nil {
		return false
	}
	p.s.t.log.Debug("could not "+what+"; it is tried again", "with", p.name, "address", p.addr, "err", err)
	p.dial()
	timer := time.NewTimer(retryAfter/2 + rand.N(retryAfter))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.ctx.Done():
	}
	return false
}

func (p *peer) call(method byte, x *parcel) ([]byte, error) {
	body, err := p.s.encode(x)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(p.ctx, callTimeout)
	defer cancel()
	return p.client.Load().Call(ctx, method, body)
}

func (p *peer) send(rs []*crdt.Record, learn crdt.Vector) error {
	_, err := p.call(methodDelta, &parcel{records: rs, known: learn})
	return err
}

// compare brings this member all that the other knows, and the other all that this one knows.
func (p *peer) compare() error {
	began := time.Now()
	theirs, err := p.pull()
	if err != nil {
		return err
	}
	p.s.compared(p, began)
	return p.push(theirs)
}

// pull returns what the other knows.
func (p *peer) pull() (crdt.Vector, error) {
	v := p.s.t.view
	v.mu.RLock()
	cursor := crdt.NewCursor(v.records.Known())
	v.mu.RUnlock()
	for {
		b, err := p.call(methodSync, &parcel{known: cursor.At()})
		if err != nil {
			return nil, err
		}
		x, err := decode(b)
		if err != nil {
			return nil, err
		}
		p.s.take(x.records, cursor.Pass(x.records, x.known))
		switch {
		case !x.more:
			return x.known, nil
		case len(x.records) == 0:
			return nil, errors.New("the answer is to go on, but brings nothing")
		}
	}
}

func (p *peer) push(theirs crdt.Vector) error {
	v := p.s.t.view
	cursor := crdt.NewCursor(theirs)
	for {
		v.mu.RLock()
		rs, upTo, more := v.records.Delta(cursor.At(), chunk)
		v.mu.RUnlock()
		learn := cursor.Pass(rs, upTo)
		if len(rs) == 0 {
			return nil
		}
		if err := p.send(rs, learn); err != nil || !more {
			return err
		}
	}
}
