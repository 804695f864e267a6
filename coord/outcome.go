package coord

import (
	"context"
	"fmt"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// Outcome tells what became of a write to the replicated tree whose answer was lost: applied (zxid, first created path), failed, never, or forgotten, which
// is older than the last 65,536 writes of the cluster. id is in the *tiers.UnknownOutcomeError; any member can be asked, also after elections and
// after the restart of the member that took the write. The answer is final: a write that has not been applied up to now is sealed, and never will be, wherever it
// still waits. Writes to the eventual tier need no id: they are answered at once.
//
// Errors: tiers.ErrBadArguments (no such write was given out), tiers.ErrUnavailable without a majority, tiers.ErrClosed, ctx's.
func (n *Node) Outcome(ctx context.Context, id tiers.WriteID) (tiers.Outcome, error) {
	return n.outcome(n.strong.Outcome(ctx, id, true))
}

// LookOutcome is Outcome, but seals nothing: the answer may be tiers.FateOpen.
func (n *Node) LookOutcome(ctx context.Context, id tiers.WriteID) (tiers.Outcome, error) {
	return n.outcome(n.strong.Outcome(ctx, id, false))
}

// OutcomeOf is Outcome for who knows the session and the request of a txn: of a ZooKeeper client, its xid. sent is a time, by the members' clocks, before which the
// write was not sent; zero if none is known. Without it, and without an earlier write of the session among those that are remembered, a write that is not
// found counts as forgotten. settle: as Outcome does, else as LookOutcome.
func (n *Node) OutcomeOf(ctx context.Context, session tiers.SessionID, request tiers.RequestID, sent time.Time, settle bool) (tiers.Outcome, error) {
	return n.outcome(n.strong.OutcomeOf(ctx, session, request, sent, settle))
}

func (n *Node) outcome(o tiers.Outcome, err error) (tiers.Outcome, error) {
	if err != nil {
		return tiers.Outcome{}, fmt.Errorf("coord: %w", err)
	}
	return o, nil
}
