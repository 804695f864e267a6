package fence

import "context"

// Writer is the writing half of a store of keys and values.
type Writer interface {
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
}

// KV is a [Writer] behind a checker: each write brings its token.
type KV struct {
	checker  *Checker
	resource string
	writer   Writer
}

// NewKV returns w behind c; resource names what one lock protects: all of w.
func NewKV(c *Checker, resource string, w Writer) *KV {
	return &KV{checker: c, resource: resource, writer: w}
}

// Put is the Writer's, under c.Do.
func (k *KV) Put(ctx context.Context, token int64, key string, value []byte) error {
	return k.checker.Do(ctx, k.resource, token, func(ctx context.Context) error { return k.writer.Put(ctx, key, value) })
}

// Delete is the Writer's, under c.Do.
func (k *KV) Delete(ctx context.Context, token int64, key string) error {
	return k.checker.Do(ctx, k.resource, token, func(ctx context.Context) error { return k.writer.Delete(ctx, key) })
}

// Under is the store as the holder of a lock sees it: a [Writer] that sends its token, and stops when the lock is lost.
func (k *KV) Under(held Source) Writer { return &holders{k, held} }

type holders struct {
	kv   *KV
	held Source
}

func (h *holders) Put(ctx context.Context, key string, value []byte) error {
	ctx, stop := Joined(ctx, h.held)
	defer stop()
	return h.kv.Put(ctx, h.held.Token(), key, value)
}

func (h *holders) Delete(ctx context.Context, key string) error {
	ctx, stop := Joined(ctx, h.held)
	defer stop()
	return h.kv.Delete(ctx, h.held.Token(), key)
}
