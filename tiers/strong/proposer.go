package strong

import (
	"context"
	"errors"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/tiers/internal/tree"
)

const (
	// entriesInFlight: two to four keep the chain of fsync, round trip and fsync busy; more only makes smaller entries.
	entriesInFlight = 3
	// maxQueued bounds what a leader holds of txns that are not in its log yet; beyond it origins are told to come again.
	maxQueued = 16 * maxBatchTxns
)

var errBusy = errors.New("the leader has too much queued")

// proposer packs what all members sent to this leader into raft entries.
type proposer struct {
	mu     sync.Mutex
	queue  []*tree.Batch // guarded by mu; in order of arrival
	queued int           // guarded by mu; txns in queue
	wake   chan struct{} // capacity 1
	slots  chan struct{} // one for each entry in flight
}

func newProposer() *proposer {
	return &proposer{wake: make(chan struct{}, 1), slots: make(chan struct{}, entriesInFlight)}
}

func (p *proposer) add(b *tree.Batch) error {
	p.mu.Lock()
	if p.queued > maxQueued {
		p.mu.Unlock()
		return errBusy
	}
	p.queue = append(p.queue, b)
	p.queued += len(b.Txns)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return nil
}

// drop forgets the queue when the leadership is lost: the origins send it to the next leader.
func (p *proposer) drop() {
	p.mu.Lock()
	p.queue, p.queued = nil, 0
	p.mu.Unlock()
}

// next takes one entry's worth. An origin's batches are at most maxBatchBytes each, so an entry is at most twice that.
func (p *proposer) next() *tree.Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil
	}
	e := &tree.Entry{}
	txns, size := 0, 0
	for len(p.queue) > 0 && (txns == 0 || (txns < maxBatchTxns && size < maxBatchBytes)) {
		b := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		e.Batches = append(e.Batches, *b)
		txns += len(b.Txns)
		for i := range b.Txns {
			size += txnSize(&b.Txns[i])
		}
	}
	p.queued -= txns
	return e
}

// propose runs until ctx ends. In-flight entries commit in order or, when the leadership is lost, not at all from some point on.
func (t *Tier) propose(ctx context.Context) {
	var flights sync.WaitGroup
	defer flights.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.proposer.wake:
		}
		for {
			select {
			case <-ctx.Done():
				return
			case t.proposer.slots <- struct{}{}:
			}
			e := t.proposer.next()
			if e == nil {
				<-t.proposer.slots
				break
			}
			e.At, e.EnforceQuota = t.cfg.Clock().UnixMilli(), t.cfg.EnforceQuota
			b := tree.AppendEntry(nil, e)
			t.proposed(len(b))
			t.space.wrote(len(b))
			f := t.raft.Apply(b, t.cfg.Patience)
			flights.Go(func() {
				err := t.await(f)
				<-t.proposer.slots
				switch {
				case errors.Is(err, raft.ErrLeadershipTransferInProgress): // it refuses at once whatever comes, until it is over
					t.resendSoon()
				case err != nil && !errors.Is(err, raft.ErrRaftShutdown):
					t.log.Debug("an entry was not committed; its origins will send it again", "err", err)
					t.resendSoon() // not at once: while it hands over, raft refuses at once
				}
			})
		}
	}
}
