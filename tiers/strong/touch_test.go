package strong

import (
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// The expiry calls touches while it holds the tree; a batch that asked the tree while it held touches would stop both, and with
// them every member that waits for this one.
func TestTakeFreshAsksTheTreeUnlocked(t *testing.T) {
	s := newTouches()
	now := time.Now()
	s.touch(1, now)
	s.touch(2, now)
	asked := 0
	batch := s.takeFresh(func(id tiers.SessionID) bool {
		if !s.mu.TryLock() {
			t.Fatal("the tree is asked under the lock")
		}
		s.mu.Unlock()
		asked++
		return id == 1
	})
	if asked != 2 || len(batch) != 1 || !batch[1].Equal(now) {
		t.Errorf("asked about %d sessions, took %v", asked, batch)
	}
	if again := s.takeFresh(func(tiers.SessionID) bool { return true }); len(again) != 0 {
		t.Errorf("took %v a second time", again)
	}
}
