package lock

import (
	"context"
	"time"
)

// Option changes how a lock works. Every recipe of this package takes the same ones.
type Option func(*options)

type options struct {
	identifier []byte
	curator    bool
	policy     policy
}

func newOptions(opts []Option) options {
	o := options{identifier: []byte{}}
	for _, set := range opts {
		set(&o)
	}
	return o
}

// Identifier is the contender's name for people and for kazoo's contenders(): the data of its znode. Default empty.
func Identifier(name string) Option { return func(o *options) { o.identifier = []byte(name) } }

// CuratorNames names contenders as Curator does, for locks shared with Curator: see the package's doc.
func CuratorNames() Option { return func(o *options) { o.curator = true } }

// policy is when a holder lets go by itself. The zero value: at the latest safe moment.
type policy struct {
	yields bool          // in jeopardy, after grace
	grace  time.Duration // 0: at once

	check    func(context.Context) error // nil: none
	every    time.Duration
	failures int
}

// YieldAtExpiry keeps the lock for as long as the cluster can't have given it to another: Context ends just before that. This is the
// default. It rides through elections and short cuts; the price is that after a longer one the next holder waits for the session's timeout.
func YieldAtExpiry() Option { return func(o *options) { o.policy.yields = false } }

// YieldOnDisconnect lets go as soon as the holder is [InJeopardy]: for work that must not go on when nobody hears of it. The
// lock itself is free for others when the cluster can be reached again, or when the session has ended.
func YieldOnDisconnect() Option { return YieldAfter(0) }

// YieldAfter lets go when the holder has been [InJeopardy] for that long without a break.
func YieldAfter(grace time.Duration) Option {
	return func(o *options) { o.policy.yields, o.policy.grace = true, max(grace, 0) }
}

// Healthy lets go when check has failed so many times in a row: a holder that is alive but useless makes room for one that works. check is
// called every so often while the lock is held, one call at a time, with a context that ends after that time and with the lock; one
// that has not returned by then counts as failed. It must return when its context ends. Figures below 1ns and 1 are taken as a second and 1.
func Healthy(check func(ctx context.Context) error, every time.Duration, failures int) Option {
	if every <= 0 {
		every = time.Second
	}
	return func(o *options) { o.policy.check, o.policy.every, o.policy.failures = check, every, max(failures, 1) }
}
