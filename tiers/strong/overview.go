package strong

import (
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// EachDataWatch calls f with the watches of data at this member; see the hub's EachData for what f may do.
func (t *Tier) EachDataWatch(f func(w tiers.Watcher, path string)) { t.tree.Hub().EachData(f) }

// EachSession calls f with the live sessions of the replicated tree as this member has applied it, and when this member last heard of
// each: of those hosted elsewhere that is a fraction of a second behind, and at a member without a vote it may be long ago. f runs
// under the tree's lock: it must be quick and not call the tier.
func (t *Tier) EachSession(f func(s Session, heard time.Time)) {
	t.tree.EachSession(func(s tree.SessionInfo) bool {
		f(Session{ID: s.ID, Timeout: s.Timeout, Host: s.Host.Member, Incarnation: s.Host.Incarnation, Ephemerals: s.Ephemerals}, t.touches.lastHeard(s.ID))
		return true
	})
}

// Measure sums up what was measured since the start.
type Measure struct {
	Count    int64
	Sum      time.Duration
	Min, Max time.Duration
}

// add is for one goroutine at a time.
func (m *Measure) add(d time.Duration) {
	if m.Count == 0 || d < m.Min {
		m.Min = d
	}
	m.Count, m.Sum, m.Max = m.Count+1, m.Sum+d, max(m.Max, d)
}

// Figures are measures of this member's part, since its start.
type Figures struct {
	Fsync    Measure // of a batch of entries into the log, made durable
	Snapshot Measure // of the writing of a snapshot
	// What this member proposed as the leader, bytes of an entry; -1 before the first.
	LastProposal, MinProposal, MaxProposal int64

	LeadsSince   time.Time  // when it last began to lead; zero: never
	SnapshotZxid tiers.Zxid // of the newest snapshot of this start
	SnapshotTime time.Time  // likewise; zero: there is none
}

// Figures may be called at any time.
func (t *Tier) Figures() Figures {
	t.figuresMu.Lock()
	defer t.figuresMu.Unlock()
	return t.figures
}

func (t *Tier) measure(m *Measure, d time.Duration) {
	t.figuresMu.Lock()
	m.add(d)
	t.figuresMu.Unlock()
}

// beginsToLead notes the beginning of this member's leadership.
func (t *Tier) beginsToLead() {
	t.figuresMu.Lock()
	t.figures.LeadsSince = time.Now()
	t.figuresMu.Unlock()
}

// snapshotted notes a snapshot that is written.
func (t *Tier) snapshotted(z tiers.Zxid, took time.Duration) {
	t.figuresMu.Lock()
	defer t.figuresMu.Unlock()
	t.figures.Snapshot.add(took)
	t.figures.SnapshotZxid, t.figures.SnapshotTime = z, time.Now()
}

// proposed notes the size of an entry.
func (t *Tier) proposed(size int) {
	n := int64(size)
	t.figuresMu.Lock()
	defer t.figuresMu.Unlock()
	f := &t.figures
	if f.LastProposal < 0 || n < f.MinProposal {
		f.MinProposal = n
	}
	f.LastProposal, f.MaxProposal = n, max(f.MaxProposal, n)
}
