package tree

import (
	"errors"

	"github.com/strata-coord/strata/tiers"
)

// wellFormed tells what is wrong with an op on a znode in every state of the tree, after its create mode and its session; list is
// the ACL to store. That a path which can't be has no znode is among it.
func wellFormed(op *tiers.Op, caller []tiers.Identity) (list []tiers.ACL, err error) {
	switch op.Kind {
	case tiers.OpCreate:
		if !parented(op.Path) {
			return nil, tiers.ErrBadArguments
		}
		list, ok := storable(op.ACL, caller)
		switch {
		case !ok:
			return nil, tiers.ErrInvalidACL
		case op.Path == "/" && !op.Mode.IsSequential():
			return nil, tiers.ErrNodeExists
		case !validPath(parentOf(op.Path)):
			return nil, tiers.ErrNoNode
		}
		return list, nil
	case tiers.OpDelete:
		switch {
		case !parented(op.Path) || special(op.Path):
			return nil, tiers.ErrBadArguments
		case !validPath(parentOf(op.Path)):
			return nil, tiers.ErrNoNode
		}
		return nil, nil
	default:
		if !validPath(op.Path) {
			return nil, tiers.ErrBadArguments
		}
		if op.Kind != tiers.OpSetACL {
			return nil, nil
		}
		list, ok := storable(op.ACL, caller)
		if !ok {
			return nil, tiers.ErrInvalidACL
		}
		return list, nil
	}
}

// Refusal is what Apply would answer to a txn of one op, where that is an error which follows from the txn alone; with shown, also
// ErrNoNode, ErrNodeExists and ErrNoAuth by the state that is here now. No error: the log must decide. It is not an answer in
// advance of txns of the same session that are not applied yet.
//
// Nothing is refused that an earlier check could have refused otherwise (zk-protocol 5.2): not for a session that is not well here.
func (t *Tree) Refusal(from Origin, txn *tiers.Txn, shown bool) (tiers.Receipt, error) {
	if len(txn.Ops) != 1 {
		return tiers.Receipt{}, nil
	}
	op := &txn.Ops[0]
	wrong := outright(op, txn.Caller)
	if wrong == nil && !shown {
		return tiers.Receipt{}, nil // without a look at the tree, as for nearly all
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	a := applying{Tree: t, from: from, txn: txn}
	err := a.refusal(op, wrong, shown)
	if err == nil {
		return tiers.Receipt{}, nil
	}
	return tiers.Receipt{Zxid: t.zxid, Results: []tiers.Result{{Err: err}}}, &tiers.OpError{Op: op.Kind.String(), Path: op.Path, Err: err}
}

// outright is what is wrong with an op on a znode by itself.
func outright(op *tiers.Op, caller []tiers.Identity) error {
	switch op.Kind {
	case tiers.OpCreate:
		if err := checkMode(op); err != nil {
			return err
		}
	case tiers.OpDelete, tiers.OpSetData, tiers.OpSetACL, tiers.OpCheck:
	default:
		return nil
	}
	_, err := wellFormed(op, caller)
	return err
}

func (a *applying) refusal(op *tiers.Op, wrong error, shown bool) (err error) {
	switch {
	case a.admit() != nil:
		return nil
	case op.Kind == tiers.OpCreate && op.Mode.IsEphemeral() && a.sessions.get(a.txn.Session) == nil && checkMode(op) == nil:
		return nil // the session may be about to be opened
	case wrong != nil || !shown:
		return wrong
	}
	switch op.Kind {
	case tiers.OpCreate:
		if _, err = a.creatable(op); op.Mode.IsSequential() && errors.Is(err, tiers.ErrNodeExists) {
			return nil // by a number that may not be the next one any more
		}
	case tiers.OpDelete:
		_, err = a.deletable(op)
	case tiers.OpSetData, tiers.OpSetACL, tiers.OpCheck:
		_, _, err = a.target(op)
	default:
	}
	if errors.Is(err, tiers.ErrNoNode) || errors.Is(err, tiers.ErrNodeExists) || errors.Is(err, tiers.ErrNoAuth) {
		return err
	}
	return nil
}
