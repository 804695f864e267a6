package memtier

import (
	"sync"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// timers is when each session was last heard of, as time.AfterFunc timers.
type timers struct {
	expired func(tiers.SessionID) // called from a goroutine of its own
	mu      sync.Mutex
	of      map[tiers.SessionID]*timer // guarded by mu
	closed  bool                       // guarded by mu
	running sync.WaitGroup             // calls of expired, and what run was given
}

type timer struct {
	*time.Timer
	timeout time.Duration
}

// start begins a session's timeout, or begins it anew with another.
func (ts *timers) start(id tiers.SessionID, timeout time.Duration) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.closed {
		return
	}
	if old := ts.of[id]; old != nil {
		old.Stop()
	}
	if ts.of == nil {
		ts.of = make(map[tiers.SessionID]*timer)
	}
	tm := &timer{timeout: timeout}
	tm.Timer = time.AfterFunc(timeout, func() {
		ts.mu.Lock()
		due := !ts.closed && ts.of[id] == tm
		if due {
			delete(ts.of, id)
			ts.running.Add(1)
		}
		ts.mu.Unlock()
		if due {
			defer ts.running.Done()
			ts.expired(id)
		}
	})
	ts.of[id] = tm
}

// run calls f in a goroutine of its own, which close waits for; after close it does nothing.
func (ts *timers) run(f func()) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if !ts.closed {
		ts.running.Go(f)
	}
}

// touch begins the session's timeout again, if it runs.
func (ts *timers) touch(id tiers.SessionID) {
	ts.mu.Lock()
	tm := ts.of[id]
	ts.mu.Unlock()
	if tm != nil {
		ts.start(id, tm.timeout)
	}
}

func (ts *timers) stop(id tiers.SessionID) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if tm := ts.of[id]; tm != nil {
		tm.Stop()
		delete(ts.of, id)
	}
}

// close stops all timers and waits for what they have begun.
func (ts *timers) close() {
	ts.mu.Lock()
	ts.closed = true
	for _, tm := range ts.of {
		tm.Stop()
	}
	ts.of = nil
	ts.mu.Unlock()
	ts.running.Wait()
}

// Touch begins the session's timeout again.
func (t *Tier) Touch(id tiers.SessionID) { t.timers.touch(id) }

// OnSessionEnd calls f at the end of each session of the tree, while the tree changes: it must not block nor call the tier.
func (t *Tier) OnSessionEnd(f func(tiers.SessionID)) {
	t.endMu.Lock()
	t.endings = append(t.endings, f)
	t.endMu.Unlock()
}

func (t *Tier) sessionEnded(id tiers.SessionID) {
	t.timers.stop(id)
	t.endMu.Lock()
	endings := t.endings
	t.endMu.Unlock()
	for _, f := range endings {
		f(id)
	}
}

// expire ends a session as the leader of a cluster would. A refusing tier expires nobody until it is available again.
func (t *Tier) expire(id tiers.SessionID) {
	t.mu.Lock()
	defer t.unlock()
	info, status := t.tree.Session(id)
	if status != tree.SessionLive || t.closed {
		return
	}
	if t.down != nil {
		t.timers.start(id, info.Timeout)
		return
	}
	t.tree.Expire(time.Now().UnixMilli(), []tree.Expiry{{Session: id, Since: info.Since}})
	t.advance()
}
