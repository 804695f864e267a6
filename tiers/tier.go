package tiers

import (
	"context"
	"time"
)

// A Tier is a tree of znodes kept under one consistency contract. Its methods may be called concurrently.
//
// Errors are those of errors.go, wrapped with op and path by [OpError]; test with errors.Is.
type Tier interface {
	// Read answers q, under the contract of q.Path. It may block: for the quorum, or for q.AtLeast.
	// Errors: ErrNoNode, ErrNoAuth, ErrUnavailable, *StaleError, ErrClosed, ctx's.
	Read(ctx context.Context, q Query) (View, error)

	// Submit queues txn and returns at once. Txns of one session apply in the order of their Submits. When ctx ends
	// before the answer, the Pending completes with ErrUnknownOutcome and the txn may still apply, in its place.
	// A txn that can only fail may be refused at once, while earlier ones still wait: it changes nothing.
	// A failed txn completes with the *OpError of the op that failed, and Receipt.Results tells all of them.
	Submit(ctx context.Context, txn Txn) *Pending

	// Follow answers q at its place in a session's order: after the txn behind `after` (nil: none) is applied, and before
	// any txn that this member submits to this tier later. If `after` is nil or answered and q.Session is set, it is placed behind all
	// txns that the session has unanswered in this tier. It returns at once and completes with Receipt.View.
	Follow(ctx context.Context, q Query, after *Pending) *Pending

	// Touch says that the session was heard of just now. It costs no I/O: touches travel in batches.
	Touch(id SessionID)

	// AddWatch arms a watch of any scope on path, whether or not it exists, from now on.
	AddWatch(path string, scope Scope, w Watcher) error

	// HasWatch tells whether w has a watch of that scope on exactly that path.
	HasWatch(w Watcher, path string, scope Scope) bool

	// Unwatch removes w's watches of that scope on exactly that path and tells whether there were any.
	// An empty path with ScopeAny removes all of w's watches.
	Unwatch(w Watcher, path string, scope Scope) bool

	// Contract tells what is promised for path, and which ops are accepted there. It takes no lock, and may be called from anywhere.
	Contract(path string) Contract
}

// Contract is what a tier promises for a path. It drives the conformance suite, and the refusals of unsupported ops.
type Contract struct {
	Tier         string        // "strong", "readonly", "eventual"
	Linearizable bool          // every read sees every write acknowledged before it
	MaxStaleness time.Duration // reads refuse beyond it; 0: they report their staleness and never refuse for it
	Conditional  bool          // ops with a version, and check
	Multi        bool          // txns of several ops
	Sequential   bool          // sequential creates: the parent counts its creates
	// SequentialPerMember: sequential creates, whose numbers are unique, and increase among those of one member; Sequential is false.
	SequentialPerMember bool
	Ephemeral           bool
	Expiring            bool // container and TTL creates
	ACLs                bool // ACLs other than open ones are kept and checked
	ReplicatedZxids     bool // zxids compare across members
	MinorityWritable    bool // accepts writes without a majority
}

// Sync returns when later Reads of path at this member show every commit acknowledged before the call.
func Sync(ctx context.Context, t Tier, path string) error {
	_, err := t.Read(ctx, Query{Path: path, Want: WantNothing, Fresh: true})
	return err
}

// Do submits txn and waits for its answer.
func Do(ctx context.Context, t Tier, txn Txn) (Receipt, error) {
	return t.Submit(ctx, txn).Wait(ctx)
}
