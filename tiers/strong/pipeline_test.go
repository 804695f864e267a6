package strong

import (
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"
)

// tight is a pipeline that takes no entry before the answer to the one before is taken, as raft's own with two in flight.
type tight struct {
	raft.AppendPipeline
	sent    chan *future
	answers chan raft.AppendFuture
	end     chan struct{}
}

type future struct {
	raft.AppendFuture
	req *raft.AppendEntriesRequest
}

func (f *future) Request() *raft.AppendEntriesRequest { return f.req }

func (p *tight) AppendEntries(q *raft.AppendEntriesRequest, _ *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	f := &future{req: q}
	select {
	case p.sent <- f:
		return f, nil
	case <-p.end:
		return nil, raft.ErrPipelineShutdown
	}
}

func (p *tight) Consumer() <-chan raft.AppendFuture { return p.answers }

func (p *tight) Close() error {
	close(p.end)
	return nil
}

func (p *tight) answer() {
	for {
		select {
		case f := <-p.sent:
			select {
			case p.answers <- f:
			case <-p.end:
				return
			}
		case <-p.end:
			return
		}
	}
}

// A sender does not wait for a decoder that has ended; one that has not gets all answers in order.
func TestPipelineWithoutADecoder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &tight{sent: make(chan *future), answers: make(chan raft.AppendFuture), end: make(chan struct{})}
		go inner.answer()
		p := newPipeline(inner)
		go p.pass()
		const n = 5
		for i := range uint64(n) { // in a bubble, waiting for ever fails
			if _, err := p.AppendEntries(&raft.AppendEntriesRequest{PrevLogEntry: i}, nil); err != nil {
				t.Fatal(err)
			}
		}
		for i := range uint64(n) {
			if f := <-p.Consumer(); f.Request().PrevLogEntry != i {
				t.Errorf("answer %d is to %d", i, f.Request().PrevLogEntry)
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait() // nothing is left running, or the bubble says so
	})
}
