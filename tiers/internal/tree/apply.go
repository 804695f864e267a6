package tree

import (
	"fmt"

	"github.com/strata-coord/strata/tiers"
)

// Apply applies txn number n of an origin, at the leader's time in milliseconds since the Unix epoch. It takes the next zxid
// if it succeeds, and its events are fired before Apply returns.
//
// A member's numbers begin at 1 with each of its incarnations, and no number is applied twice or left out. Errors: ErrRepeat,
// ErrGap, ErrOldIncarnation (nothing was done, the number is not used); else the *tiers.OpError of the op that failed, with all
// Results in the receipt: nothing was done, but the number is used.
func (t *Tree) Apply(at int64, from Origin, n uint64, txn *tiers.Txn) (tiers.Receipt, error) {
	t.mu.Lock()
	r, err := t.apply(at, from, n, txn)
	t.mu.Unlock()
	t.tell()
	return r, err
}

func (t *Tree) apply(at int64, from Origin, n uint64, txn *tiers.Txn) (tiers.Receipt, error) {
	if err := t.count(from, n); err != nil {
		return tiers.Receipt{Zxid: t.zxid}, err
	}
	a := applying{Tree: t, at: t.clock(at), z: t.zxid + 1, from: from, txn: txn, results: make([]tiers.Result, len(txn.Ops))}
	failed, err := a.all(n)
	var r tiers.Receipt
	if err == nil {
		t.succeed(a.z)
		r = tiers.Receipt{Zxid: a.z, Results: a.results}
	} else {
		r, err = a.fail(failed, err)
	}
	r.Write = tiers.WriteID{Member: from.Member, Incarnation: from.Incarnation, Number: n}
	t.remember(from, n, txn, &r, failed, err)
	return r, err
}

// all does the ops, up to the first that fails.
func (a *applying) all(n uint64) (failed int, err error) {
	if a.barred(a.from, n, a.txn) {
		return 0, tiers.ErrSealed
	}
	if len(a.txn.Ops) == 0 {
		return 0, a.admit()
	}
	for i := range a.txn.Ops {
		if err := a.do(&a.txn.Ops[i], &a.results[i]); err != nil {
			return i, err
		}
	}
	return 0, nil
}

// count accepts number n of an origin if it is the next one.
func (t *Tree) count(from Origin, n uint64) error {
	p := t.origins[from.Member]
	switch {
	case from.Incarnation < p.incarnation:
		return ErrOldIncarnation
	case from.Incarnation > p.incarnation:
		p = position{incarnation: from.Incarnation}
	}
	switch {
	case n <= p.number && t.flaw != FlawRepeat:
		return ErrRepeat
	case n > p.number+1 && t.flaw != FlawGap:
		return ErrGap
	}
	p.number = max(p.number, n)
	if old := t.origins[from.Member]; old.incarnation < p.incarnation {
		t.endStart(from.Member, old)
	}
	t.origins[from.Member] = p
	return nil
}

// succeed makes what was changed the state of commit z.
func (t *Tree) succeed(z tiers.Zxid) {
	t.zxid = z
	for _, ev := range t.events {
		t.hub.Fire(ev)
	}
	t.forget()
}

// event is to be fired if the txn succeeds.
func (t *Tree) event(e tiers.EventType, path string, z *state, zxid tiers.Zxid) {
	t.events = append(t.events, tiers.Event{Type: e, Path: path, Zxid: zxid, ACL: z.acl.entries})
}

// applying is one txn on its way into the tree. Each op sees what those before it have changed.
type applying struct {
	*Tree
	at       int64
	z        tiers.Zxid // the commit that this will be
	from     Origin
	txn      *tiers.Txn
	results  []tiers.Result
	admitted bool // the session was looked at, and no op has changed it since
}

// fail undoes what the ops before op i did.
func (a *applying) fail(i int, err error) (tiers.Receipt, error) {
	a.rollback()
	for j := range a.results {
		switch {
		case j < i:
			a.results[j] = tiers.Result{Err: tiers.ErrRolledBack}
		case j > i:
			a.results[j] = tiers.Result{Err: tiers.ErrNotTried}
		default:
			a.results[j] = tiers.Result{Err: err}
		}
	}
	e := &tiers.OpError{Op: "txn", Err: err}
	if i < len(a.txn.Ops) {
		e.Op, e.Path = a.txn.Ops[i].Kind.String(), a.txn.Ops[i].Path
	}
	return tiers.Receipt{Zxid: a.zxid, Results: a.results}, e
}

// admit checks the txn's session: it must not have ended, and a member that it has left may not act for it any more. A session
// that the tree does not know is none of its business.
func (a *applying) admit() error {
	if a.admitted || a.txn.Session == 0 {
		return nil
	}
	s := a.sessions.get(a.txn.Session)
	switch {
	case s != nil && s.host != a.from:
		return tiers.ErrSessionMoved
	case s == nil && a.ended.has(a.txn.Session):
		return tiers.ErrSessionExpired
	}
	a.admitted = true
	return nil
}

func (a *applying) do(op *tiers.Op, r *tiers.Result) error {
	if op.Kind == tiers.OpOpenSession { // its business is that the session comes here: from elsewhere, too
		a.admitted = false
		return a.openSession(a.txn.Session, op.Timeout, a.from, a.z)
	}
	if err := a.admit(); err != nil {
		return err
	}
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
	case tiers.OpCloseSession:
		a.admitted = false
		a.endSession(a.txn.Session, a.z)
		return nil
	}
	return fmt.Errorf("%w: %v %d", tiers.ErrBadArguments, op.Kind, uint8(op.Kind))
}
