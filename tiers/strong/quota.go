package strong

import (
	"time"

	"github.com/strata-coord/strata/tiers/internal/tree"
)

const (
	// excessWindow is how often the same limit is logged.
	excessWindow = time.Minute
	maxExcesses  = 1024
)

// exceeded logs, at the leader, that a quota was exceeded and nothing was refused for it. It is called by the goroutine that applies.
func (t *Tier) exceeded(x tree.Excess) {
	if t.leads() == 0 {
		return
	}
	now, key := time.Now(), x
	key.Used = 0
	if at, ok := t.excesses[key]; ok && now.Sub(at) < excessWindow {
		return
	}
	if t.excesses == nil || len(t.excesses) >= maxExcesses {
		t.excesses = make(map[tree.Excess]time.Time)
	}
	t.excesses[key] = now
	kind, change := "soft", "delete what is not needed, or raise the limit"
	if x.Hard {
		kind, change = "hard", "start the members with --enforce-quota to have it refused, or raise the limit"
	}
	t.log.Warn("a quota is exceeded", "path", x.Path, "of", x.What, "used", x.Used, "limit", x.Limit, "kind", kind, "change", change)
}
