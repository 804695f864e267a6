package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// sessionLog is what is known of the life of one session.
type sessionLog struct {
	timeout time.Duration
	touched stamp         // last
	renewed time.Duration // the latest renewal that was confirmed, since the begin of the history; negative: none
	ended   []stamp       // the moments at which members told of its end
	closed  bool
	early   time.Duration // by how much it ended before its renewal allowed; 0: it did not
	late    time.Duration // how long after its last touch it ended
}

// log is for callers that hold mu.
func (r *Recorder) log(id tiers.SessionID) *sessionLog {
	s := r.sessions[id]
	if s == nil {
		s = &sessionLog{renewed: -1}
		r.sessions[id] = s
	}
	return s
}

// SessionOpened writes down a session with its timeout.
func (r *Recorder) SessionOpened(id tiers.SessionID, timeout time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.log(id)
	s.timeout, s.touched = timeout, r.now()
}

func (r *Recorder) touched(id tiers.SessionID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log(id).touched = r.now()
}

// SessionRenewed writes down what the host was promised: that the session lives until at plus its timeout.
func (r *Recorder) SessionRenewed(id tiers.SessionID, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.log(id); !at.IsZero() {
		s.renewed = max(s.renewed, at.Sub(r.begin))
	}
}

// SessionClosed writes down that the client ends the session itself; call it before the close is submitted.
func (r *Recorder) SessionClosed(id tiers.SessionID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log(id).closed = true
}

// SessionEnded writes down that a member tells of the end of the session now.
func (r *Recorder) SessionEnded(id tiers.SessionID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, at := r.log(id), r.now()
	s.ended = append(s.ended, at)
	if len(s.ended) > 1 || s.timeout == 0 {
		return
	}
	if end := s.renewed + s.timeout; s.renewed >= 0 && at.at < end {
		s.early = end - at.at
	}
	s.late = at.at - s.touched.at - s.timeout
}

// checkExpiry: no session that was not closed ends before the time that its host was promised, nor, if there is a bound, later than
// that after its last touch and timeout.
func (h *history) checkExpiry() error {
	for id, s := range h.sessions {
		switch {
		case s.closed:
		case s.early > 0:
			return h.violation("early expiry", fmt.Sprintf("session %v, with a timeout of %v and a renewal confirmed as of %v, ended %v too early", id, s.timeout, s.renewed, s.early), s.ended[0])
		case h.options.ExpiryBound > 0 && len(s.ended) > 0 && s.late > h.options.ExpiryBound:
			return h.violation("late expiry", fmt.Sprintf("session %v ended %v after its timeout of %v was over, %v are allowed", id, s.late, s.timeout, h.options.ExpiryBound), s.ended[0])
		case h.options.ExpiryBound > 0 && len(s.ended) == 0 && s.timeout > 0 && h.end.at-s.touched.at-s.timeout > h.options.ExpiryBound:
			return h.violation("late expiry", fmt.Sprintf("session %v lives, though it was touched last at %v and its timeout is %v", id, s.touched.at, s.timeout), h.end)
		}
	}
	return nil
}

// checkSessions: what a session submits at one member applies in that order, its reads see its own writes, and it never reads older
// state than it has read.
func (h *history) checkSessions() error {
	bySession := make(map[tiers.SessionID][]*Op)
	for _, o := range h.ops {
		if id := o.session(); id != 0 && o.done.seq != never {
			bySession[id] = append(bySession[id], o)
		}
	}
	for id, ops := range bySession {
		sortByCall(ops)
		var last *Op // the txn of the session that applied last, of one client
		byClient := make(map[*Client]*Op)
		for _, o := range ops {
			if o.outcome != OK {
				continue
			}
			last = byClient[o.client]
			if o.query != nil { // behind all that was submitted before it, answered or not
				if last != nil && o.zxid < last.zxid && o.called.seq < last.done.seq { // else: back in time, below
					return h.violation("overtaken write", fmt.Sprintf("session %v reads state of %v behind its own txn, which applied as %v", id, o.zxid, last.zxid), o.done, last, o)
				}
				continue
			}
			if last != nil && last.zxid >= o.zxid {
				return h.violation("session order", fmt.Sprintf("session %v: a later txn applied as %v, an earlier one as %v", id, o.zxid, last.zxid), o.done, last, o)
			}
			byClient[o.client] = o
		}
		// Answers in their order: a read that was called after an answer is not older than that.
		answers := slices.Clone(ops)
		slices.SortFunc(answers, func(a, b *Op) int { return cmp.Compare(a.done.seq, b.done.seq) })
		var newest *Op
		i := 0
		for _, o := range ops {
			for ; i < len(answers) && answers[i].done.seq < o.called.seq; i++ {
				if a := answers[i]; a.outcome == OK && (newest == nil || a.zxid > newest.zxid) {
					newest = a
				}
			}
			if o.query != nil && o.outcome == OK && newest != nil && o.zxid < newest.zxid {
				return h.violation("back in time", fmt.Sprintf("session %v reads state of %v after it saw %v", id, o.zxid, newest.zxid), o.done, newest, o)
			}
		}
	}
	return nil
}
