package tiers

import (
	"errors"
	"fmt"
	"time"
)

// What can be wrong with an op. Test with errors.Is; an [OpError] around it names op and path.
var (
	ErrNoNode        = errors.New("znode does not exist")
	ErrNodeExists    = errors.New("znode exists already")
	ErrNotEmpty      = errors.New("znode has children")
	ErrBadVersion    = errors.New("version does not match")
	ErrNoAuth        = errors.New("caller lacks the permission")
	ErrInvalidACL    = errors.New("invalid ACL")
	ErrEphemeral     = errors.New("ephemeral znodes cannot have children")
	ErrBadArguments  = errors.New("bad arguments")
	ErrQuotaExceeded = errors.New("quota exceeded")
	ErrTooLarge      = errors.New("txn is too large")
	ErrNoWatcher     = errors.New("no such watch")

	ErrSessionExpired = errors.New("session has ended")
	ErrSessionMoved   = errors.New("session has moved to another member")
	ErrBadPassword    = errors.New("session password is wrong")

	ErrRolledBack = errors.New("undone: a later op of the txn failed")
	ErrNotTried   = errors.New("not tried: an earlier op of the txn failed")

	// ErrUnavailable: the tier can't answer now (no majority is reachable, say) and nothing was done; trying again later may work.
	ErrUnavailable = errors.New("not available now")
	// ErrNoSpace: the disks of a majority are nearly full; what takes no room, and reads, go on. It comes with ErrUnavailable: nothing was done.
	ErrNoSpace = errors.New("no space left on disk")
	// ErrUnknownOutcome: no answer came in time; the txn may or may not apply. See [UnknownOutcomeError].
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrStale: this member's state is older than the route allows, or of unknown age. See [StaleError].
	ErrStale = errors.New("state is too old")
	// ErrContract: the path's tier does not offer this op. See [ContractError].
	ErrContract = errors.New("not offered by this tier")
	ErrClosed   = errors.New("closed")
)

// OpError says which op on which path failed.
type OpError struct {
	Op   string // as OpKind.String, or "read", "session", ...
	Path string
	Err  error
}

func (e *OpError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err)
}
func (e *OpError) Unwrap() error { return e.Err }

// ContractError is an ErrContract that says what was asked of which tier, and what to change.
type ContractError struct {
	Tier string // the tier of the path; "router" for a txn across tiers
	Path string
	What string // what was asked, e.g. "a conditional setData"
	Hint string // what to change, e.g. "route the path to the strong tier"
}

func (e *ContractError) Error() string {
	return fmt.Sprintf("%s: %s is %v (%s): %s", e.Path, e.What, ErrContract, e.Tier, e.Hint)
}
func (e *ContractError) Unwrap() error { return ErrContract }

// StaleError is an ErrStale with the figures. Known is false when the member has not yet learnt how old its state is.
type StaleError struct {
	Path      string
	Staleness time.Duration
	Bound     time.Duration
	Known     bool
}

func (e *StaleError) Error() string {
	if !e.Known {
		return fmt.Sprintf("read %s: %v: this member has not caught up with the cluster yet", e.Path, ErrStale)
	}
	return fmt.Sprintf("read %s: %v: %v behind, the route allows %v", e.Path, ErrStale, e.Staleness, e.Bound)
}
func (e *StaleError) Unwrap() error { return ErrStale }

// UnknownOutcomeError is an ErrUnknownOutcome with its cause. With Write, any member can be asked what became of the txn.
type UnknownOutcomeError struct {
	Cause error
	Write WriteID // zero: not known
}

func (e *UnknownOutcomeError) Error() string {
	if e.Write != (WriteID{}) {
		return fmt.Sprintf("%v: write %v: %v", ErrUnknownOutcome, e.Write, e.Cause)
	}
	return fmt.Sprintf("%v: %v", ErrUnknownOutcome, e.Cause)
}
func (e *UnknownOutcomeError) Unwrap() []error { return []error{ErrUnknownOutcome, e.Cause} }
