package zkcompat

import (
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// change submits a request that writes one znode (or checks one).
func (c *conn) change(s *slot, d *jute.Decoder) error {
	q := jute.NodeOp{Op: s.op}
	if q.Decode(d) != nil {
		return c.garbled(s)
	}
	if c.refuses(q.Path) {
		return c.notReadOnly(s)
	}
	return c.submit(s, c.txnOp(&q))
}

// multi submits its parts as one txn.
func (c *conn) multi(s *slot, d *jute.Decoder) error {
	qs, err := d.Multi(jute.MultiWrites)
	if err != nil {
		return c.garbled(s)
	}
	if c.refusesMulti(qs) {
		return c.notReadOnly(s)
	}
	ops := make([]tiers.Op, len(qs))
	s.ops = make([]jute.Opcode, len(qs))
	for i := range qs {
		ops[i], s.ops[i] = c.txnOp(&qs[i]), qs[i].Op
	}
	return c.submit(s, ops...)
}

// txnOp says in the words of tiers what a request wants. What no tier could make sense of stays recognizably wrong, so that it
// is refused at its place in a multi.
func (c *conn) txnOp(q *jute.NodeOp) tiers.Op {
	op := tiers.Op{Path: q.Path, Version: q.Version}
	switch q.Op {
	case jute.OpDelete:
		op.Kind = tiers.OpDelete
	case jute.OpSetData:
		op.Kind, op.Data = tiers.OpSetData, c.keep(q.Data)
	case jute.OpSetACL:
		op.Kind, op.ACL = tiers.OpSetACL, c.srv.storedACL(q.ACL)
	case jute.OpCheck:
		op.Kind = tiers.OpCheck
	default:
		op.Kind, op.Data, op.ACL = tiers.OpCreate, c.keep(q.Data), c.srv.storedACL(q.ACL)
		op.Mode, op.TTL = createMode(q)
	}
	return op
}

// noMode is a mode that no tier knows.
const noMode tiers.CreateMode = -1

// createMode is what opcode and flags ask for together.
func createMode(q *jute.NodeOp) (tiers.CreateMode, time.Duration) {
	mode := tiers.CreateMode(q.Flags)
	switch {
	case mode < tiers.Persistent || mode > tiers.PersistentSequentialTTL:
		return noMode, 0
	case q.Op == jute.OpCreateTTL:
		if !mode.IsTTL() || q.TTL <= 0 || q.TTL > int64(tiers.MaxTTL/time.Millisecond) {
			return noMode, 0
		}
		return mode, time.Duration(q.TTL) * time.Millisecond
	case mode.IsTTL():
		return noMode, 0
	case q.Op == jute.OpCreateContainer:
		if mode.IsSequential() {
			return tiers.ContainerSequential, 0
		}
		return tiers.Container, 0
	case mode == tiers.Container: // only createContainer makes those
		return tiers.Persistent, 0
	}
	return mode, 0
}
