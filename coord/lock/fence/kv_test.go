package fence_test

import (
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/strata-coord/strata/coord/lock/fence"
)

// table is a fence.Writer.
type table map[string]string

func (x table) Put(ctx context.Context, key string, value []byte) error {
	x[key] = string(value)
	return ctx.Err()
}

func (x table) Delete(ctx context.Context, key string) error {
	delete(x, key)
	return ctx.Err()
}

func TestKV(t *testing.T) {
	t.Parallel()
	x := table{}
	kv := fence.NewKV(fence.NewChecker(nil), "db", x)
	old, next := newHolder(5), newHolder(6)
	ours, theirs := kv.Under(old), kv.Under(next)
	if err := errors.Join(ours.Put(t.Context(), "a", []byte("1")), ours.Put(t.Context(), "b", []byte("1")), theirs.Put(t.Context(), "a", []byte("2")), theirs.Delete(t.Context(), "b")); err != nil {
		t.Fatal(err)
	}
	wantStale(t, ours.Put(t.Context(), "a", []byte("3")), 5, 6)
	wantStale(t, ours.Delete(t.Context(), "a"), 5, 6)
	wantStale(t, kv.Put(t.Context(), 5, "c", nil), 5, 6)
	if want := (table{"a": "2"}); !maps.Equal(x, want) {
		t.Errorf("%v, want %v", x, want)
	}
	why := errors.New("its session has ended")
	next.lose(why)
	if err := theirs.Put(t.Context(), "a", nil); !errors.Is(err, why) {
		t.Errorf("after the loss: %v", err)
	}
	if x["a"] != "2" {
		t.Error("written after the loss")
	}
}
