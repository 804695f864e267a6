package tree

import (
	"bytes"
	"fmt"
	"math"

	"github.com/strata-coord/strata/tiers"
)

// Apply applies txn number n of an origin. It takes the next zxid if it succeeds, and fires its events before it returns.
// Errors: ErrRepeat, ErrGap, ErrOldIncarnation (nothing was done); else the *tiers.OpError of the op that failed, with all
// Results in the receipt, and the number is used.
func (t *Tree) Apply(at int64, from Origin, n uint64, txn *tiers.Txn) (tiers.Receipt, error) {
	t.mu.Lock()
	r, err := t.apply(at, from, n, txn)
	t.mu.Unlock()
	t.tell()
	return r, err
}

func (t *Tree) apply(at int64, from Origin, n uint64, txn *tiers.Txn) (tiers.Receipt, error) {
	p := t.origins[from.Member]
	switch {
	case from.Incarnation < p.incarnation:
		return tiers.Receipt{Zxid: t.zxid}, ErrOldIncarnation
	case from.Incarnation > p.incarnation:
		p = position{incarnation: from.Incarnation}
	}
	switch {
	case n <= p.number:
		return tiers.Receipt{Zxid: t.zxid}, ErrRepeat
	case n > p.number+1:
		return tiers.Receipt{Zxid: t.zxid}, ErrGap
	}
	p.number = n
	t.origins[from.Member] = p

	a := applying{Tree: t, at: t.clock(at), z: t.zxid + 1, from: from, txn: txn, results: make([]tiers.Result, len(txn.Ops))}
	if err := a.admit(); err != nil {
		return a.fail(0, err)
	}
	for i := range txn.Ops {
		if err := a.do(&txn.Ops[i], &a.results[i]); err != nil {
			return a.fail(i, err)
		}
	}
	t.succeed(a.z)
	return tiers.Receipt{Zxid: t.zxid, Results: a.results}, nil
}

// succeed makes what was changed the state of commit z.
func (t *Tree) succeed(z tiers.Zxid) {
	t.zxid = z
	t.undo = t.undo[:0]
	for _, ev := range t.events {
		t.hub.Fire(ev)
	}
	clear(t.events)
	t.events = t.events[:0]
}

// applying is one txn on its way into the tree.
type applying struct {
	*Tree
	at      int64
	z       tiers.Zxid
	from    Origin
	txn     *tiers.Txn
	results []tiers.Result
}

func (a *applying) fail(at int, err error) (tiers.Receipt, error) {
	a.rollback()
	for i := range a.results {
		switch {
		case i < at:
			a.results[i] = tiers.Result{Err: tiers.ErrRolledBack}
		case i > at:
			a.results[i] = tiers.Result{Err: tiers.ErrNotTried}
		default:
			a.results[i] = tiers.Result{Err: err}
		}
	}
	e := &tiers.OpError{Op: "txn", Err: err}
	if at < len(a.txn.Ops) {
		e.Op, e.Path = a.txn.Ops[at].Kind.String(), a.txn.Ops[at].Path
	}
	return tiers.Receipt{Zxid: a.zxid, Results: a.results}, e
}

// admit checks the session: it may have ended, and a member that it has left may not act for it any more.
func (a *applying) admit() error {
	ops := a.txn.Ops
	if len(ops) > 0 && (ops[0].Kind == tiers.OpOpenSession || ops[0].Kind == tiers.OpCloseSession) && len(ops) > 1 {
		return fmt.Errorf("%w: ops on a session stand alone", tiers.ErrBadArguments)
	}
	if a.txn.Session == 0 || (len(ops) > 0 && ops[0].Kind == tiers.OpOpenSession) {
		return nil
	}
	s := a.live.get(a.txn.Session)
	switch {
	case s != nil && s.host != a.from:
		return tiers.ErrSessionMoved
	case s == nil && a.ended.has(a.txn.Session):
		return tiers.ErrSessionExpired
	}
	return nil
}

func (a *applying) do(op *tiers.Op, r *tiers.Result) error {
	switch op.Kind {
	case tiers.OpCreate:
		return a.create(op, r)
	case tiers.OpDelete:
		return a.delete(op)
	case tiers.OpSetData:
		return a.setData(op, r)
	case tiers.OpSetACL:
		return a.setACL(op, r)
	case tiers.OpCheck:
		return a.check(op)
	case tiers.OpOpenSession:
		return a.openSession(a.txn.Session, op.Timeout, a.from, a.z)
	case tiers.OpCloseSession:
		if a.live.get(a.txn.Session) != nil {
			a.endSession(a.txn.Session, a.z)
		}
		return nil
	}
	return fmt.Errorf("%w: op %d", tiers.ErrBadArguments, op.Kind)
}

// create checks in the order of zk-protocol 5.2.
func (a *applying) create(op *tiers.Op, r *tiers.Result) error {
	if op.Mode < tiers.Persistent || op.Mode > tiers.PersistentSequentialTTL {
		return fmt.Errorf("%w: create mode %d", tiers.ErrBadArguments, op.Mode)
	}
	if op.Mode.IsTTL() != (op.TTL != 0) || op.TTL < 0 || op.TTL > tiers.MaxTTL {
		return fmt.Errorf("%w: a TTL of %v", tiers.ErrBadArguments, op.TTL)
	}
	if op.Mode.IsEphemeral() && a.live.get(a.txn.Session) == nil {
		return tiers.ErrSessionExpired
	}
	if op.Path == "" || op.Path[0] != '/' || bytes.IndexByte([]byte(op.Path), 0) >= 0 {
		return tiers.ErrBadArguments
	}
	acl, ok := fixACL(op.ACL, a.txn.Caller)
	if !ok {
		return tiers.ErrInvalidACL
	}
	if op.Path == "/" && !op.Mode.IsSequential() {
		return tiers.ErrNodeExists
	}
	parentPath, _ := split(op.Path)
	parent := a.znodes.get(parentPath)
	if parent == nil {
		return tiers.ErrNoNode
	}
	if !allowed(parent.acl, tiers.PermCreate, a.txn.Caller) {
		return tiers.ErrNoAuth
	}
	path := op.Path
	if op.Mode.IsSequential() {
		path = fmt.Sprintf("%s%010d", path, parent.creates)
	}
	switch {
	case !validPath(path):
		return tiers.ErrBadArguments
	case a.znodes.get(path) != nil:
		return tiers.ErrNodeExists
	case parent.kind == ephemeral:
		return tiers.ErrEphemeral
	case parent.creates == math.MaxInt32:
		return fmt.Errorf("%w: the parent's sequence numbers are used up", tiers.ErrNodeExists)
	}
	p := a.edit(parentPath)
	p.creates++
	p.pzxid = a.z
	z := &znode{state: state{
		data: bytes.Clone(op.Data), acl: a.intern(acl),
		czxid: a.z, mzxid: a.z, pzxid: a.z, ctime: a.at, mtime: a.at,
	}}
	switch {
	case op.Mode.IsEphemeral():
		z.kind, z.owner = ephemeral, a.txn.Session
	case op.Mode == tiers.Container:
		z.kind = container
	case op.Mode.IsTTL():
		z.kind, z.ttl = expiring, op.TTL
	}
	a.undo = append(a.undo, change{path, nil})
	a.insert(path, z)
	a.event(tiers.NodeCreated, path, z, a.z)
	a.event(tiers.NodeChildrenChanged, parentPath, p, a.z)
	r.Path, r.Stat = path, z.stat()
	return nil
}

func (a *applying) delete(op *tiers.Op) error {
	if op.Path == "" || op.Path[0] != '/' || bytes.IndexByte([]byte(op.Path), 0) >= 0 || special(op.Path) {
		return tiers.ErrBadArguments
	}
	parentPath, _ := split(op.Path)
	parent := a.znodes.get(parentPath)
	if parent == nil {
		return tiers.ErrNoNode
	}
	if !allowed(parent.acl, tiers.PermDelete, a.txn.Caller) {
		return tiers.ErrNoAuth
	}
	z := a.znodes.get(op.Path)
	switch {
	case z == nil:
		return tiers.ErrNoNode
	case op.Version != tiers.AnyVersion && op.Version != z.version:
		return tiers.ErrBadVersion
	case z.kids.len() > 0:
		return tiers.ErrNotEmpty
	}
	a.deleteZnode(op.Path, a.z)
	return nil
}

// deleteZnode deletes a childless znode in commit zxid.
func (t *Tree) deleteZnode(path string, zxid tiers.Zxid) {
	z := t.znodes.get(path)
	parentPath, _ := split(path)
	p := t.edit(parentPath)
	p.pzxid = zxid
	t.undo = append(t.undo, change{path, z})
	t.remove(path)
	t.event(tiers.NodeDeleted, path, z, zxid)
	t.event(tiers.NodeChildrenChanged, parentPath, p, zxid)
}

func (t *Tree) event(e tiers.EventType, path string, z *znode, zxid tiers.Zxid) {
	t.events = append(t.events, tiers.Event{Type: e, Path: path, Zxid: zxid, ACL: z.acl})
}

// target is the znode of a setData, setACL or check, for callers with the permission.
func (a *applying) target(op *tiers.Op, perm tiers.Perm) (*znode, error) {
	z := a.znodes.get(op.Path)
	if z == nil {
		return nil, tiers.ErrNoNode
	}
	if !allowed(z.acl, perm, a.txn.Caller) {
		return nil, tiers.ErrNoAuth
	}
	return z, nil
}

func (a *applying) setData(op *tiers.Op, r *tiers.Result) error {
	if !validPath(op.Path) {
		return tiers.ErrBadArguments
	}
	z, err := a.target(op, tiers.PermWrite)
	if err != nil {
		return err
	}
	if op.Path == "/zookeeper/config" {
		return fmt.Errorf("%w: the configuration is changed by changing the membership", tiers.ErrNoAuth)
	}
	if op.Version != tiers.AnyVersion && op.Version != z.version {
		return tiers.ErrBadVersion
	}
	z = a.edit(op.Path)
	a.dataBytes += int64(len(op.Data)) - int64(len(z.data))
	z.data = bytes.Clone(op.Data)
	z.version++
	z.mzxid, z.mtime = a.z, a.at
	a.event(tiers.NodeDataChanged, op.Path, z, a.z)
	r.Stat = z.stat()
	return nil
}

func (a *applying) setACL(op *tiers.Op, r *tiers.Result) error {
	if !validPath(op.Path) {
		return tiers.ErrBadArguments
	}
	acl, ok := fixACL(op.ACL, a.txn.Caller)
	if !ok {
		return tiers.ErrInvalidACL
	}
	z, err := a.target(op, tiers.PermAdmin)
	if err != nil {
		return err
	}
	if op.Version != tiers.AnyVersion && op.Version != z.aversion {
		return tiers.ErrBadVersion
	}
	z = a.edit(op.Path)
	z.acl = a.intern(acl)
	z.aversion++
	r.Stat = z.stat()
	return nil
}

func (a *applying) check(op *tiers.Op) error {
	if !validPath(op.Path) {
		return tiers.ErrBadArguments
	}
	z, err := a.target(op, tiers.PermRead)
	if err != nil {
		return err
	}
	if op.Version != tiers.AnyVersion && op.Version != z.version {
		return tiers.ErrBadVersion
	}
	return nil
}
