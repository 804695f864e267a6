package tree

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// The tree remembers what became of the last txns, in the order of the log: at least outcomesKept, in chunks that are dropped whole. A chunk
// begins at a multiple of its length in the count of all txns ever, so that every member drops the same at the same entry.
const (
	outcomeChunk  = 1024
	outcomesKept  = 64 * outcomeChunk
	startsKept    = 16      // ended incarnations of a member, of which the last number is remembered
	sealsKept     = 1 << 16 // seals that are still of use
	firstOutcomes = 64      // room in a fresh tree's first chunk
)

// outcome is a remembered txn.
type outcome struct {
	origin  Origin
	number  uint64
	session tiers.SessionID
	request tiers.RequestID
	zxid    tiers.Zxid
	at      int64 // milliseconds since the Unix epoch
	path    string
	code    outcomeCode
	op      uint16 // that failed
}

// outcomes is the window. Entries never change.
type outcomes struct {
	chunks [][]outcome // of outcomeChunk, but the last one
	base   uint64      // how many txns came before the first one
	whole  bool        // base counts from the tree's beginning
}

// promise says that a txn which had not been applied never will be. It names it by origin and number, or by session and request.
type promise struct {
	Origin  Origin
	Number  uint64
	Session tiers.SessionID
	Request tiers.RequestID
}

func (p promise) compare(q promise) int {
	return cmp.Or(cmp.Compare(p.Origin.Member, q.Origin.Member), cmp.Compare(p.Origin.Incarnation, q.Origin.Incarnation),
		cmp.Compare(p.Number, q.Number), cmp.Compare(p.Session, q.Session), cmp.Compare(p.Request, q.Request))
}

// Withdrawn is the request of a txn that its member has taken back before it was sent. It does nothing and is remembered as one that never applied.
const Withdrawn tiers.RequestID = 1<<64 - 1

// Sealing asks for a seal, by the id of a write or by session and request.
type Sealing struct {
	Write   tiers.WriteID
	Session tiers.SessionID
	Request tiers.RequestID
}

func (s Sealing) promise() promise {
	if s.Write != (tiers.WriteID{}) {
		return promise{Origin: Origin{s.Write.Member, s.Write.Incarnation}, Number: s.Write.Number}
	}
	return promise{Session: s.Session, Request: s.Request}
}

// outcomeCode is an error in the window and in snapshots; the numbers never change.
type outcomeCode uint8

var outcomeErrors = []error{
	0: nil, 1: tiers.ErrNoNode, 2: tiers.ErrNodeExists, 3: tiers.ErrNotEmpty, 4: tiers.ErrBadVersion, 5: tiers.ErrNoAuth, 6: tiers.ErrInvalidACL,
	7: tiers.ErrEphemeral, 8: tiers.ErrBadArguments, 9: tiers.ErrQuotaExceeded, 10: tiers.ErrSessionExpired, 11: tiers.ErrSessionMoved, 12: tiers.ErrSealed,
	13: errOther,
}

var errOther = errors.New("refused")

func codeOf(err error) outcomeCode {
	if err == nil {
		return 0
	}
	for i, e := range outcomeErrors {
		if e != nil && errors.Is(err, e) {
			return outcomeCode(i)
		}
	}
	return outcomeCode(len(outcomeErrors) - 1)
}

// remember notes how txn n of an origin was decided. Called by the applier with mu held.
func (t *Tree) remember(from Origin, n uint64, txn *tiers.Txn, r *tiers.Receipt, failed int, err error) {
	o := outcome{origin: from, number: n, session: txn.Session, request: txn.Request, zxid: r.Zxid, at: t.at, code: codeOf(err)}
	switch {
	case err != nil && failed < len(txn.Ops):
		o.op, o.path = uint16(min(failed, 1<<16-1)), txn.Ops[failed].Path
	case err == nil:
		for i := range r.Results {
			if txn.Ops[i].Kind == tiers.OpCreate {
				o.path = r.Results[i].Path
				break
			}
		}
	}
	t.outcomes.add(o)
}

func (w *outcomes) add(o outcome) {
	last := len(w.chunks) - 1
	if last < 0 || len(w.chunks[last]) == outcomeChunk {
		room := outcomeChunk
		if last < 0 {
			room = firstOutcomes
		}
		w.chunks = append(w.chunks, make([]outcome, 0, room))
		if len(w.chunks) > outcomesKept/outcomeChunk+1 {
			w.chunks = slices.Delete(w.chunks, 0, 1)
			w.base += outcomeChunk
		}
		last = len(w.chunks) - 1
	}
	w.chunks[last] = append(w.chunks[last], o)
}

// now is the window as it is: what is added later does not show.
func (w *outcomes) now() outcomes {
	return outcomes{chunks: slices.Clone(w.chunks), base: w.base, whole: w.whole}
}

// oldest is the first that is remembered; nil for none.
func (w *outcomes) oldest() *outcome {
	if len(w.chunks) == 0 || len(w.chunks[0]) == 0 {
		return nil
	}
	return &w.chunks[0][0]
}

// each calls f for the newest first, until it returns false.
func (w *outcomes) each(f func(o *outcome) bool) {
	for i := len(w.chunks) - 1; i >= 0; i-- {
		for j := len(w.chunks[i]) - 1; j >= 0; j-- {
			if !f(&w.chunks[i][j]) {
				return
			}
		}
	}
}

// public is what it says to a caller.
func (o *outcome) public() tiers.Outcome {
	x := tiers.Outcome{
		Fate: tiers.FateApplied, Write: tiers.WriteID{Member: o.origin.Member, Incarnation: o.origin.Incarnation, Number: o.number},
		Session: o.session, Request: o.request, Zxid: o.zxid, Time: time.UnixMilli(o.at), Path: o.path, Op: int(o.op),
	}
	switch err := outcomeErrors[o.code]; {
	case errors.Is(err, tiers.ErrSealed):
		x.Fate = tiers.FateNever
	case err != nil:
		x.Fate, x.Err = tiers.FateFailed, err
	}
	return x
}

// Outcome is what became of a txn, as far as this tree has applied. FateOpen: it was not applied up to now, and might be.
func (t *Tree) Outcome(id tiers.WriteID) tiers.Outcome {
	t.mu.RLock()
	defer t.mu.RUnlock()
	from := Origin{id.Member, id.Incarnation}
	x := tiers.Outcome{Write: id}
	last, over := t.lastOf(from)
	switch {
	case id.Number <= last:
		x.Fate = tiers.FateForgotten
		t.outcomes.each(func(o *outcome) bool {
			if o.origin == from && o.number == id.Number {
				x = o.public()
				return false
			}
			return true
		})
	case over == startForgotten:
		x.Fate = tiers.FateForgotten
	case over == startOver || t.sealed(promise{Origin: from, Number: id.Number}):
		x.Fate = tiers.FateNever
	}
	return x
}

// OutcomeOf is Outcome by session and request. sent is a time before which the txn was not submitted, by the leaders' clocks; it helps to tell never from
// forgotten. Requests grow within a session: a txn whose predecessor is remembered would be, too.
func (t *Tree) OutcomeOf(session tiers.SessionID, request tiers.RequestID, sent time.Time) tiers.Outcome {
	t.mu.RLock()
	defer t.mu.RUnlock()
	x := tiers.Outcome{Session: session, Request: request, Fate: tiers.FateForgotten}
	first := t.outcomes.oldest()
	covered := t.outcomes.whole && t.outcomes.base == 0 || first != nil && !sent.IsZero() && first.at < sent.UnixMilli()
	found := false
	t.outcomes.each(func(o *outcome) bool {
		switch {
		case o.session != session || o.request == 0:
		case o.request == request:
			x, found = o.public(), true
			return false
		case o.request < request:
			covered = true
		}
		return true
	})
	switch {
	case found || !covered:
	case t.sealed(promise{Session: session, Request: request}) || t.ended.has(session):
		x.Fate = tiers.FateNever
	default:
		x.Fate = tiers.FateOpen
	}
	return x
}

// What is known of a start of a member.
type startState uint8

const (
	startNow       startState = iota // it goes on, or is still to come
	startOver                        // it has ended: nothing more of it is applied
	startForgotten                   // it has ended, and how far it came is not known any more
)

// lastOf is the last number of an origin that was applied. Callers hold mu.
func (t *Tree) lastOf(from Origin) (last uint64, state startState) {
	p := t.origins[from.Member]
	switch {
	case from.Incarnation == p.incarnation:
		return p.number, startNow
	case from.Incarnation > p.incarnation:
		return 0, startNow
	}
	for _, old := range t.starts[from.Member] {
		if old.incarnation == from.Incarnation {
			return old.number, startOver
		}
	}
	// A start that never applied anything leaves no trace.
	olds := t.starts[from.Member]
	if len(olds) > 0 && from.Incarnation > olds[0].incarnation || len(olds) < startsKept && t.outcomes.whole {
		return 0, startOver
	}
	return 0, startForgotten
}

// endStart remembers how far a member's start had come when the next one begins. Called by the applier with mu held.
func (t *Tree) endStart(member uint32, p position) {
	if p.incarnation == 0 {
		return
	}
	olds := t.starts[member]
	if len(olds) == startsKept {
		olds = olds[1:]
	}
	t.starts[member] = append(slices.Clip(olds), p)
	for s := range t.seals {
		if s.Origin.Member == member && s.Origin.Incarnation <= p.incarnation {
			delete(t.seals, s)
		}
	}
}

// Seal promises for each of these txns that, if it was not applied before, it never will be. A seal beyond the number that is kept is not taken.
func (t *Tree) Seal(ss []Sealing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.seals)+len(ss) > sealsKept {
		for s := range t.seals {
			if t.ended.has(s.Session) { // that alone keeps its txns out
				delete(t.seals, s)
			}
		}
	}
	for _, x := range ss {
		s := x.promise()
		if last, over := t.lastOf(s.Origin); s.Number != 0 && (s.Number <= last || over != startNow) || len(t.seals) >= sealsKept {
			continue
		}
		if s.Number == 0 && (s.Session == 0 || s.Request == 0) {
			continue
		}
		t.seals[s] = struct{}{}
	}
}

// sealed is for callers that hold mu.
func (t *Tree) sealed(s promise) bool {
	_, is := t.seals[s]
	return is
}

// barred tells whether a txn that arrives was sealed. Called by the applier with mu held.
func (t *Tree) barred(from Origin, n uint64, txn *tiers.Txn) bool {
	if txn.Request == Withdrawn {
		return true
	}
	if len(t.seals) == 0 {
		return false
	}
	byWrite := promise{Origin: from, Number: n}
	if t.sealed(byWrite) {
		delete(t.seals, byWrite) // the window and the origin's position tell from now on
		return true
	}
	return txn.Request != 0 && t.sealed(promise{Session: txn.Session, Request: txn.Request})
}
