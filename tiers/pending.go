package tiers

import (
	"context"
	"sync"
)

// Pending is an answer that is still to come. It completes exactly once; all methods may be called concurrently.
type Pending struct {
	write WriteID // never changes

	mu      sync.Mutex
	done    bool
	receipt Receipt
	err     error
	then    []func(Receipt, error) // called in order at completion
	ch      chan struct{}          // made by the first Done, closed at completion
}

// Completed returns a Pending that is already answered.
func Completed(r Receipt, err error) *Pending {
	return &Pending{done: true, receipt: r, err: err}
}

// NewPending returns one for the txn with that id: for tiers only.
func NewPending(w WriteID) *Pending { return &Pending{write: w} }

// Write names the txn; see [WriteID].
func (p *Pending) Write() WriteID { return p.write }

// Unknown is the error of who stops to wait for p, with its name.
func (p *Pending) Unknown(cause error) error {
	return &UnknownOutcomeError{Cause: cause, Write: p.write}
}

// Complete answers p: for tiers only. Later calls change nothing and return false.
func (p *Pending) Complete(r Receipt, err error) bool {
	p.mu.Lock()
	if p.done {
		p.mu.Unlock()
		return false
	}
	p.done, p.receipt, p.err = true, r, err
	then, ch := p.then, p.ch
	p.then = nil
	p.mu.Unlock()
	for _, f := range then {
		f(r, err)
	}
	if ch != nil {
		close(ch)
	}
	return true
}

// Then calls f with the answer: at once if it is there, else from the goroutine that completes p, where it must not block.
func (p *Pending) Then(f func(Receipt, error)) {
	p.mu.Lock()
	if !p.done {
		p.then = append(p.then, f)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	f(p.receipt, p.err)
}

// Done is closed when the answer is there.
func (p *Pending) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ch == nil {
		p.ch = make(chan struct{})
		if p.done {
			close(p.ch)
		}
	}
	return p.ch
}

// Wait returns the answer, or ErrUnknownOutcome (wrapping ctx's cause) when ctx ends first.
func (p *Pending) Wait(ctx context.Context) (Receipt, error) {
	select {
	case <-p.Done():
		return p.receipt, p.err
	case <-ctx.Done():
		return Receipt{}, p.Unknown(context.Cause(ctx))
	}
}

// Result returns the answer if it is there.
func (p *Pending) Result() (r Receipt, err error, done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.receipt, p.err, p.done
}
