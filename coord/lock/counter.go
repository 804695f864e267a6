package lock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

var (
	// ErrNoCounter: the data of a counter's znode is no integer that fits: somebody uses the path for something else.
	ErrNoCounter = errors.New("the znode's data is no counter")
	// ErrOverflow: the sum does not fit; nothing was added.
	ErrOverflow = errors.New("the counter would overflow")
)

// Counter is an integer that everybody adds to. A counter that nobody has added to is 0.
//
// It keeps no state. In the tree it is a persistent znode whose data is the number: in decimals, as kazoo's Counter; with [CuratorNames] in the 4 bytes of
// Curator's SharedCount, with 32 bits.
type Counter struct{ queue queue }

// NewCounter returns the counter at path. Nothing is asked of the cluster yet.
func NewCounter(node Node, path string, opts ...Option) *Counter {
	return &Counter{queue{node: node, path: path, options: newOptions(opts), what: "a counter"}}
}

// Get is the counter's value: a strong read. Errors: ErrNoCounter, the tier's.
func (c *Counter) Get(ctx context.Context) (int64, error) {
	s, err := c.queue.session(ctx)
	var n int64
	if err == nil {
		n, _, err = c.read(ctx, s.Tier(), nil)
	}
	if err != nil && !errors.Is(err, tiers.ErrNoNode) {
		return 0, fmt.Errorf("counter %s: %w", c.queue.path, err)
	}
	return n, nil
}

// Add adds delta, exactly once, and returns the sum. It tries again while ctx lives, through elections and loss of the majority; an answer that was lost is
// found out in the tree. Errors: ErrOverflow, ErrNoCounter, the tier's: nothing was added; tiers.ErrUnknownOutcome: it was added once or not at
// all, and ctx or the session has ended before that could be found out.
func (c *Counter) Add(ctx context.Context, delta int64) (sum int64, err error) {
	var undecided error
	err = c.queue.insist(ctx, func(s *coord.Session) (err error) {
		if sum, err = c.add(ctx, s, delta); errors.Is(err, tiers.ErrUnknownOutcome) {
			undecided, err = err, nil // never tried again
		}
		return err
	})
	if err == nil {
		err = undecided
	}
	if err != nil {
		return 0, fmt.Errorf("add to counter %s: %w", c.queue.path, err)
	}
	return sum, nil
}

// add adds in one session. A retryable error says that nothing was added.
func (c *Counter) add(ctx context.Context, s *coord.Session, delta int64) (int64, error) {
	t := s.Tier()
	if k := t.Contract(c.queue.path); !k.Multi || !k.Conditional {
		return 0, &tiers.ContractError{Tier: k.Tier, Path: c.queue.path, What: "a counter", Hint: "route the path to the strong tier"}
	}
	for {
		n, version, err := c.read(ctx, t, nil)
		if errors.Is(err, tiers.ErrNoNode) {
			if err := c.make(ctx, t); err != nil {
				return 0, err
			}
			continue
		} else if err != nil {
			return 0, err
		}
		sum := n + delta
		if (delta > 0) != (sum > n) && delta != 0 {
			return 0, ErrOverflow
		}
		data, err := c.encode(sum)
		if err != nil {
			return 0, err
		}
		err = c.write(ctx, s, data, version)
		if errors.Is(err, tiers.ErrBadVersion) || errors.Is(err, tiers.ErrNoNode) {
			continue // another has added meanwhile, so somebody gets on; or deleted it
		}
		return sum, err
	}
}

// write sets the data if nobody else has since. In the same txn it makes an ephemeral of its own below the counter, which tells whether an unanswered write
// has applied, whatever others have written since; then it goes.
func (c *Counter) write(ctx context.Context, s *coord.Session, data []byte, version int32) error {
	marker := c.queue.path + "/" + newID()
	ops := []tiers.Op{
		{Kind: tiers.OpSetData, Path: c.queue.path, Data: data, Version: version},
		{Kind: tiers.OpCreate, Path: marker, Data: []byte{}, Mode: tiers.Ephemeral, ACL: tiers.OpenACL},
	}
	_, err := tiers.Do(ctx, s.Tier(), tiers.Txn{Session: s.ID(), Ops: ops})
	if errors.Is(err, tiers.ErrUnknownOutcome) {
		err = c.decide(ctx, s, marker, err)
	}
	if err == nil || errors.Is(err, tiers.ErrUnknownOutcome) {
		s.Go(func(ctx context.Context) { discard(ctx, s, marker) })
	}
	return err
}

// decide finds out what became of a write: nil: it has applied; tiers.ErrUnavailable: it never will. Its question stands behind the write in the session's
// order, and is refused when the session, and so the marker, has ended.
func (c *Counter) decide(ctx context.Context, s *coord.Session, marker string, unknown error) error {
	var pause steps.Backoff
	for {
		_, err := tiers.Do(ctx, s.Tier(), tiers.Txn{Session: s.ID(), Ops: []tiers.Op{
			{Kind: tiers.OpCheck, Path: marker, Version: tiers.AnyVersion}}})
		switch {
		case err == nil:
			return nil
		case errors.Is(err, tiers.ErrNoNode):
			return tiers.ErrUnavailable
		case !steps.Retryable(err):
			return unanswered(unknown, err)
		}
		if err := pause.Wait(ctx); err != nil {
			return unanswered(unknown, err)
		}
	}
}

// unanswered is the error of a write whose outcome could not be found out.
func unanswered(unknown, why error) error {
	answer := &tiers.UnknownOutcomeError{Cause: why}
	var known *tiers.UnknownOutcomeError
	if errors.As(unknown, &known) {
		answer.Write = known.Write
	}
	return answer
}

// discard removes a marker, or leaves that to the session's end.
func discard(ctx context.Context, s *coord.Session, marker string) {
	var pause steps.Backoff
	for {
		_, err := tiers.Do(ctx, s.Tier(), tiers.Txn{Session: s.ID(), Ops: []tiers.Op{
			{Kind: tiers.OpDelete, Path: marker, Version: tiers.AnyVersion}}})
		if !steps.Retryable(err) || pause.Wait(ctx) != nil {
			return
		}
	}
}

// make creates the counter's znode, as kazoo does: without a number.
func (c *Counter) make(ctx context.Context, t tiers.Tier) error {
	err := steps.MakeAll(ctx, t, steps.Parent(c.queue.path))
	if err == nil {
		_, err = tiers.Do(ctx, t, tiers.Txn{Ops: []tiers.Op{
			{Kind: tiers.OpCreate, Path: c.queue.path, Data: []byte{}, Mode: tiers.Persistent, ACL: tiers.OpenACL}}})
	}
	switch {
	case errors.Is(err, tiers.ErrNodeExists):
		return nil
	case errors.Is(err, tiers.ErrUnknownOutcome):
		return fmt.Errorf("%w: make the counter", tiers.ErrUnavailable) // nothing was added
	}
	return err
}

// read is the value and the version; ErrNoNode where there is no znode.
func (c *Counter) read(ctx context.Context, t tiers.Tier, watch *tiers.WatchSpec) (int64, int32, error) {
	view, err := t.Read(ctx, tiers.Query{Path: c.queue.path, Want: tiers.WantData, Watch: watch})
	if err != nil {
		return 0, 0, err
	}
	n, err := decodeCount(view.Data, c.queue.curator)
	return n, view.Stat.Version, err
}

// Watch yields the value now and then after changes, until ctx ends. Who is slow sees the latest one, and holds nobody up. It waits through elections and
// loss of the majority; any other error is yielded last.
func (c *Counter) Watch(ctx context.Context) iter.Seq2[int64, error] {
	return observe(ctx, &c.queue, func(a, b int64) bool { return a == b }, func(t tiers.Tier, wake steps.Signal) (int64, error) {
		spec := &tiers.WatchSpec{Watcher: wake, Scope: tiers.ScopeData}
		for {
			t.Unwatch(wake, "", tiers.ScopeAny)
			n, _, err := c.read(ctx, t, spec)
			if !errors.Is(err, tiers.ErrNoNode) {
				return n, err
			}
			_, err = t.Read(ctx, tiers.Query{Path: c.queue.path, Want: tiers.WantStat, Watch: spec})
			if errors.Is(err, tiers.ErrNoNode) {
				return 0, nil
			} else if err != nil {
				return 0, err
			}
			// It was made between two reads.
		}
	})
}

func (c *Counter) encode(n int64) ([]byte, error) {
	if !c.queue.curator {
		return strconv.AppendInt(nil, n, 10), nil
	}
	if n < math.MinInt32 || n > math.MaxInt32 {
		return nil, ErrOverflow
	}
	return binary.BigEndian.AppendUint32(nil, uint32(int32(n))), nil
}

// decodeCount is the number in a counter's data.
func decodeCount(data []byte, curator bool) (int64, error) {
	if len(data) == 0 {
		return 0, nil
	}
	if curator {
		if len(data) != 4 {
			return 0, fmt.Errorf("%w: %d bytes", ErrNoCounter, len(data))
		}
		return int64(int32(binary.BigEndian.Uint32(data))), nil
	}
	n, err := strconv.ParseInt(string(data), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %.40q", ErrNoCounter, data)
	}
	return n, nil
}
