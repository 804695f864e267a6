package lock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/internal/simnet"
)

// TestJeopardyInACluster cuts the holder off from a real cluster of three on fake time, again and again: it is in jeopardy, its context
// ends at the moment that its state has promised, and only then another is granted the lock, at least the margin later.
func TestJeopardyInACluster(t *testing.T) {
	inCluster(t, func(t *testing.T, nodes []*coord.Node, network *simnet.Net) {
		ctx := t.Context()
		const timeout, margin = 10 * time.Second, time.Second // of a node's own session, by default
		last := int64(0)
		for round := range 3 {
			holder, next := nodes[round%3], nodes[(round+1)%3]
			held, err := lock.New(holder, path).Acquire(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if held.Token() <= last {
				t.Errorf("token %d after %d", held.Token(), last)
			}
			<-time.After(time.Duration(7*round) * time.Second)
			if s := held.State(); s.Phase != lock.Safe || time.Since(s.Renewed) > 2*time.Second {
				t.Errorf("before the cut: %+v", s)
			}
			network.Partition([]string{ip(round % 3)}, []string{ip((round + 1) % 3), ip((round + 2) % 3)})
			granted := make(chan time.Time, 1)
			var other *lock.Held
			go func() {
				other, err = lock.New(next, path).Acquire(ctx)
				granted <- time.Now()
			}()
			<-held.Changed()
			s := held.State()
			if s.Phase != lock.InJeopardy || time.Until(s.Until) < timeout/2 || time.Until(s.Until) > timeout-timeout/3-margin {
				t.Errorf("cut off: %v, %v before its end", s.Phase, time.Until(s.Until))
			}
			<-held.Context().Done()
			ended := time.Now()
			if !ended.Equal(s.Until) {
				t.Errorf("the context ended %v after the promised moment", ended.Sub(s.Until))
			}
			at := <-granted
			if err != nil {
				t.Fatal(err)
			}
			if after := at.Sub(ended); after < margin || after > timeout {
				t.Errorf("granted %v after the holder's end", after)
			}
			var lost *lock.LostError
			if !errors.As(context.Cause(held.Context()), &lost) || lost.Reason != lock.NotRenewed {
				t.Errorf("cause %v", context.Cause(held.Context()))
			}
			last = other.Token()
			network.Heal()
			release(t, other)
		}
	})
}
