package zkcompat_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// Writes that are refused for want of room leave no line each in a log, which may be on the same disk.
func TestNoRoomIsNotLoggedForEachRequest(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	w.tier.SetUnavailable(fmt.Errorf("%w: %w: make room", tiers.ErrUnavailable, tiers.ErrNoSpace))
	for i := range 20 {
		c.do(jute.NodeOp{Op: jute.OpSetData, Path: fmt.Sprint("/n", i), Version: -1}, jute.CodeSystemError)
	}
	if lines := strings.Count(w.log.String(), "make room"); lines > 1 {
		t.Errorf("%d lines for 20 writes:\n%s", lines, w.log)
	}
	w.tier.SetUnavailable(nil)
}
