package history

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// Recorder is one history. Its methods may be called concurrently.
type Recorder struct {
	begin time.Time

	mu       sync.Mutex
	last     int64    // guarded by mu, as all below; the last stamp given out
	ops      []*Op    // in the order of their calls
	events   []*seen  // in the order in which they were told
	arms     []*arm   // in the order of their calls
	grants   []*grant // in the order in which they were reported
	notes    []note   // in their order
	sessions map[tiers.SessionID]*sessionLog
}

// stamp is a moment: seq orders all moments of a history, at is for people.
type stamp struct {
	seq int64
	at  time.Duration // since the begin
}

// never is later than every moment.
const never = int64(1<<63 - 1)

type note struct {
	when stamp
	text string
}

// New begins a history.
func New() *Recorder {
	return &Recorder{begin: time.Now(), sessions: make(map[tiers.SessionID]*sessionLog)}
}

// now is for callers that hold mu.
func (r *Recorder) now() stamp {
	r.last++
	return stamp{r.last, time.Since(r.begin)}
}

// Note writes what happened to the cluster into the story.
func (r *Recorder) Note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, note{r.now(), fmt.Sprintf(format, args...)})
}

// Len is how many calls were recorded.
func (r *Recorder) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ops)
}

// Outcome is what is known of a call.
type Outcome uint8

const (
	Open    Outcome = iota // no answer yet
	OK                     // applied, or read
	Failed                 // decided at its zxid, and it changed nothing: a version did not match, say
	Refused                // it never happened
	Unknown                // it may have happened, or may happen later
)

func (o Outcome) String() string {
	return [...]string{"open", "ok", "failed", "refused", "unknown"}[o]
}

func outcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, tiers.ErrUnknownOutcome):
		return Unknown
	}
	for _, decided := range []error{
		tiers.ErrNoNode, tiers.ErrNodeExists, tiers.ErrNotEmpty, tiers.ErrBadVersion, tiers.ErrNoAuth, tiers.ErrEphemeral,
		tiers.ErrQuotaExceeded, tiers.ErrSessionExpired, tiers.ErrSessionMoved,
	} {
		if errors.Is(err, decided) {
			return Failed
		}
	}
	return Refused
}

// Op is one call and its answer.
type Op struct {
	client  *Client
	txn     *tiers.Txn   // nil for a read
	query   *tiers.Query // nil for a txn
	called  stamp
	done    stamp // seq is never while there is no answer
	outcome Outcome
	err     error
	zxid    tiers.Zxid // of the answer
	results []tiers.Result
	view    tiers.View // without the ACL; with children only if they were asked for
	local   bool       // a read that need not be linearizable
}

// hit tells whether an op with this version would match.
func hit(want, version int32) bool { return want == tiers.AnyVersion || want == version }

func (o *Op) session() tiers.SessionID {
	if o.txn != nil {
		return o.txn.Session
	}
	return o.query.Session
}

// what is the op in words.
func (o *Op) what() string {
	if o.query != nil {
		return fmt.Sprintf("%s %s", [...]string{"exists", "get", "children", "acl", "sync", "count", "ephemerals"}[o.query.Want], o.query.Path)
	}
	s := ""
	for i := range o.txn.Ops {
		op := &o.txn.Ops[i]
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%v %s", op.Kind, op.Path)
		if op.Kind == tiers.OpCreate || op.Kind == tiers.OpSetData {
			s += fmt.Sprintf(" %.24q", op.Data)
		}
		if op.Kind != tiers.OpCreate && op.Version != tiers.AnyVersion {
			s += fmt.Sprintf(" v%d", op.Version)
		}
	}
	return s
}

// String is the line of the op in a story.
func (o *Op) String() string {
	answer := o.outcome.String()
	switch {
	case o.outcome == OK && o.query != nil:
		answer = fmt.Sprintf("%.24q v%d czxid=%v mzxid=%v", o.view.Data, o.view.Stat.Version, o.view.Stat.Czxid, o.view.Stat.Mzxid)
	case o.outcome == OK:
		for _, r := range o.results {
			answer += fmt.Sprintf(" %s v%d", r.Path, r.Stat.Version)
		}
	case o.err != nil:
		answer += fmt.Sprintf(" (%v)", o.err)
	}
	until := "..."
	if o.done.seq != never {
		until = o.done.at.String()
	}
	return fmt.Sprintf("%s at %s, session %v: %s -> %s zxid=%v [until %s]", o.client.name, o.client.member, o.session(), o.what(), answer, o.zxid, until)
}
