package history

import (
	"maps"
	"slices"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// Options say what a history is to be held to.
type Options struct {
	// UniqueData: no two txns carry the same data, empty data apart. Then data found at two places was applied twice.
	UniqueData bool
	// Final is the whole tree at the end, FinalZxid its zxid; nil: not known. It counts as a read of everything.
	Final     map[string]Znode
	FinalZxid tiers.Zxid
	// ExpiryBound is how long after its last touch and timeout a session may live on; 0: any time. Faults that stop the cluster from expiring anyone make
	// it longer.
	ExpiryBound time.Duration
	// SearchTime bounds porcupine's search per znode in real time. Default 20s; beyond it is a violation, not a pass.
	SearchTime time.Duration
}

// Znode is one of Options.Final.
type Znode struct {
	Data []byte
	Stat tiers.Stat
}

// history is a recorder's content while it is checked: nothing is added to it.
type history struct {
	options  Options
	end      stamp
	ops      []*Op
	events   []*seen
	arms     []*arm
	grants   []*grant
	notes    []note
	sessions map[tiers.SessionID]*sessionLog

	facts     map[string][]fact              // by path, in the order of their zxids
	doubtful  map[string][]*Op               // by path: txns that may have changed it, or may do so later
	ephemeral map[string]bool                // paths that were ephemerals: they end without a txn of a client
	newest    tiers.Zxid                     // of all known
	named     map[string]bool                // paths that txns name
	alive     map[tiers.SessionID]tiers.Zxid // the last txn of each session
}

// Check returns nil when nothing contradicts the history, or a *Violation. It may be called while calls are open: those count as unknown.
func (r *Recorder) Check(options Options) error {
	if options.SearchTime == 0 {
		options.SearchTime = 20 * time.Second
	}
	r.mu.Lock()
	h := &history{
		options: options, end: r.now(), ops: slices.Clone(r.ops), events: slices.Clone(r.events), grants: slices.Clone(r.grants), notes: slices.Clone(r.notes),
		sessions: maps.Clone(r.sessions), arms: slices.Clone(r.arms),
		facts: make(map[string][]fact), doubtful: make(map[string][]*Op), ephemeral: make(map[string]bool),
		named: make(map[string]bool), alive: make(map[tiers.SessionID]tiers.Zxid),
	}
	defer r.mu.Unlock()
	sortByCall(h.ops)
	for _, check := range []func() error{
		h.checkLocks, h.checkCommitOrder, h.checkSessions, h.checkWatches, h.checkExpiry, h.checkLinearizable,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// Cut forgets all calls, events and grants, and keeps the sessions: what comes is a history of its own, whose txns name other znodes. For long
// runs, at a moment at which no call is open.
func (r *Recorder) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.arms {
		a.ear.lasting = true // what it is told from now on may be due to a watch that is forgotten
	}
	r.ops, r.events, r.arms, r.grants, r.notes = nil, nil, nil, nil, nil
	for id, s := range r.sessions {
		if len(s.ended) > 0 || s.closed {
			delete(r.sessions, id)
		}
	}
}
