package steps_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

func TestSignalCoalesces(t *testing.T) {
	t.Parallel()
	s := steps.NewSignal()
	for range 3 {
		s.Notify(tiers.Event{Type: tiers.NodeCreated, Path: "/a"})
	}
	<-s
	select {
	case <-s:
		t.Error("three events without a receive between them gave two values")
	default:
	}
}

func TestBackoffGrowsToASecond(t *testing.T) {
	t.Parallel()
	var b steps.Backoff
	var last time.Duration
	for range 20 {
		last = b.Next()
		if last < 10*time.Millisecond || last > time.Second {
			t.Fatalf("pause of %v", last)
		}
	}
	if last < 500*time.Millisecond {
		t.Errorf("after 20 failures the pause is still %v", last)
	}
	b.Reset()
	if p := b.Next(); p > 20*time.Millisecond {
		t.Errorf("after Reset the pause is %v", p)
	}
}

func TestBackoffEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		var b steps.Backoff
		if err := b.Wait(ctx); !errors.Is(err, why) {
			t.Errorf("Wait = %v, want the context's cause", err)
		}
		start := time.Now()
		if err := b.Wait(t.Context()); err != nil || time.Since(start) == 0 {
			t.Errorf("Wait = %v after %v", err, time.Since(start))
		}
	})
}

func TestPaths(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "/", "a", "a/b", "/a/", "/a//b", "//a", "/a\x00b"} {
		if err := steps.CheckPath(bad); !errors.Is(err, tiers.ErrBadArguments) {
			t.Errorf("CheckPath(%q) = %v", bad, err)
		}
	}
	for path, parent := range map[string]string{"/a": "/", "/a/b": "/a", "/locks/db/users": "/locks/db"} {
		if err := steps.CheckPath(path); err != nil {
			t.Errorf("CheckPath(%q) = %v", path, err)
		}
		if got := steps.Parent(path); got != parent {
			t.Errorf("Parent(%q) = %q, want %q", path, got, parent)
		}
	}
}
