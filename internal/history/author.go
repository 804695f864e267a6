package history

import (
	"fmt"
	"slices"

	"github.com/strata-coord/strata/tiers"
)

// checkAuthors: what only reads have told was done by somebody whose answer was lost, called before it was seen. So neither what was refused
// takes effect, nor does what nobody asked for.
func (h *history) checkAuthors() error {
	for path, fs := range h.facts {
		if !h.ours(path) {
			continue
		}
		for i := range fs {
			f := &fs[i]
			if !f.learnt || h.authorOf(path, f) {
				continue
			}
			what := "created"
			if f.change == written {
				what = "written"
			}
			return h.violation("out of nothing", fmt.Sprintf("%s was %s as %v (%.24q), and nobody did it", path, what, f.zxid, f.data), h.doneOf(f.op), ops(f.op)...)
		}
	}
	return nil
}

// ours tells whether recorded txns name the path. What they don't name is somebody else's, or older than this history.
func (h *history) ours(path string) bool { return h.named[path] || h.named[sequence(path)] }

// authorOf tells whether a txn whose answer was lost may have made that fact.
func (h *history) authorOf(path string, f *fact) bool {
	may := func(o *Op, path string) bool {
		for i := range o.txn.Ops {
			op := &o.txn.Ops[i]
			kind := op.Kind == tiers.OpCreate && f.change == created || op.Kind == tiers.OpSetData && f.change == written
			if kind && op.Path == path && (!f.known || string(op.Data) == f.data) && o.called.seq < h.doneOf(f.op).seq {
				return true
			}
		}
		return false
	}
	if slices.ContainsFunc(h.doubtful[path], func(o *Op) bool { return may(o, path) }) {
		return true
	}
	asked := sequence(path)
	return f.change == created && slices.ContainsFunc(h.doubtful[asked], func(o *Op) bool { return may(o, asked) })
}
