package lock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/internal/simnet"
	"github.com/strata-coord/strata/tiers"
)

// TestPartition cuts the holder's member, which leads, off from the two others: its context ends before another member's contender
// gets the lock. When the network heals, it can contend again.
func TestPartition(t *testing.T) {
	inCluster(t, func(t *testing.T, nodes []*coord.Node, network *simnet.Net) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		holder := 0
		for i, n := range nodes {
			if n.Status().Leader == n.Name() {
				holder = i
			}
		}
		others := []int{(holder + 1) % 3, (holder + 2) % 3}
		held, err := lock.New(nodes[holder], path).Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}

		network.Partition([]string{ip(holder)}, []string{ip(others[0]), ip(others[1])})
		next, err := lock.New(nodes[others[0]], path).Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if held.Context().Err() == nil {
			t.Error("two holders: the context of the one who was cut off has not ended")
		}
		if cause := context.Cause(held.Context()); !errors.Is(cause, tiers.ErrSessionExpired) {
			t.Errorf("its cause is %v", cause)
		}
		if next.Token() <= held.Token() {
			t.Errorf("token %d after %d", next.Token(), held.Token())
		}
		if err := held.Release(ctx); !errors.Is(err, tiers.ErrSessionExpired) {
			t.Errorf("Release of a lock that was lost = %v", err)
		}

		network.Heal()
		release(t, next)
		again, err := lock.New(nodes[holder], path).Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if again.Token() <= next.Token() {
			t.Errorf("token %d after %d", again.Token(), next.Token())
		}
		release(t, again)
	})
}

func ip(member int) string { return fmt.Sprintf("10.0.0.%d", member+1) }
