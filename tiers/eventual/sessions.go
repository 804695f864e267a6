package eventual

import (
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

// open attaches a session to this member and takes its records over from the member that had it. Callers hold mu.
func (w *writer) open(id tiers.SessionID, timeout time.Duration, now time.Time) (rs []*crdt.Record) {
	s := w.sessions[id]
	if s == nil {
		s = &hosted{attached: w.t.view.records.Tick(clock(now.UnixMilli()))}
		w.sessions[id] = s
		delete(w.moved, id)
	}
	changed := s.timeout != timeout
	s.timeout, s.touched = timeout, now
	for _, old := range w.t.view.ephemerals(int64(id)) {
		if changed || old.Host != w.t.origin || old.Attached < s.attached {
			rs = append(rs, w.claim(old, s, now))
		}
	}
	return rs
}

// end ends a session here: its records that are hosted here go. Callers hold mu.
func (w *writer) end(id tiers.SessionID, now time.Time) (rs []*crdt.Record) {
	if id == 0 {
		return nil
	}
	e := ended{at: now}
	if s := w.sessions[id]; s != nil {
		e.attached = s.attached
	}
	delete(w.sessions, id)
	delete(w.moved, id)
	w.ended[id] = e
	for _, old := range w.t.view.ephemerals(int64(id)) {
		if old.Host == w.t.origin {
			rs = append(rs, w.tombstone(old, now))
		}
	}
	return rs
}

// heed is what this member has to say to another one's record r, that has just replaced old (nil: none): it takes over what a
// session that it hosts left elsewhere, ends what a session that ended here left, says again what others gave up, and notes when a session has
// moved away. Callers hold mu, and commit what it returns.
func (w *writer) heed(old, r *crdt.Record, now time.Time) *crdt.Record {
	if r.Session == 0 {
		return nil
	}
	id := tiers.SessionID(r.Session)
	s := w.sessions[id]
	_, gone := w.moved[id]
	switch {
	case s == nil && !gone && !r.Deleted && r.Host == w.t.origin:
		return w.tombstone(r, now) // somebody set it when the session had just ended, or was away until its end was forgotten
	case r.Origin == w.t.origin:
		return nil
	case s == nil:
		e, over := w.ended[id]
		switch {
		case !over || r.Deleted || r.Host == w.t.origin:
		case r.Attached <= e.attached:
			x := w.tombstone(r, now)
			x.Epoch = max(x.Epoch, e.attached)
			x.Host, x.Attached = w.t.origin, e.attached // so that the former host sees that the session had left it
			return x
		default: // it has been attached elsewhere since
			delete(w.ended, id)
		}
		return nil
	}
	later := r.Attached > s.attached || (r.Attached == s.attached && r.Host.Compare(w.t.origin) > 0)
	switch {
	case later && r.Host != w.t.origin:
		delete(w.sessions, id)
		w.moved[id] = now
	case r.Deleted && old != nil && !old.Deleted && old.Session == r.Session && old.Host == w.t.origin:
		// Others thought that this member was gone for good.
		s.attached = w.t.view.records.Tick(clock(now.UnixMilli()))
		return w.claim(old, s, now)
	case !r.Deleted && r.Host != w.t.origin:
		return w.claim(r, s, now)
	}
	return nil
}

// expire ends the sessions that this member has not heard of for their timeout, if that is its business, and what moved ones left
// here and nobody has taken over. Callers hold mu, and commit what it returns.
func (w *writer) expire(now time.Time) (rs []*crdt.Record) {
	if w.t.cfg.Expire {
		for id, s := range w.sessions {
			if now.Sub(s.touched) > s.timeout {
				rs = append(rs, w.end(id, now)...)
			}
		}
	}
	for id, e := range w.ended {
		if now.Sub(e.at) > endedKept {
			delete(w.ended, id)
		}
	}
	for id, at := range w.moved {
		if w.t.view.hosted[w.t.origin][int64(id)] == 0 {
			delete(w.moved, id)
			continue
		}
		for _, r := range w.t.view.ephemerals(int64(id)) {
			if r.Host == w.t.origin && now.Sub(at) > time.Duration(r.Timeout)*time.Millisecond {
				rs = append(rs, w.tombstone(r, now))
			}
		}
	}
	return rs
}
