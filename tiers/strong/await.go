package strong

import (
	"fmt"
	"reflect"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/tiers"
)

// await is the outcome of one of raft's futures. Raft bounds only how long a future waits to be taken; one that is taken may be lost, at the end of a
// leadership or of raft, and then nobody ever answers it. So this one waits for twice Config.Patience, and not beyond the end of
// raft: ErrUnknownOutcome then, as the entry may still be committed.
func (t *Tier) await(f raft.Future) error {
	done := make(chan error, 1)
	t.endsWithRaft(f)
	go func() { done <- f.Error() }() // a lost one stays until the end of raft
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

// endsWithRaft makes a future end, at the latest, with raft. Raft forgets those of entries that are committed and wait to be applied when
// it shuts down. Its futures have a channel for that, which it sets for its own use only; where there is none, nothing is lost but a goroutine.
func (t *Tier) endsWithRaft(f raft.Future) {
	v := reflect.ValueOf(f)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return
	}
	ended := reflect.ValueOf(t.ended)
	if c := v.Elem().FieldByName("ShutdownCh"); c.IsValid() && c.CanSet() && c.Type() == ended.Type() && c.IsNil() {
		c.Set(ended)
	}
}
