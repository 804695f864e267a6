// Package steps holds the steps that the recipes share: waiting for a change, trying again, making a path's parents, and
// finding out what became of a txn.
package steps

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// Signal is a tiers.Watcher that says only that something changed: any number of events since the last receive are one value.
type Signal chan struct{}

// NewSignal returns a Signal that is not set.
func NewSignal() Signal { return make(Signal, 1) }

// Notify sets s.
func (s Signal) Notify(tiers.Event) { s.Set() }

// Set makes the next receive succeed. It does not block.
func (s Signal) Set() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// Retryable tells whether trying again later may work, without anybody changing anything. A txn that ended so needs
// [Settle] first.
func Retryable(err error) bool {
	return errors.Is(err, tiers.ErrUnavailable) || errors.Is(err, tiers.ErrStale) || errors.Is(err, tiers.ErrUnknownOutcome)
}

const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
)

// Backoff is the pause between tries: it doubles up to a second, and is jittered so that those who failed together do not
// come back together. The zero value is ready.
type Backoff struct{ pause time.Duration }

// Reset makes the next pause short again.
func (b *Backoff) Reset() { b.pause = 0 }

// Next is the length of the next pause.
func (b *Backoff) Next() time.Duration {
	b.pause = min(max(2*b.pause, firstPause), lastPause)
	return b.pause/2 + mathrand.N(b.pause/2)
}

// Wait pauses. It returns ctx's cause when ctx ends first.
func (b *Backoff) Wait(ctx context.Context) error {
	t := time.NewTimer(b.Next())
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// CheckPath returns an error unless path is a znode's full name other than "/".
func CheckPath(path string) error {
	bad := path == "/" || !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") || strings.Contains(path, "//") || strings.Contains(path, "\x00")
	if !bad {
		return nil
	}
	return &tiers.OpError{Op: "path", Path: path, Err: tiers.ErrBadArguments}
}

// Parent is the path one level up; "/" for a path at the top.
func Parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

// MakeAll creates path and what is missing above it as persistent znodes without data.
func MakeAll(ctx context.Context, t tiers.Tier, path string) error {
	if path == "/" {
		return nil
	}
	for {
		_, err := tiers.Do(ctx, t, tiers.Txn{Ops: []tiers.Op{{Kind: tiers.OpCreate, Path: path, Mode: tiers.Persistent, ACL: tiers.OpenACL}}})
		switch {
		case err == nil, errors.Is(err, tiers.ErrNodeExists):
			return nil
		case !errors.Is(err, tiers.ErrNoNode):
			return err
		}
		if err := MakeAll(ctx, t, Parent(path)); err != nil {
			return err
		}
	}
}

// Settle returns once the fate of everything that session submitted so far for path's tier is sealed: it has been applied,
// or never will be. It asks for as long as ctx lives, in the session's order, with a txn that every tier offers and that
// changes nothing: the deletion of a znode that never was.
func Settle(ctx context.Context, t tiers.Tier, session tiers.SessionID, path string) error {
	never := tiers.Op{Kind: tiers.OpDelete, Path: path + "/" + rand.Text(), Version: tiers.AnyVersion}
	var pause Backoff
	for {
		_, err := tiers.Do(ctx, t, tiers.Txn{Session: session, Ops: []tiers.Op{never}})
		switch {
		case err == nil, errors.Is(err, tiers.ErrNoNode):
			return nil
		case !Retryable(err):
			return err
		}
		if err := pause.Wait(ctx); err != nil {
			return err
		}
	}
}
