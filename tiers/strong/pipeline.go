package strong

import (
	"sync"

	"github.com/hashicorp/raft"
)

// pipeline is one of raft's pipelines whose answers are always taken.
//
// Raft's decoder of answers ends at the first one that is not a success. Its sender may be waiting, just then, for the transport to
// hand an answer to that decoder: for ever, as nobody takes it. The follower gets nothing more, and Shutdown waits for the sender. Here the answers are
// queued instead, so the sender comes back, sees that the decoder has ended, and closes the pipeline. The queue holds the few that come until then.
type pipeline struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture // to raft's decoder
	closed  chan struct{}
	once    sync.Once
}

// AppendEntriesPipeline is NetworkTransport's.
func (t *transport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err // raft tells them apart
	}
	p := newPipeline(inner)
	t.work.Go(p.pass)
	return p, nil
}

func newPipeline(inner raft.AppendPipeline) *pipeline {
	return &pipeline{AppendPipeline: inner, answers: make(chan raft.AppendFuture), closed: make(chan struct{})}
}

// AppendEntries sends a message.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if err := checkEntries(args.Entries); err != nil {
		return nil, err
	}
	return p.AppendPipeline.AppendEntries(args, resp)
}

// Consumer is where raft takes the answers, in order.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close drops what nobody has taken.
func (p *pipeline) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.AppendPipeline.Close()
}

// pass runs until Close.
func (p *pipeline) pass() {
	in := p.AppendPipeline.Consumer()
	var queue []raft.AppendFuture
	for {
		var out chan raft.AppendFuture
		var first raft.AppendFuture
		if len(queue) > 0 {
			out, first = p.answers, queue[0]
		}
		select {
		case f := <-in:
			queue = append(queue, f)
		case out <- first:
			queue[0] = nil
			queue = queue[1:]
		case <-p.closed:
			return
		}
	}
}
