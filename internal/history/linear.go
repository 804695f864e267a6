package history

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/anishathalye/porcupine"

	"github.com/strata-coord/strata/tiers"
)

// register is a znode as porcupine's model knows it.
type register struct {
	exists  bool
	version int32
	data    string
}

// part is what one call does to one znode.
type part struct {
	op   *Op
	path string
}

// checkLinearizable searches, for each znode that was no ephemeral and that a txn names or got, an order of the calls that agrees with real time and explains all
// answers. Zxids play no role.
func (h *history) checkLinearizable() error {
	parts := make(map[string][]porcupine.Operation)
	clients := make(map[*Client]int)
	unheard := make(map[string]bool) // what sequential creates asked for whose answers were lost: their names are not known
	for _, o := range h.ops {
		if o.txn == nil || o.outcome != Unknown && o.outcome != Open {
			continue
		}
		for i := range o.txn.Ops {
			if op := &o.txn.Ops[i]; op.Kind == tiers.OpCreate && op.Mode.IsSequential() {
				unheard[op.Path] = true
			}
		}
	}
	for _, o := range h.ops {
		if o.outcome == Refused || o.local || o.query != nil && o.outcome == Open {
			continue
		}
		if _, ok := clients[o.client]; !ok {
			clients[o.client] = len(clients)
		}
		end := o.done.seq
		if o.outcome == Unknown || o.outcome == Open {
			end = math.MaxInt64
		}
		for _, path := range o.linearPaths() {
			if !h.ephemeral[path] && !unheard[sequence(path)] {
				parts[path] = append(parts[path], porcupine.Operation{
					ClientId: clients[o.client], Input: part{o, path}, Call: o.called.seq, Output: nil, Return: end})
			}
		}
	}
	model := porcupine.Model{
		Init: func() any { return register{} },
		Step: func(state, input, _ any) (bool, any) {
			p := input.(part)
			return p.step(state.(register))
		},
	}
	for path, ops := range parts {
		if !slices.ContainsFunc(ops, func(x porcupine.Operation) bool { return x.Input.(part).op.txn != nil }) {
			continue
		}
		switch porcupine.CheckOperationsTimeout(model, ops, h.options.SearchTime) {
		case porcupine.Illegal:
			return h.violation("linearizability", fmt.Sprintf("no order of the %d calls explains the answers about %s", len(ops), path), h.end, about(ops)...)
		case porcupine.Unknown:
			return h.violation("linearizability", fmt.Sprintf("no verdict on the %d calls about %s within %v: make the load on a znode smaller", len(ops), path, h.options.SearchTime), h.end)
		}
	}
	return nil
}

func about(ops []porcupine.Operation) (os []*Op) {
	for _, x := range ops[max(0, len(ops)-40):] {
		os = append(os, x.Input.(part).op)
	}
	return os
}

// pathOf is the path of the i'th op, with its number if it is a sequential create that was answered.
func (o *Op) pathOf(i int) string {
	if op := &o.txn.Ops[i]; o.outcome != OK || op.Kind != tiers.OpCreate {
		return op.Path
	}
	return o.results[i].Path
}

// linearPaths are the znodes of which the call says or changes something that the model knows.
func (o *Op) linearPaths() (paths []string) {
	if o.query != nil {
		if o.query.Want == tiers.WantStat || o.query.Want == tiers.WantData {
			return []string{o.query.Path}
		}
		return nil
	}
	if o.outcome == Failed && len(o.txn.Ops) > 1 {
		return nil
	}
	seen := make(map[string]bool)
	for i := range o.txn.Ops {
		op := &o.txn.Ops[i]
		switch {
		case op.Kind != tiers.OpCreate && op.Kind != tiers.OpDelete && op.Kind != tiers.OpSetData:
		case op.Kind == tiers.OpCreate && op.Mode.IsSequential() && o.outcome != OK:
		case !seen[o.pathOf(i)]:
			seen[o.pathOf(i)] = true
			paths = append(paths, o.pathOf(i))
		}
	}
	return paths
}

// step tells whether the answer is right in that state, and the state after it.
func (p part) step(s register) (bool, register) {
	if p.op.query != nil {
		return p.read(s), s
	}
	next := s
	for i := range p.op.txn.Ops {
		op := &p.op.txn.Ops[i]
		if p.op.pathOf(i) != p.path {
			continue
		}
		ok := false
		switch op.Kind {
		case tiers.OpCreate:
			if ok = !next.exists; ok {
				next = register{exists: true, data: string(op.Data)}
			}
		case tiers.OpSetData:
			if ok = next.exists && hit(op.Version, next.version); ok {
				next.version, next.data = next.version+1, string(op.Data)
				ok = p.op.outcome != OK || p.op.results[i].Stat.Version == next.version
			}
		case tiers.OpDelete:
			if ok = next.exists && hit(op.Version, next.version); ok {
				next = register{}
			}
		default:
			continue
		}
		switch {
		case p.op.outcome == Failed:
			return p.refused(op, s), s
		case p.op.outcome != OK && !ok:
			return true, s // it had no effect
		case !ok:
			return false, s
		}
	}
	return true, next
}

func (p part) read(s register) bool {
	if errors.Is(p.op.err, tiers.ErrNoNode) {
		return !s.exists
	}
	return p.op.outcome != OK || s.exists && s.version == p.op.view.Stat.Version && (p.op.query.Want != tiers.WantData || s.data == string(p.op.view.Data))
}

// refused tells whether the op can have failed as it did.
func (p part) refused(op *tiers.Op, s register) bool {
	switch {
	case errors.Is(p.op.err, tiers.ErrNodeExists):
		return s.exists
	case errors.Is(p.op.err, tiers.ErrNoNode):
		return !s.exists
	case errors.Is(p.op.err, tiers.ErrNotEmpty):
		return s.exists
	case errors.Is(p.op.err, tiers.ErrBadVersion):
		return s.exists && !hit(op.Version, s.version)
	}
	return true
}
