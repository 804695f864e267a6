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
	// ended are the sessions that ended here: they don't come back for as long as anybody might try.
	ended map[tiers.SessionID]ended
	// moved is when sessions were seen to have gone to another member: what they leave here, it takes over, or it goes after a while.
	moved     map[tiers.SessionID]time.Time
	sequences *sequences
}

// hosted is a session that is attached to this member.
type hosted struct {
	timeout  time.Duration
	touched  time.Time
	attached uint64 // the clock at which it was; see crdt.Record
}

// ended is the end of a session that was attached here; attached is 0 if it was not.
type ended struct {
	at       time.Time
	attached uint64
}

const (
	// endedKept is how long the end of a session is remembered.
	endedKept = time.Hour
	// maxTimeout bounds a session's timeout, in milliseconds: a year.
	maxTimeout = 365 * 24 * 3600 * 1000
	// maxData bounds a znode's data.
	maxData = 4 << 20
)

func newWriter(t *Tier) (*writer, error) {
	w := &writer{t: t, sessions: make(map[tiers.SessionID]*hosted), ended: make(map[tiers.SessionID]ended), moved: make(map[tiers.SessionID]time.Time)}
	w.seq = t.view.records.Known()[t.origin]
	var err error
	w.sequences, err = openSequences(t.cfg.Dir, func(parent string) bool { return t.view.mounts[parent] || t.view.records.Get(parent) != nil })
	return w, err
}

func (w *writer) write(txn *tiers.Txn) (tiers.Receipt, error) {
	err := w.check(txn)
	v := w.t.view
	v.mu.Lock()
	defer v.mu.Unlock()
	r := tiers.Receipt{Results: make([]tiers.Result, len(txn.Ops))}
	var wrote []*crdt.Record
	if err == nil && len(txn.Ops) > 0 {
		wrote, err = w.do(txn.Session, &txn.Ops[0], &r.Results[0])
	}
	for _, x := range wrote {
		w.commit(x)
	}
	w.t.out(wrote)
	r.Zxid = v.zxid() // not before the events were stamped: an answer is not older than what it caused
	if err == nil && len(txn.Ops) > 0 && txn.Ops[0].Kind <= tiers.OpSetData && txn.Ops[0].Kind != tiers.OpDelete {
		path := txn.Ops[0].Path
		if r.Results[0].Path != "" {
			path = r.Results[0].Path
		}
		if z := v.znodes[path]; z != nil {
			r.Results[0].Stat = z.stat()
		}
	}
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

// commit merges a record of this member's own and fires its events. Callers hold mu, and pass the record to Tier.out.
func (w *writer) commit(r *crdt.Record) { w.t.view.put(r) }

// next is a record of this member for path, that wins over all it knows. Callers hold mu.
func (w *writer) next(path string, now int64) *crdt.Record {
	w.seq++
	r := &crdt.Record{Path: path, Clock: w.t.view.records.Tick(clock(now)), Origin: w.t.origin, Seq: w.seq, Mtime: now}
	if old := w.t.view.records.Get(path); old != nil {
		r.Epoch = old.Epoch
	}
	return r
}

// tombstone ends a session's record. Callers hold mu.
func (w *writer) tombstone(old *crdt.Record, now time.Time) *crdt.Record {
	r := w.next(old.Path, now.UnixMilli())
	r.Deleted = true
	r.Session, r.Timeout, r.Host, r.Attached = old.Session, old.Timeout, old.Host, old.Attached
	return r
}

// claim says again what a session's record holds, as one of this member's. Callers hold mu.
func (w *writer) claim(old *crdt.Record, s *hosted, now time.Time) *crdt.Record {
	r := w.next(old.Path, now.UnixMilli())
	r.Epoch = max(r.Epoch, s.attached)
	r.Data, r.Ctime, r.Mtime, r.Version = old.Data, old.Ctime, old.Mtime, old.Version
	r.Session, r.Timeout, r.Host, r.Attached = old.Session, s.timeout.Milliseconds(), w.t.origin, s.attached
	return r
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
		if session == 0 || op.Timeout <= 0 || op.Timeout.Milliseconds() > maxTimeout {
			return nil, tiers.ErrBadArguments
		}
		return w.open(session, op.Timeout, at), nil
	}
	if len(op.Data) > maxData {
		return nil, tiers.ErrTooLarge
	}
	v := w.t.view
	path := op.Path
	if op.Kind == tiers.OpCreate && op.Mode.IsSequential() {
		path = numbered(path, 0, 0)
	}
	if !clean(path) {
		return nil, tiers.ErrBadArguments
	}
	z := v.znodes[path]
	if op.Kind == tiers.OpCreate {
		return w.create(session, op, path, now, res)
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
		r.Session, r.Timeout, r.Host, r.Attached = old.Session, old.Timeout, old.Host, old.Attached
	}
	return []*crdt.Record{r}, nil
}

// create makes the znode of a create; path is op's, with some number if it is sequential.
func (w *writer) create(session tiers.SessionID, op *tiers.Op, path string, now int64, res *tiers.Result) ([]*crdt.Record, error) {
	owner := w.sessions[session]
	if op.Mode.IsEphemeral() && owner == nil {
		return nil, tiers.ErrSessionExpired
	}
	if path == "/" {
		return nil, tiers.ErrNodeExists
	}
	parentPath := parentOf(path)
	parent := w.t.view.znodes[parentPath]
	switch {
	case parent == nil:
		return nil, tiers.ErrNoNode
	case !op.Mode.IsSequential() && w.t.view.znodes[path] != nil:
		return nil, tiers.ErrNodeExists
	case parent.record != nil && parent.record.Session != 0:
		return nil, tiers.ErrEphemeral
	}
	if op.Mode.IsSequential() {
		var err error
		if path, err = w.numberedFor(parentPath, op); err != nil {
			return nil, err
		}
	}
	r := w.next(path, now)
	r.Data, r.Ctime = bytes.Clone(op.Data), now
	if op.Mode.IsEphemeral() {
		r.Epoch = max(r.Epoch, owner.attached)
		r.Session, r.Timeout, r.Host, r.Attached = int64(session), owner.timeout.Milliseconds(), w.t.origin, owner.attached
	}
	res.Path = path
	return []*crdt.Record{r}, nil
}

// out makes what was written durable, in the background, and sends it to the others. Callers hold the view's mu.
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
