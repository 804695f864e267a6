package history

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strata-coord/strata/tiers"
)

// change is what a fact says of its znode.
type change uint8

const (
	created change = iota + 1
	written
	deleted
)

// fact is a change of a znode of which a caller has learnt: by the answer to its txn or, when that was lost, by a read.
type fact struct {
	change
	zxid    tiers.Zxid
	step    int        // within the txn
	czxid   tiers.Zxid // but of deleted
	version int32      // of deleted: the one that was asked for
	data    string
	known   bool // data
	op      *Op  // who learnt of it; nil: the tree at the end
	learnt  bool // it is not the answer to a txn that tells of it
	owner   tiers.SessionID
}

// checkCommitOrder takes the zxids at their word: each is the place of one txn in one order for all, which agrees with real time. Then
// every answer must be what that order gives. Whoever writes to a znode that a recorded txn names must be recorded too.
func (h *history) checkCommitOrder() error {
	for _, check := range []func() error{h.checkZxids, h.collectTxns, h.collectReads, h.checkOnce, h.checkAuthors, h.checkChains,
		h.checkAnswers, h.checkEphemerals, h.checkChildren, h.checkSequences} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkZxids: a zxid is one txn's, and who begins after another has ended comes after it.
func (h *history) checkZxids() error {
	txns := make(map[tiers.Zxid]*Op)
	answered := make([]*Op, 0, len(h.ops))
	for _, o := range h.ops {
		if o.outcome == OK && o.txn != nil && len(o.txn.Ops) > 0 {
			if other := txns[o.zxid]; other != nil {
				return h.violation("zxid reuse", fmt.Sprintf("two txns have zxid %v", o.zxid), o.done, other, o)
			}
			txns[o.zxid] = o
		}
		if (o.outcome == OK || o.outcome == Failed) && o.zxid > 0 {
			answered = append(answered, o)
		}
	}
	slices.SortFunc(answered, func(a, b *Op) int { return cmp.Compare(a.done.seq, b.done.seq) })
	var newest *Op // of those that had ended
	i := 0
	for _, o := range h.ops {
		for ; i < len(answered) && answered[i].done.seq < o.called.seq; i++ {
			a := answered[i]
			// What a local read or a failed txn saw was committed, but whether a later linearizable read shows it is the same question: it must.
			if newest == nil || a.zxid > newest.zxid {
				newest = a
			}
		}
		if newest == nil || o.zxid == 0 || o.local || o.outcome != OK && !(o.outcome == Failed && o.query != nil) {
			continue
		}
		if o.zxid < newest.zxid || o.txn != nil && o.zxid == newest.zxid {
			what := "a linearizable read shows"
			if o.txn != nil {
				what = "a txn applied as"
			}
			return h.violation("real-time order", fmt.Sprintf("%s %v, and %v had been answered before it was called", what, o.zxid, newest.zxid), o.done, newest, o)
		}
	}
	return nil
}

// doubt notes that o may change its paths.
func (h *history) doubt(o *Op) {
	for i := range o.txn.Ops {
		op := &o.txn.Ops[i]
		h.doubtful[op.Path] = append(h.doubtful[op.Path], o)
	}
}

// mayHave tells whether a doubtful txn that was called before a moment may have done that to path.
func (h *history) mayHave(kind tiers.OpKind, path string, before int64) (n int) {
	for _, o := range h.doubtful[path] {
		for i := range o.txn.Ops {
			if op := &o.txn.Ops[i]; op.Kind == kind && op.Path == path && o.called.seq < before {
				n++
			}
		}
	}
	return n
}

func (h *history) collectTxns() error {
	for _, o := range h.ops {
		if o.txn == nil {
			continue
		}
		for i := range o.txn.Ops {
			op := &o.txn.Ops[i]
			if op.Path != "" { // those of a session have none
				h.named[op.Path] = true
			}
			if op.Kind == tiers.OpCreate && op.Mode != tiers.Persistent && op.Mode != tiers.PersistentSequential {
				h.ephemeral[op.Path] = true
			}
		}
		switch o.outcome {
		case Unknown, Open:
			h.doubt(o)
			continue
		case OK:
		default:
			continue
		}
		for i := range o.txn.Ops {
			op, result := &o.txn.Ops[i], o.results[i]
			f := fact{zxid: o.zxid, step: i, czxid: result.Stat.Czxid, version: result.Stat.Version, op: o, data: string(op.Data), known: true}
			path := op.Path
			switch op.Kind {
			case tiers.OpCreate:
				f.change, path = created, result.Path
				if op.Mode == tiers.Ephemeral || op.Mode == tiers.EphemeralSequential {
					f.owner = o.txn.Session
				}
				if op.Mode != tiers.Persistent && op.Mode != tiers.PersistentSequential {
					h.ephemeral[path] = true
				}
				if result.Stat.Czxid != o.zxid || result.Stat.Version != 0 {
					return h.violation("wrong stat", fmt.Sprintf("a create of %s as %v has czxid %v and version %d", path, o.zxid, result.Stat.Czxid, result.Stat.Version), o.done, o)
				}
			case tiers.OpSetData:
				f.change = written
				if result.Stat.Mzxid != o.zxid || op.Version != tiers.AnyVersion && result.Stat.Version != op.Version+1 {
					return h.violation("wrong stat", fmt.Sprintf("a write of %s as %v has mzxid %v and version %d", path, o.zxid, result.Stat.Mzxid, result.Stat.Version), o.done, o)
				}
			case tiers.OpDelete:
				f.change, f.known, f.version = deleted, false, op.Version
			default:
				continue
			}
			h.facts[path] = append(h.facts[path], f)
		}
	}
	h.sortFacts()
	return nil
}

func (h *history) sortFacts() {
	for _, fs := range h.facts {
		for i := range fs {
			h.newest = max(h.newest, fs[i].zxid)
		}
		slices.SortFunc(fs, func(a, b fact) int { return cmp.Or(cmp.Compare(a.zxid, b.zxid), cmp.Compare(a.step, b.step)) })
	}
}

// at is the last fact of path up to z; nil for none.
func (h *history) at(path string, z tiers.Zxid) *fact {
	fs := h.facts[path]
	i, _ := slices.BinarySearchFunc(fs, z, func(f fact, z tiers.Zxid) int {
		if f.zxid <= z {
			return -1
		}
		return 1
	})
	if i == 0 {
		return nil
	}
	return &fs[i-1]
}

// firstChange is the first known change of path after z; 0 for none.
func (h *history) firstChange(path string, z tiers.Zxid) tiers.Zxid {
	for _, f := range h.facts[path] {
		if f.zxid > z {
			return f.zxid
		}
	}
	return 0
}

// collectReads adds what only reads have told: the effects of txns whose answers were lost.
func (h *history) collectReads() error {
	type key struct {
		path string
		zxid tiers.Zxid
	}
	have := make(map[key]bool)
	for path, fs := range h.facts {
		for _, f := range fs {
			have[key{path, f.zxid}] = true
		}
	}
	learn := func(o *Op, path string, stat tiers.Stat, data []byte, known bool) {
		if k := (key{path, stat.Czxid}); !have[k] && stat.Czxid > 0 {
			have[k] = true
			h.facts[path] = append(h.facts[path], fact{change: created, zxid: stat.Czxid, czxid: stat.Czxid, op: o, learnt: true, owner: stat.EphemeralOwner,
				data: string(data), known: known && stat.Mzxid == stat.Czxid})
		}
		if k := (key{path, stat.Mzxid}); !have[k] && stat.Mzxid > 0 {
			have[k] = true
			h.facts[path] = append(h.facts[path], fact{change: written, zxid: stat.Mzxid, czxid: stat.Czxid, version: stat.Version, op: o, learnt: true, owner: stat.EphemeralOwner,
				data: string(data), known: known})
		}
		if stat.EphemeralOwner != 0 {
			h.ephemeral[path] = true
		}
	}
	for _, o := range h.ops {
		if o.txn != nil && o.outcome == OK { // a write tells when its znode was created
			for i := range o.txn.Ops {
				if o.txn.Ops[i].Kind == tiers.OpSetData {
					learn(o, o.txn.Ops[i].Path, tiers.Stat{Czxid: o.results[i].Stat.Czxid, EphemeralOwner: o.results[i].Stat.EphemeralOwner}, nil, false)
				}
			}
		}
		if o.query != nil && o.outcome == OK && o.query.Want <= tiers.WantACL {
			learn(o, o.query.Path, o.view.Stat, o.view.Data, o.query.Want == tiers.WantData)
		}
	}
	for path, z := range h.options.Final {
		learn(nil, path, z.Stat, z.Data, true)
	}
	h.sortFacts()
	return nil
}

// checkChains: the facts of each znode follow from each other.
func (h *history) checkChains() error {
	for path, fs := range h.facts {
		if !h.ours(path) {
			continue
		}
		var last *fact
		spare := h.mayHave(tiers.OpSetData, path, never)
		for i := range fs {
			f := &fs[i]
			when := h.end
			if f.op != nil {
				when = f.op.done
			}
			there := last != nil && last.change != deleted
			switch {
			case f.change == created && there && !h.ephemeral[path] && h.mayHave(tiers.OpDelete, path, never) == 0:
				return h.violation("commit order", fmt.Sprintf("%s was created as %v, and it existed since %v", path, f.zxid, last.czxid), when, ops(last.op, f.op)...)
			case f.change == deleted && last != nil && !there && h.mayHave(tiers.OpCreate, path, never) == 0:
				return h.violation("commit order", fmt.Sprintf("%s was deleted as %v, and it was gone since %v", path, f.zxid, last.zxid), when, ops(last.op, f.op)...)
			case f.change == written && last != nil && !there:
				return h.violation("commit order", fmt.Sprintf("%s was written as %v, and it was gone since %v", path, f.zxid, last.zxid), when, ops(last.op, f.op)...)
			case f.change == deleted && there && f.version != tiers.AnyVersion && (f.version < last.version || int(f.version-last.version) > spare) &&
				!h.ephemeral[path] && h.mayHave(tiers.OpDelete, path, never) == 0:
				return h.violation("commit order", fmt.Sprintf("%s was deleted with version %d as %v, and it had version %d", path, f.version, f.zxid, last.version), when, ops(last.op, f.op)...)
			case f.change == written && there && last.czxid == f.czxid:
				missing := int(f.version - last.version - 1)
				if spare -= missing; f.learnt {
					spare-- // it is one of them
				}
				if missing < 0 || spare < 0 {
					return h.violation("lost or repeated write", fmt.Sprintf("%s has version %d as of %v, and %d as of %v before", path, f.version, f.zxid, last.version, last.zxid), when, ops(last.op, f.op)...)
				}
			case f.change == written && there && !h.ephemeral[path] && h.mayHave(tiers.OpDelete, path, never) == 0:
				return h.violation("commit order", fmt.Sprintf("%s, created as %v, was written as %v as if created as %v", path, last.czxid, f.zxid, f.czxid), when, ops(last.op, f.op)...)
			}
			last = f
		}
	}
	return nil
}

func ops(os ...*Op) (known []*Op) {
	for _, o := range os {
		if o != nil {
			known = append(known, o)
		}
	}
	return known
}

// checkAnswers: each read and each refusal is what the facts up to its zxid give.
func (h *history) checkAnswers() error {
	for _, o := range h.ops {
		var err error
		switch {
		case o.zxid == 0:
		case o.query != nil && o.outcome == OK && o.query.Want <= tiers.WantACL:
			err = h.checkView(o, o.query.Path, o.zxid, &o.view.Stat, o.view.Data, o.query.Want == tiers.WantData)
		case o.query != nil && o.outcome == Failed && errors.Is(o.err, tiers.ErrNoNode):
			err = h.checkMissing(o, o.query.Path, o.zxid)
		case o.txn != nil && o.outcome == Failed && len(o.txn.Ops) == 1:
			err = h.checkRefusal(o, &o.txn.Ops[0])
		case o.txn != nil && o.outcome == OK:
			err = h.checkConditions(o)
		}
		if err != nil {
			return err
		}
	}
	if h.options.Final == nil {
		return nil
	}
	for path, z := range h.options.Final {
		if err := h.checkView(nil, path, h.options.FinalZxid, &z.Stat, z.Data, true); err != nil {
			return err
		}
	}
	for path := range h.facts {
		if _, there := h.options.Final[path]; !there {
			if err := h.checkMissing(nil, path, h.options.FinalZxid); err != nil {
				return err
			}
		}
	}
	return nil
}

func whose(o *Op) string {
	if o == nil {
		return "the tree at the end shows"
	}
	return "a read shows"
}

func (h *history) doneOf(o *Op) stamp {
	if o == nil {
		return h.end
	}
	return o.done
}

func (h *history) checkView(o *Op, path string, z tiers.Zxid, stat *tiers.Stat, data []byte, known bool) error {
	if path == "/" || strings.HasPrefix(path, "/zookeeper") {
		return nil
	}
	f := h.at(path, z)
	switch {
	case stat.Mzxid > z || stat.Czxid > z:
		return h.violation("commit order", fmt.Sprintf("%s %s of %v in state of %v", whose(o), path, stat.Mzxid, z), h.doneOf(o), ops(o)...)
	case f == nil || f.zxid != stat.Mzxid || f.change == deleted:
		var zxid tiers.Zxid
		var by *Op
		if f != nil {
			zxid, by = f.zxid, f.op
		}
		return h.violation("stale or lost", fmt.Sprintf("%s %s as of %v in state of %v, but it was changed as %v", whose(o), path, stat.Mzxid, z, zxid), h.doneOf(o), ops(by, o)...)
	case f.version != stat.Version || f.czxid != stat.Czxid || known && f.known && f.data != string(data):
		return h.violation("commit order", fmt.Sprintf("%s %s as %.24q v%d, but as of %v it is %.24q v%d", whose(o), path, data, stat.Version, f.zxid, f.data, f.version), h.doneOf(o), ops(f.op, o)...)
	}
	return nil
}

func (h *history) checkMissing(o *Op, path string, z tiers.Zxid) error {
	f := h.at(path, z)
	if f == nil || f.change == deleted || h.ephemeral[path] || h.mayHave(tiers.OpDelete, path, h.doneOf(o).seq) > 0 {
		return nil
	}
	return h.violation("stale or lost", fmt.Sprintf("%s no %s in state of %v, which exists as of %v", whose(o), path, z, f.zxid), h.doneOf(o), ops(f.op, o)...)
}

func (h *history) checkRefusal(o *Op, op *tiers.Op) error {
	f := h.at(op.Path, o.zxid)
	there := f != nil && f.change != deleted
	before := o.done.seq
	switch {
	case op.Kind == tiers.OpCreate && op.Mode.IsSequential() || h.ephemeral[op.Path]:
		return nil
	case errors.Is(o.err, tiers.ErrNodeExists) && op.Kind == tiers.OpCreate && !there && h.mayHave(tiers.OpCreate, op.Path, before) == 0:
		return h.violation("wrong refusal", fmt.Sprintf("%s exists, it says, as of %v", op.Path, o.zxid), o.done, ops(o)...)
	case errors.Is(o.err, tiers.ErrNoNode) && op.Kind != tiers.OpCreate:
		return h.checkMissing(o, op.Path, o.zxid)
	case errors.Is(o.err, tiers.ErrBadVersion) && there && (op.Kind == tiers.OpSetData || op.Kind == tiers.OpDelete) && hit(op.Version, f.version) &&
		h.mayHave(tiers.OpSetData, op.Path, before) == 0 && h.mayHave(tiers.OpDelete, op.Path, before) == 0:
		return h.violation("wrong refusal", fmt.Sprintf("%s has not version %d, it says, as of %v", op.Path, op.Version, o.zxid), o.done, ops(f.op, o)...)
	}
	return nil
}

// checkConditions: a txn that applied found what its checks ask for.
func (h *history) checkConditions(o *Op) error {
	for i := range o.txn.Ops {
		op := &o.txn.Ops[i]
		if op.Kind != tiers.OpCheck || h.ephemeral[op.Path] || slices.ContainsFunc(o.txn.Ops[:i], func(other tiers.Op) bool { return other.Path == op.Path }) {
			continue
		}
		f := h.at(op.Path, o.zxid-1)
		switch {
		case len(h.doubtful[op.Path]) > 0:
		case f == nil || f.change == deleted, !hit(op.Version, f.version):
			return h.violation("wrong check", fmt.Sprintf("a txn applied as %v, and %s had not version %d", o.zxid, op.Path, op.Version), o.done, o)
		}
	}
	return nil
}

// checkOnce: data that one txn carries is found at one place.
func (h *history) checkOnce() error {
	if !h.options.UniqueData {
		return nil
	}
	type place struct {
		path string
		f    *fact
	}
	at := make(map[string]place)
	for path, fs := range h.facts {
		for i := range fs {
			f := &fs[i]
			if !f.known || f.data == "" {
				continue
			}
			if other, twice := at[f.data]; twice && (other.path != path || other.f.zxid != f.zxid) {
				return h.violation("applied twice", fmt.Sprintf("%.24q was written to %s as %v and to %s as %v", f.data, other.path, other.f.zxid, path, f.zxid), h.doneOf(f.op), ops(other.f.op, f.op)...)
			}
			at[f.data] = place{path, f}
		}
	}
	return nil
}
