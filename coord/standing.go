package coord

import (
	"fmt"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// ErrNotRenewed is why a session ends that nobody has ended: it might be ended any moment.
var ErrNotRenewed = fmt.Errorf("%w, or could end any moment: no majority has heard of it for nearly its timeout", tiers.ErrSessionExpired)

// Standing is how sure the holder of a session can be that it goes on.
type Standing struct {
	// Renewed is when the last renewal was sent that a majority has heard. Zero while the session owns nothing that others could be
	// granted: then nothing is at stake.
	Renewed time.Time
	// Until is when the session's Context ends if no later renewal is heard. Zero when Renewed is.
	Until time.Time
	// Late says that the renewals are not heard as they should be: Renewed is more than a third of the timeout ago.
	Late bool
	// Ended is why the session has ended; nil while it lives.
	Ended error
}

// safety is what session tables know of how long a session cannot end: zero while it owns nothing that others could be granted.
type safety interface {
	SafeUntil(tiers.SessionID) time.Time
}

// margin is how long before the cluster could end the session its context ends: for the way to whoever reacts.
func (s *Session) margin() time.Duration { return max(s.lease.Timeout/10, 100*time.Millisecond) }

// Standing tells how the session stands now. When its time has run out unnoticed, as while this process was stopped, it ends here.
func (s *Session) Standing() Standing {
	s.watching.Lock()
	defer s.watching.Unlock()
	s.review()
	return s.standing
}

// Observe calls f at once, whenever Standing.Late changes, and at the end, before Context ends. The calls come one at a time. f must
// not block, nor call Standing, Observe or stop. After stop has returned, f is not called.
func (s *Session) Observe(f func(Standing)) (stop func()) {
	s.watching.Lock()
	defer s.watching.Unlock()
	s.review()
	f(s.standing)
	if s.standing.Ended != nil {
		return func() {}
	}
	if s.observers == nil {
		s.observers = make(map[int]func(Standing))
	}
	s.observed++
	n := s.observed
	s.observers[n] = f
	return func() {
		s.watching.Lock()
		delete(s.observers, n)
		s.watching.Unlock()
	}
}

// review brings the standing up to date. Callers hold watching.
func (s *Session) review() {
	table, ok := s.sessions.(safety)
	if !ok || s.standing.Ended != nil {
		return
	}
	was := s.standing
	safe := table.SafeUntil(s.lease.ID)
	if safe.IsZero() { // or not any more: it could not be opened
		s.standing = Standing{}
	} else {
		s.standing.Renewed = safe.Add(-s.lease.Timeout)
		s.standing.Until = safe.Add(-s.margin())
		s.standing.Late = time.Since(s.standing.Renewed) > s.lease.Timeout/3
	}
	if !safe.IsZero() && time.Until(s.standing.Until) <= 0 {
		s.finish(ErrNotRenewed)
	} else if s.standing.Late != was.Late {
		s.tell()
	}
}

// tell tells the observers. Callers hold watching.
func (s *Session) tell() {
	for _, f := range s.observers {
		f(s.standing)
	}
}

// finish ends the session for its holder: first for those who observe it. Callers hold watching. Later calls do nothing.
func (s *Session) finish(why error) {
	if s.standing.Ended != nil {
		return
	}
	s.standing.Ended = why
	s.tell()
	s.observers = nil
	s.end(why)
}

// over is finish for those who don't hold watching.
func (s *Session) over(why error) {
	s.watching.Lock()
	defer s.watching.Unlock()
	s.finish(why)
}
