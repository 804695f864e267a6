package zkcompat

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// Why a connection ends. Only logs show them.
var (
	errGone         = errors.New("the client is gone")
	errFrame        = errors.New("a frame of an impossible length")
	errTakenTooSlow = errors.New("the client does not take its events")
	errLeaving      = errors.New("the server is closing")
	errSent         = errors.New("everything is sent")
	errLingered     = errors.New("the last replies were not taken in time")
)

// codes is what clients are told. The first match counts: an unknown outcome may wrap anything.
var codes = []struct {
	err  error
	code jute.Code
}{
	{tiers.ErrUnknownOutcome, jute.CodeConnectionLoss},
	{tiers.ErrNoSpace, jute.CodeSystemError},
	{tiers.ErrUnavailable, jute.CodeConnectionLoss},
	{tiers.ErrStale, jute.CodeConnectionLoss},
	{tiers.ErrClosed, jute.CodeConnectionLoss},
	{context.Canceled, jute.CodeConnectionLoss},
	{context.DeadlineExceeded, jute.CodeConnectionLoss},
	{tiers.ErrContract, jute.CodeUnimplemented},
	{tiers.ErrRolledBack, jute.CodeOK},
	{tiers.ErrNotTried, jute.CodeRuntimeInconsistency},
	{tiers.ErrNoNode, jute.CodeNoNode},
	{tiers.ErrNodeExists, jute.CodeNodeExists},
	{tiers.ErrNotEmpty, jute.CodeNotEmpty},
	{tiers.ErrBadVersion, jute.CodeBadVersion},
	{tiers.ErrNoAuth, jute.CodeNoAuth},
	{tiers.ErrInvalidACL, jute.CodeInvalidACL},
	{tiers.ErrEphemeral, jute.CodeNoChildrenForEphemerals},
	{tiers.ErrBadArguments, jute.CodeBadArguments},
	{tiers.ErrTooLarge, jute.CodeBadArguments},
	{tiers.ErrQuotaExceeded, jute.CodeQuotaExceeded},
	{tiers.ErrNoWatcher, jute.CodeNoWatcher},
	{tiers.ErrSessionExpired, jute.CodeSessionExpired},
	{tiers.ErrBadPassword, jute.CodeAuthFailed},
	{tiers.ErrStandalone, jute.CodeUnimplemented},
	{tiers.ErrReconfigInProgress, jute.CodeReconfigInProgress},
	{tiers.ErrNewConfigNoQuorum, jute.CodeNewConfigNoQuorum},
}

func codeOf(err error) jute.Code {
	if err == nil {
		return jute.CodeOK
	}
	for i := range codes {
		if errors.Is(err, codes[i].err) {
			return codes[i].code
		}
	}
	return jute.CodeSystemError
}

// moved tells whether the session belongs to another connection by now: then nothing may be answered here.
func moved(err error) bool {
	return errors.Is(err, tiers.ErrSessionMoved) && !errors.Is(err, tiers.ErrUnknownOutcome)
}

// ofWhole tells whether a multi that failed so failed as a whole: the reply's header says it, there are no results.
func ofWhole(c jute.Code) bool {
	switch c {
	case jute.CodeConnectionLoss, jute.CodeUnimplemented, jute.CodeSessionExpired, jute.CodeSystemError:
		return true
	}
	return false
}

// notes logs what would otherwise be logged for every request: each once a minute.
type notes struct {
	log *slog.Logger
	mu  sync.Mutex
	// last is when each was logged. Guarded by mu; it is emptied when it has maxNotes.
	last map[note]time.Time
}

type note struct{ what, path string }

const (
	maxNotes   = 1024
	noteWindow = time.Minute
)

func (n *notes) due(what, path string) bool {
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	key := note{what, path}
	if at, ok := n.last[key]; ok && now.Sub(at) < noteWindow {
		return false
	}
	if n.last == nil || len(n.last) >= maxNotes {
		n.last = make(map[note]time.Time)
	}
	n.last[key] = now
	return true
}

// failure logs an error that an operator should know of, because the client alone can't mend it.
func (n *notes) failure(op jute.Opcode, err error, from string, session tiers.SessionID) {
	var contract *tiers.ContractError
	switch {
	case err == nil:
	case errors.Is(err, tiers.ErrNoSpace):
		if n.due("no space", "") {
			n.log.Warn("refused for want of room on the disks", "request", op.String(), "err", err, "client", from, "session", session.String())
		}
	case errors.As(err, &contract):
		if n.due(contract.What, contract.Path) {
			n.log.Warn("refused what the tier of this path does not offer", "request", op.String(), "path", contract.Path,
				"tier", contract.Tier, "asked", contract.What, "change", contract.Hint, "client", from, "session", session.String())
		}
	case errors.Is(err, tiers.ErrNoSpace): // the tier logs it, once: a line per request would take the room that is left
	case codeOf(err) == jute.CodeSystemError && !moved(err):
		if n.due(err.Error(), "") {
			n.log.Error("a request failed in a way that has no code", "request", op.String(), "err", err, "client", from, "session", session.String())
		}
	}
}

// unserved logs an opcode that is not served.
func (n *notes) unserved(op jute.Opcode, from string, session tiers.SessionID) {
	if n.due(op.String(), "") {
		n.log.Warn("closing the connection after a request that is not served, as ZooKeeper does: use a client feature that is in docs/zk-compat.md",
			"request", op.String(), "opcode", int32(op), "client", from, "session", session.String())
	}
}
