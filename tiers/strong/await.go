package strong

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/tiers"
)

// await is the outcome of one of raft's futures. Raft bounds only how long a future waits to be taken; one that is taken may be lost, at the end of a
// leadership or of raft, and then nobody ever answers it. So this one waits for twice Config.Patience, and not beyond the end of
// raft: ErrUnknownOutcome then, as the entry may still be committed.
func (t *Tier) await(f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }() // a lost one stays until the process ends: there is nothing else to wait on
	limit := time.NewTimer(2 * t.cfg.Patience)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-t.ended:
		select {
		case err := <-done:
			return err
		default:
			return raft.ErrRaftShutdown
		}
	case <-limit.C:
		return fmt.Errorf("strong: raft does not answer: %w", &tiers.UnknownOutcomeError{Cause: t.unavailable()})
	}
}
