package strong

import (
	"context"
	"time"

	"github.com/strata-coord/strata/tiers/internal/tree"
)

const (
	// reapedPerMinute bounds the containers and TTL znodes that are deleted in a minute, as ZooKeeper does: each is a txn.
	reapedPerMinute = 10_000
	// reapLimit and reapBytes bound what one entry may delete.
	reapLimit = 1024
	reapBytes = 1 << 20
)

// reap deletes, as the leader and through the log, containers that have lost their last child, and TTL znodes. What an entry
// proposes is looked at again when it is applied: by then a candidate may have a child, or be another znode.
func (t *Tier) reap(ctx context.Context) {
	tick := time.NewTicker(t.cfg.ReapInterval)
	defer tick.Stop()
	var minute time.Time // when the present one began
	left := 0            // what may still be deleted in it
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if now.Sub(minute) >= time.Minute {
				minute, left = now, reapedPerMinute
			}
			if t.leads() != 0 && left > 0 {
				left -= t.reapOnce(ctx, left)
			}
		}
	}
}

// reapOnce proposes at most limit deletions and returns how many it did.
func (t *Tier) reapOnce(ctx context.Context, limit int) (proposed int) {
	var due []tree.Reaping
	for from, more := 0, true; more && len(due) < limit && ctx.Err() == nil; more = from != 0 {
		var some []tree.Reaping
		some, from = t.tree.Due(t.cfg.Clock().UnixMilli(), from)
		due = append(due, some...)
	}
	due = due[:min(len(due), limit)]
	for len(due) > 0 && ctx.Err() == nil && t.leads() != 0 {
		n, size := 0, 0
		for n < min(len(due), reapLimit) && (n == 0 || size+len(due[n].Path) < reapBytes) {
			size += len(due[n].Path) + 16
			n++
		}
		if err := t.commit(&tree.Entry{Reap: due[:n]}); err != nil {
			t.log.Debug("the deletion of containers and TTL znodes was not committed", "err", err)
			return proposed
		}
		t.log.Debug("deleted containers and TTL znodes whose end had come", "candidates", n)
		proposed += n
		due = due[n:]
	}
	return proposed
}
