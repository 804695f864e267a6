package memtier

import (
	"slices"

	"github.com/strata-coord/strata/tiers"
)

// offered tells which op of txn the contract refuses, and how.
func (t *Tier) offered(txn *tiers.Txn) (int, error) {
	refuse := func(op *tiers.Op, what string) error {
		return &tiers.ContractError{
			Tier: t.contract.Tier, Path: op.Path, What: what, Hint: "route the path to a tier that offers it",
		}
	}
	if len(txn.Ops) > 1 && !t.contract.Multi {
		return 1, refuse(&txn.Ops[1], "a txn of several ops")
	}
	for i := range txn.Ops {
		op := &txn.Ops[i]
		if what := t.beyond(op); what != "" {
			return i, refuse(op, what)
		}
		if op.Kind == tiers.OpDelete && t.mounts[op.Path] {
			return i, &tiers.OpError{Op: op.Kind.String(), Path: op.Path, Err: tiers.ErrBadArguments}
		}
	}
	return 0, nil
}

// beyond says what of op the contract lacks, or nothing.
func (t *Tier) beyond(op *tiers.Op) string {
	c := &t.contract
	switch op.Kind {
	case tiers.OpCreate:
		switch {
		case op.Mode.IsSequential() && !c.Sequential:
			return "a sequential create"
		case op.Mode.IsEphemeral() && !c.Ephemeral:
			return "an ephemeral create"
		case (op.Mode.IsTTL() || op.Mode.IsContainer()) && !c.Expiring:
			return "a create that expires"
		case !c.ACLs && !slices.Equal(op.ACL, tiers.OpenACL):
			return "an ACL other than the open one"
		}
	case tiers.OpDelete, tiers.OpSetData:
		if op.Version != tiers.AnyVersion && !c.Conditional {
			return "a conditional " + op.Kind.String()
		}
	case tiers.OpSetACL:
		if !c.ACLs {
			return "setting an ACL"
		}
	case tiers.OpCheck:
		if !c.Conditional {
			return "a check"
		}
	case tiers.OpOpenSession, tiers.OpCloseSession:
	}
	return ""
}
