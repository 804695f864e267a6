package eventual

import (
	"bytes"
	"strings"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

// writer is what this member itself writes, and the sessions it hosts. Its state is guarded by the view's mu.
type writer struct {
	t        *Tier
	seq      uint64
	sessions map[tiers.SessionID]*hosted
	// ended are the sessions that ended here, and when: they don't come back for as long as anybody might try.
	ended map[tiers.SessionID]time.Time
}

// hosted is a session that is attached to this member.
type hosted struct {
	timeout time.Duration
	touched time.Time
}

// endedKept is how long the end of a session is remembered.
const endedKept = time.Hour

func newWriter(t *Tier) *writer {
	w := &writer{t: t, sessions: make(map[tiers.SessionID]*hosted), ended: make(map[tiers.SessionID]time.Time)}
	w.seq = t.view.records.Known()[t.origin]
	return w
}

func (w *writer) write(txn *tiers.Txn) (tiers.Receipt, error) {
	err := check(txn)
	v := w.t.view
	v.mu.Lock()
	r := tiers.Receipt{Zxid: v.zxid(), Results: make([]tiers.Result, len(txn.Ops))}
	var wrote []*crdt.Record
	if err == nil && len(txn.Ops) > 0 {
		wrote, err = w.do(txn.Session, &txn.Ops[0], &r.Results[0])
	}
	w.commit(wrote)
	if err == nil && len(txn.Ops) > 0 && txn.Ops[0].Kind <= tiers.OpSetData && txn.Ops[0].Kind != tiers.OpDelete {
		if z := v.znodes[txn.Ops[0].Path]; z != nil {
			r.Results[0].Stat = z.stat()
		}
	}
	v.mu.Unlock()
	w.t.out(wrote)
	if err == nil {
		return r, nil
	}
	for i := range r.Results {
		r.Results[i] = tiers.Result{Err: err}
	}
	e := &tiers.OpError{Op: "txn", Err: err}
	if len(txn.Ops) > 0 {
		e.Op, e.Path = txn.Ops[0].Kind.String(), txn.Ops[0].Path
	}
	return r, e
}

// commit merges this member's own records and fires their events. Callers hold mu.
func (w *writer) commit(rs []*crdt.Record) {
	for _, r := range rs {
		w.t.view.records.Merge(r)
		w.t.view.show(r.Path)
		w.t.view.fire()
	}
}

// next is a record of this member for path, that wins over all it knows. Callers hold mu.
func (w *writer) next(path string, now int64) *crdt.Record {
	w.seq++
	return &crdt.Record{Path: path, Clock: w.t.view.records.Tick(clock(now)), Origin: w.t.origin, Seq: w.seq, Mtime: now}
}

// clock is the scale of hybrid clocks: milliseconds with room for 65,536 writes in each.
func clock(millis int64) uint64 { return uint64(millis) << 16 }

func (w *writer) do(session tiers.SessionID, op *tiers.Op, res *tiers.Result) ([]*crdt.Record, error) {
	at := time.Now()
	now := at.UnixMilli()
	if op.Kind == tiers.OpCloseSession {
		return w.end(session, at), nil
	}
	if _, ended := w.ended[session]; ended {
		return nil, tiers.ErrSessionExpired
	}
	if op.Kind == tiers.OpOpenSession {
		if session == 0 || op.Timeout <= 0 {
			return nil, tiers.ErrBadArguments
		}
		w.sessions[session] = &hosted{timeout: op.Timeout, touched: at}
		return w.adopt(session, op.Timeout, now), nil
	}
	v := w.t.view
	path := op.Path
	if !clean(path) {
		return nil, tiers.ErrBadArguments
	}
	z := v.znodes[path]
	if op.Kind == tiers.OpCreate {
		return w.create(session, op, z, now, res)
	}
	switch {
	case op.Kind == tiers.OpDelete && (v.mounts[path] || path == "/"):
		return nil, tiers.ErrBadArguments
	case z == nil:
		return nil, tiers.ErrNoNode
	case op.Kind == tiers.OpDelete && len(z.kids) > 0:
		return nil, tiers.ErrNotEmpty
	}
	r := w.next(path, now)
	if op.Kind == tiers.OpDelete {
		r.Deleted = true
		return []*crdt.Record{r}, nil
	}
	r.Data, r.Ctime, r.Version = bytes.Clone(op.Data), now, 1
	if old := z.record; old != nil {
		r.Ctime, r.Version = old.Ctime, old.Version+1
		r.Session, r.Timeout, r.Host = old.Session, old.Timeout, old.Host
	}
	return []*crdt.Record{r}, nil
}

func (w *writer) create(session tiers.SessionID, op *tiers.Op, z *znode, now int64, res *tiers.Result) ([]*crdt.Record, error) {
	owner := w.sessions[session]
	if op.Mode.IsEphemeral() && owner == nil {
		return nil, tiers.ErrSessionExpired
	}
	if op.Path == "/" {
		return nil, tiers.ErrNodeExists
	}
	parent := w.t.view.znodes[parentOf(op.Path)]
	switch {
	case parent == nil:
		return nil, tiers.ErrNoNode
	case z != nil:
		return nil, tiers.ErrNodeExists
	case parent.record != nil && parent.record.Session != 0:
		return nil, tiers.ErrEphemeral
	}
	r := w.next(op.Path, now)
	r.Data, r.Ctime = bytes.Clone(op.Data), now
	if op.Mode.IsEphemeral() {
		r.Session, r.Timeout, r.Host = int64(session), owner.timeout.Milliseconds(), w.t.origin
	}
	res.Path = op.Path
	return []*crdt.Record{r}, nil
}

// adopt takes the records of a session over from the member that hosted it. Callers hold mu.
func (w *writer) adopt(session tiers.SessionID, timeout time.Duration, now int64) (rs []*crdt.Record) {
	for _, old := range w.t.view.ephemerals(int64(session)) {
		if old.Host != w.t.origin || old.Timeout != timeout.Milliseconds() {
			r := w.next(old.Path, now)
			r.Data, r.Ctime, r.Mtime, r.Version = old.Data, old.Ctime, old.Mtime, old.Version
			r.Session, r.Timeout, r.Host = old.Session, timeout.Milliseconds(), w.t.origin
			rs = append(rs, r)
		}
	}
	return rs
}

// end ends a session here. Callers hold mu.
func (w *writer) end(session tiers.SessionID, at time.Time) []*crdt.Record {
	delete(w.sessions, session)
	if session != 0 {
		w.ended[session] = at
	}
	return w.release(session, at.UnixMilli())
}

// expire ends the sessions that this member has not heard of for their timeout. Callers hold mu.
func (w *writer) expire(now time.Time) (rs []*crdt.Record) {
	for id, s := range w.sessions {
		if w.t.cfg.Expire && now.Sub(s.touched) > s.timeout {
			rs = append(rs, w.end(id, now)...)
		}
	}
	for id, at := range w.ended {
		if now.Sub(at) > endedKept {
			delete(w.ended, id)
		}
	}
	return rs
}

// release deletes the records of a session that are hosted here. Callers hold mu.
func (w *writer) release(session tiers.SessionID, now int64) (rs []*crdt.Record) {
	for _, old := range w.t.view.ephemerals(int64(session)) {
		if old.Host == w.t.origin {
			r := w.next(old.Path, now)
			r.Deleted = true
			rs = append(rs, r)
		}
	}
	return rs
}

// out makes what was written durable, in the background, and sends it to the others.
func (t *Tier) out(rs []*crdt.Record) {
	if len(rs) == 0 {
		return
	}
	t.disk.append(rs)
	t.spread.send(rs)
}

// clean tells whether a path is one that ZooKeeper's clients may use (zk-protocol 6.1).
func clean(p string) bool {
	if p == "/" {
		return true
	}
	if p == "" || p[0] != '/' || strings.HasSuffix(p, "/") {
		return false
	}
	for _, r := range p {
		if r < 0x20 || (r >= 0x7f && r <= 0x9f) || (r >= 0xd800 && r <= 0xf8ff) || r >= 0xfff0 {
			return false
		}
	}
	for c := range strings.SplitSeq(p[1:], "/") {
		if c == "" || c == "." || c == ".." {
			return false
		}
	}
	return true
}
