package lock

import (
	"context"
	"fmt"
	"iter"

	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// observe yields what look finds, and again when it has changed, until ctx ends. look arms watches that set wake. An error that time does not cure is
// yielded last. The consumer's pace is its own: watches only set wake.
func observe[T any](ctx context.Context, q *queue, same func(T, T) bool, look func(tiers.Tier, steps.Signal) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var (
			wake  = steps.NewSignal()
			pause steps.Backoff
			last  T
			begun bool
			none  T
			tier  tiers.Tier // the last one that was asked
		)
		defer func() {
			if tier != nil {
				tier.Unwatch(wake, "", tiers.ScopeAny)
			}
		}()
		for ctx.Err() == nil {
			s, err := q.session(ctx)
			var now T
			if err == nil {
				tier = s.Tier()
				now, err = look(tier, wake)
			}
			switch {
			case ctx.Err() != nil:
				return
			case steps.Retryable(err):
				_ = pause.Wait(ctx)
				continue
			case err != nil:
				yield(none, fmt.Errorf("observe %s: %w", q.path, err))
				return
			}
			pause.Reset()
			if !begun || !same(now, last) {
				begun, last = true, now
				if !yield(now, nil) {
					return
				}
			}
			select {
			case <-wake:
			case <-s.Context().Done(): // the next session may be of another tier, and a closed node says so
			case <-ctx.Done():
			}
		}
	}
}
