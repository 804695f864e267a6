package fence_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/coord/lock/fence"
)

func wantStale(t *testing.T, err error, token, highest int64) {
	t.Helper()
	var stale *fence.StaleTokenError
	if !errors.As(err, &stale) || !errors.Is(err, fence.ErrStaleToken) || *stale != (fence.StaleTokenError{Resource: "db", Token: token, Highest: highest}) {
		t.Errorf("%v, want a stale token %d, below %d", err, token, highest)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	c := fence.NewChecker(nil)
	for _, token := range []int64{3, 3, 7, 7} {
		if err := c.Check(t.Context(), "db", token); err != nil {
			t.Errorf("token %d: %v", token, err)
		}
	}
	wantStale(t, c.Check(t.Context(), "db", 6), 6, 7)
	if err := c.Check(t.Context(), "another", 1); err != nil {
		t.Errorf("of another resource: %v", err)
	}
	for _, none := range []int64{0, -1} {
		if err := c.Check(t.Context(), "db", none); !errors.Is(err, fence.ErrNoToken) {
			t.Errorf("token %d: %v", none, err)
		}
	}
}

// broken is a store that can't keep anything.
type broken struct{}

var errDisk = errors.New("no space left")

func (broken) Raise(context.Context, string, int64) (int64, error) { return 0, errDisk }

func TestNothingPassesWithoutTheStore(t *testing.T) {
	t.Parallel()
	c := fence.NewChecker(broken{})
	err := c.Do(t.Context(), "db", 1, func(context.Context) error { t.Error("it ran"); return nil })
	if !errors.Is(err, errDisk) {
		t.Errorf("%v", err)
	}
}

func TestDoReturnsWhatItRan(t *testing.T) {
	t.Parallel()
	c := fence.NewChecker(nil)
	if err := c.Do(t.Context(), "db", 2, func(context.Context) error { return errDisk }); err != errDisk {
		t.Errorf("%v", err)
	}
	wantStale(t, c.Do(t.Context(), "db", 1, func(context.Context) error { t.Error("it ran"); return nil }), 1, 2)
}

// TestDoWaitsForTheOneBefore: a write of an earlier holder that is under way is asked to stop, and is over before the next one's begins.
func TestDoWaitsForTheOneBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fence.NewChecker(nil)
		var ended time.Time
		old := make(chan error, 1)
		go func() {
			old <- c.Do(t.Context(), "db", 5, func(ctx context.Context) error {
				<-ctx.Done()
				<-time.After(3 * time.Second) // it takes its time
				ended = time.Now()
				return context.Cause(ctx)
			})
		}()
		synctest.Wait()
		if err := c.Do(t.Context(), "another", 9, func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Do(ctx, "db", 6, func(context.Context) error { t.Error("it ran"); return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who gives up waiting: %v", err)
		}
		// From now on the old one's token is stale, also before the new one has begun.
		wantStale(t, c.Do(t.Context(), "db", 5, func(context.Context) error { t.Error("it ran"); return nil }), 5, 6)
		if err := c.Do(t.Context(), "db", 7, func(context.Context) error {
			if ended.IsZero() {
				t.Error("it began before the old one had ended")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		wantStale(t, <-old, 5, 6)
	})
}

// TestDoKeepsHoldersApart runs calls with random tokens: those that run together have the same one, and those that run later none smaller.
func TestDoKeepsHoldersApart(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			c := fence.NewChecker(nil)
			var mu sync.Mutex
			running := make(map[int64]int)
			var last int64
			ran, refused := 0, 0
			var wg sync.WaitGroup
			for i := range uint64(30) {
				dice := rand.New(rand.NewPCG(seed, i))
				wg.Go(func() {
					for n := range 10 {
						token := int64(n + 1 + dice.IntN(3))
						err := c.Do(t.Context(), "db", token, func(ctx context.Context) error {
							mu.Lock()
							running[token]++
							if len(running) != 1 || token < last {
								t.Errorf("token %d runs beside %v, after %d", token, running, last)
							}
							last = token
							ran++
							mu.Unlock()
							<-time.After(time.Duration(dice.IntN(100)) * time.Millisecond)
							mu.Lock()
							if running[token]--; running[token] == 0 {
								delete(running, token)
							}
							mu.Unlock()
							return nil
						})
						if err != nil {
							mu.Lock()
							refused++
							mu.Unlock()
							if !errors.Is(err, fence.ErrStaleToken) {
								t.Error(err)
							}
						}
						<-time.After(time.Duration(dice.IntN(300)) * time.Millisecond)
					}
				})
			}
			wg.Wait()
			if ran < 20 || refused < 20 {
				t.Errorf("%d ran, %d were refused: the test tests little", ran, refused)
			}
		})
	}
}

func ExampleChecker_Do() {
	checker := fence.NewChecker(nil)
	ctx := context.Background()
	write := func(ctx context.Context) error { return ctx.Err() }
	fmt.Println(checker.Do(ctx, "users/00", 33, write)) // of the holder that slept
	fmt.Println(checker.Do(ctx, "users/00", 34, write)) // of the next one
	fmt.Println(checker.Do(ctx, "users/00", 33, write))
	// Output:
	// <nil>
	// <nil>
	// users/00: stale fencing token 33: it has seen 34
}
