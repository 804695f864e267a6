package tiers

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// WriteID names one txn that was given to the replicated tree, for ever and at every member: which start of which member took it, and its number there. Zero
// is none: the txn was refused before it got one, or its tier needs none, as it answers at once.
type WriteID struct {
	Member      uint32
	Incarnation uint32
	Number      uint64
}

// String is MEMBER-INCARNATION-NUMBER, in decimal.
func (w WriteID) String() string { return fmt.Sprintf("%d-%d-%d", w.Member, w.Incarnation, w.Number) }

// ErrWriteID: not what WriteID.String gives.
var ErrWriteID = errors.New("malformed id of a write: want MEMBER-INCARNATION-NUMBER, like 1-3-4711")

// ParseWriteID reads what String has written. Error: ErrWriteID.
func ParseWriteID(s string) (WriteID, error) {
	parts := strings.Split(s, "-")
	if len(parts) != 3 {
		return WriteID{}, fmt.Errorf("%w: %.40q", ErrWriteID, s)
	}
	var n [3]uint64
	for i, bits := range []int{32, 32, 64} {
		var err error
		if n[i], err = strconv.ParseUint(parts[i], 10, bits); err != nil || n[i] == 0 {
			return WriteID{}, fmt.Errorf("%w: %.40q", ErrWriteID, s)
		}
	}
	return WriteID{uint32(n[0]), uint32(n[1]), n[2]}, nil
}

// Fate is what became of a txn.
type Fate uint8

const (
	// FateOpen: not applied up to now; it may be on its way.
	FateOpen Fate = iota
	FateApplied
	FateFailed    // it was decided, and changed nothing: Outcome.Err says why
	FateNever     // it was not applied, and never will be
	FateForgotten // it is older than what is remembered
)

func (f Fate) String() string {
	switch f {
	case FateOpen:
		return "open"
	case FateApplied:
		return "applied"
	case FateFailed:
		return "failed"
	case FateNever:
		return "never"
	case FateForgotten:
		return "forgotten"
	}
	return "unknown fate"
}

// Outcome is what became of a txn, as every member remembers it.
type Outcome struct {
	Fate    Fate
	Write   WriteID // zero: not known
	Session SessionID
	Request RequestID
	Zxid    Zxid      // of FateApplied; of FateFailed what was applied when it was decided
	Time    time.Time // the leader's clock, when it was decided
	Path    string    // of FateApplied: the first znode that was created, with its sequence number; of FateFailed: of the op that failed
	Op      int       // of FateFailed: the index of the op that failed
	Err     error     // of FateFailed: one of this package's
}

// ErrSealed: the txn had been declared one that never will apply, by who asked for its outcome.
var ErrSealed = errors.New("declared never to apply before it arrived")
