package lock

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/tiers"
)

// Reason is the kind of a loss.
type Reason uint8

const (
	// NotRenewed: no majority has heard of the session for nearly its timeout; it could be ended any moment.
	NotRenewed Reason = iota + 1
	// Expired: the cluster has ended the session. Deleted may come first.
	Expired
	// Closed: this program has closed its session or its node.
	Closed
	// Moved: the session was taken over elsewhere.
	Moved
	// Deleted: the znode is gone, by somebody's hand or with the session.
	Deleted
	// Disconnected: in jeopardy, and the policy is YieldOnDisconnect.
	Disconnected
	// GraceOver: in jeopardy for longer than the policy's grace.
	GraceOver
	// Unhealthy: the holder's own check has failed.
	Unhealthy
	// TermOver: a lease was not renewed within its term.
	TermOver
)

func (r Reason) String() string {
	switch r {
	case NotRenewed:
		return "no majority has heard of its session for nearly the session's timeout"
	case Expired:
		return "the cluster has ended its session"
	case Closed:
		return "its session was closed by this program"
	case Moved:
		return "its session was taken over elsewhere"
	case Deleted:
		return "its znode was deleted, by hand or with its session"
	case Disconnected:
		return "it was in jeopardy, and yields at once by its policy"
	case GraceOver:
		return "it was in jeopardy for longer than its policy's grace"
	case Unhealthy:
		return "the holder's own health check failed"
	case TermOver:
		return "the lease was not renewed within its term"
	}
	return "unknown reason"
}

// ErrLost is in every [LostError].
var ErrLost = errors.New("the lock was lost")

// LostError is why a lock was lost that was held: the cause of Held.Context, State.Lost, and Release's error. It wraps ErrLost and Cause.
type LostError struct {
	Path   string // the znode of the holder
	Token  int64
	Reason Reason
	Cause  error // of the session's end, of the last health check; may be nil
	// Timeline is what led to it, in order: the first moments of the hold, and the last.
	Timeline []Moment
}

// Moment is one line of a timeline.
type Moment struct {
	At   time.Time
	What string
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%s: %v after %v: %s", e.Path, ErrLost, e.after(), e.why())
}

// why is the reason in words. What a session's end says of itself would only repeat it.
func (e *LostError) why() string {
	if e.Cause == nil || e.Reason != Unhealthy {
		return e.Reason.String()
	}
	return e.Reason.String() + ": " + e.Cause.Error()
}

func (e *LostError) Unwrap() []error {
	if e.Cause == nil {
		return []error{ErrLost}
	}
	return []error{ErrLost, e.Cause}
}

// Story is the error with its timeline, one line each, in times since the first moment.
func (e *LostError) Story() string {
	var b strings.Builder
	b.WriteString(e.Error())
	for _, m := range e.Timeline {
		fmt.Fprintf(&b, "\n%12v  %s", rounded(m.At.Sub(e.Timeline[0].At)), m.What)
	}
	return b.String()
}

func (e *LostError) after() time.Duration {
	if len(e.Timeline) == 0 {
		return 0
	}
	return rounded(e.Timeline[len(e.Timeline)-1].At.Sub(e.Timeline[0].At))
}

func rounded(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// reasonOf is the kind of a session's end.
func reasonOf(why error) Reason {
	switch {
	case errors.Is(why, coord.ErrNotRenewed):
		return NotRenewed
	case errors.Is(why, tiers.ErrSessionMoved):
		return Moved
	case errors.Is(why, tiers.ErrClosed):
		return Closed
	}
	return Expired
}

// timeline keeps the first moments and the last ones.
type timeline []Moment

const (
	keptFirst = 4
	keptLast  = 28
)

func (t *timeline) add(at time.Time, format string, args ...any) {
	if len(*t) == keptFirst+keptLast {
		*t = slices.Delete(*t, keptFirst, keptFirst+1)
	}
	*t = append(*t, Moment{at, fmt.Sprintf(format, args...)})
}
