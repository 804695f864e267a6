package strong

import (
	"context"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

const (
	// forwardsInFlight bounds the batches that the leader has not acknowledged to have queued.
	forwardsInFlight = 8
	// silence is how long a sent txn may go without any answer before everything is sent again. A repeat is harmless.
	silence = time.Second
)

// send carries the outbox to the leader, in order, until ctx ends. It begins again at the oldest unanswered txn whenever
// something may have been lost: another leader, another term, a broken stream, or silence.
func (t *Tier) send(ctx context.Context) {
	tick := time.NewTicker(silence / 4)
	defer tick.Stop()
	slots := make(chan struct{}, forwardsInFlight)
	var to epoch
	var repeated time.Time // when the silence was last answered with a repeat
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.outbox.wake:
		case now := <-tick.C:
			if at, ok := t.outbox.oldest(); ok && now.Sub(at) > silence && now.Sub(repeated) > silence {
				repeated = now
				t.outbox.rewind()
			}
		}
		from := t.origin()
		if e := t.epoch(); e != to {
			to = e
			t.outbox.rewind()
		}
		if from.Member == 0 || to.leader == "" {
			continue
		}
		for ctx.Err() == nil && t.epoch() == to {
			b := t.outbox.nextBatch(from, time.Now())
			if b == nil {
				break
			}
			if to.leader == t.cfg.Name {
				if err := t.proposer.add(b); err != nil {
					t.resendSoon()
					break
				}
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			leader := to.leader
			t.peers.get(leader).Go(methodForward, tree.AppendBatch(nil, b), func(_ []byte, err error) {
				<-slots
				if err != nil {
					t.log.Debug("could not forward to the leader; sending again", "leader", leader, "err", err)
					t.resendSoon()
				}
			})
		}
	}
}

// resendSoon begins again after a breath, so that a leader who refuses is not flooded.
func (t *Tier) resendSoon() { time.AfterFunc(t.cfg.Heartbeat/4, t.outbox.rewind) }

// janitor gives up, after Config.Patience, on what nobody answers.
func (t *Tier) janitor(ctx context.Context) {
	tick := time.NewTicker(t.cfg.Patience / 8)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			t.giveUp(now.Add(-t.cfg.Patience))
		}
	}
}

func (t *Tier) giveUp(before time.Time) {
	refused, unknown, reads, orphans := t.outbox.overdue(before)
	why := t.unavailable()
	at := tiers.Receipt{Zxid: t.tree.Zxid()}
	for _, x := range refused {
		x.pending.Complete(at, &tiers.OpError{Op: "submit", Path: firstPath(&x.txn), Err: why})
	}
	for _, p := range unknown {
		p.Complete(at, p.Unknown(why))
	}
	for _, f := range reads {
		f.pending.Complete(at, &tiers.OpError{Op: "read", Path: f.query.Path, Err: why})
	}
	completeReads(orphans, t.readAll(orphans))
}
