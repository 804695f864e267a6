package tree

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

func createOp(path string, mode tiers.CreateMode) tiers.Op {
	return tiers.Op{Kind: tiers.OpCreate, Path: path, Mode: mode, ACL: tiers.OpenACL}
}

func TestOutcomesAreRemembered(t *testing.T) {
	t.Parallel()
	tr := New()
	from := Origin{Member: 1, Incarnation: 3}
	id := func(n uint64) tiers.WriteID { return tiers.WriteID{Member: 1, Incarnation: 3, Number: n} }
	r, err := tr.Apply(1000, from, 1, &tiers.Txn{Session: 9, Request: 5, Ops: []tiers.Op{createOp("/a-", tiers.PersistentSequential)}})
	if err != nil || r.Write != id(1) {
		t.Fatalf("%v, %v", r.Write, err)
	}
	_, err = tr.Apply(2000, from, 2, &tiers.Txn{Session: 9, Request: 6, Ops: []tiers.Op{createOp("/b", tiers.Persistent), {Kind: tiers.OpDelete, Path: "/none", Version: tiers.AnyVersion}}})
	if !errors.Is(err, tiers.ErrNoNode) {
		t.Fatal(err)
	}
	check := func(tr *Tree) {
		t.Helper()
		for name, o := range map[string]tiers.Outcome{"by id": tr.Outcome(id(1)), "by request": tr.OutcomeOf(9, 5, time.Time{})} {
			if o.Fate != tiers.FateApplied || o.Zxid != r.Zxid || o.Path != "/a-0000000000" || o.Write != id(1) || o.Session != 9 || o.Request != 5 || o.Time.UnixMilli() != 1000 {
				t.Errorf("%s: %+v", name, o)
			}
		}
		if o := tr.Outcome(id(2)); o.Fate != tiers.FateFailed || !errors.Is(o.Err, tiers.ErrNoNode) || o.Op != 1 || o.Path != "/none" || o.Zxid != r.Zxid {
			t.Errorf("the failed one: %+v", o)
		}
		if o := tr.Outcome(id(3)); o.Fate != tiers.FateOpen {
			t.Errorf("what is still to come: %v", o.Fate)
		}
		if o := tr.OutcomeOf(9, 7, time.Time{}); o.Fate != tiers.FateOpen {
			t.Errorf("a request that is still to come: %v", o.Fate)
		}
	}
	check(tr)
	check(restored(t, tr))
}

func restored(t *testing.T, tr *Tree) *Tree {
	t.Helper()
	s, err := tr.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	again := New()
	if err := again.Restore(&b); err != nil {
		t.Fatal(err)
	}
	return again
}

func TestTheWindowForgets(t *testing.T) {
	t.Parallel()
	tr := New()
	from := Origin{Member: 1, Incarnation: 1}
	txn := &tiers.Txn{Session: 9, Ops: []tiers.Op{{Kind: tiers.OpSetData, Path: "/", Version: tiers.AnyVersion}}}
	total := uint64(outcomesKept + 3*outcomeChunk)
	for n := uint64(1); n <= total; n++ {
		txn.Request = tiers.RequestID(n)
		if _, err := tr.Apply(int64(n), from, n, txn); err != nil {
			t.Fatal(err)
		}
	}
	again := restored(t, tr)
	for i, x := range []*Tree{tr, again} {
		if o := x.Outcome(tiers.WriteID{Member: 1, Incarnation: 1, Number: 10}); o.Fate != tiers.FateForgotten {
			t.Errorf("%d: the tenth: %v", i, o.Fate)
		}
		if o := x.Outcome(tiers.WriteID{Member: 1, Incarnation: 1, Number: total - outcomesKept}); o.Fate != tiers.FateApplied {
			t.Errorf("%d: one that must be kept: %v", i, o.Fate)
		}
		// By request it is forgotten unless something shows that the window reaches back far enough.
		for _, c := range []struct {
			session tiers.SessionID
			request tiers.RequestID
			sent    time.Time
			want    tiers.Fate
		}{
			{9, 10, time.Time{}, tiers.FateForgotten},
			{8, 1, time.Time{}, tiers.FateForgotten},
			{8, 1, time.UnixMilli(10), tiers.FateForgotten},
			{8, 1, time.UnixMilli(int64(total) - 5), tiers.FateOpen},
			{9, tiers.RequestID(total) + 1, time.Time{}, tiers.FateOpen},
		} {
			if o := x.OutcomeOf(c.session, c.request, c.sent); o.Fate != c.want {
				t.Errorf("%d: request %d of session %v: %v, want %v", i, c.request, c.session, o.Fate, c.want)
			}
		}
	}
	// Both drop the same at the same txn.
	for n := total + 1; n < total+3*outcomeChunk; n++ {
		for _, x := range []*Tree{tr, again} {
			if _, err := x.Apply(int64(n), from, n, txn); err != nil {
				t.Fatal(err)
			}
		}
	}
	if a, b := tr.outcomes.oldest(), again.outcomes.oldest(); *a != *b || tr.outcomes.base != again.outcomes.base {
		t.Errorf("%+v and %+v are the oldest", a, b)
	}
}

// TestOutcomesAreFinal plays members that send, lose, repeat and start again, and callers that ask and seal. An answer that was given once never
// changes to its contrary, and it agrees with what the tree did.
func TestOutcomesAreFinal(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		dice := rand.New(rand.NewPCG(seed, 7))
		tr := New()
		type member struct {
			from Origin
			sent []tiers.Txn // numbers from 1
		}
		members := []*member{{from: Origin{1, 1}}, {from: Origin{2, 1}}}
		applied := make(map[tiers.WriteID]bool) // by the tree's own word when it applied
		told := make(map[tiers.WriteID]tiers.Fate)
		var ids []tiers.WriteID
		request := tiers.RequestID(0)
		for range 300 {
			m := members[dice.IntN(2)]
			switch dice.IntN(10) {
			case 0, 1, 2: // a caller submits
				request++
				m.sent = append(m.sent, tiers.Txn{Session: tiers.SessionID(m.from.Member), Request: request, Ops: []tiers.Op{{Kind: tiers.OpSetData, Path: "/", Version: tiers.AnyVersion}}})
				ids = append(ids, tiers.WriteID{Member: m.from.Member, Incarnation: m.from.Incarnation, Number: uint64(len(m.sent))})
			case 3, 4, 5: // some of it arrives, or arrives again
				for n := dice.IntN(len(m.sent) + 1); n < len(m.sent) && dice.IntN(4) > 0; n++ {
					r, err := tr.Apply(0, m.from, uint64(n+1), &m.sent[n])
					if errors.Is(err, ErrRepeat) {
						continue
					} else if errors.Is(err, ErrGap) {
						break
					}
					applied[r.Write] = err == nil
				}
			case 6: // the member starts again
				if dice.IntN(5) == 0 {
					m.from.Incarnation++
					m.sent = nil
				}
			case 7:
				if dice.IntN(3) == 0 {
					tr = restored(t, tr)
				}
			default: // a caller asks, and seals
				if len(ids) == 0 {
					continue
				}
				id := ids[dice.IntN(len(ids))]
				o := tr.Outcome(id)
				if o.Fate == tiers.FateOpen && dice.IntN(2) == 0 {
					tr.Seal([]Sealing{{Write: id}})
					if o = tr.Outcome(id); o.Fate != tiers.FateNever {
						t.Fatalf("seed %d: %v is %v after it was sealed", seed, id, o.Fate)
					}
				}
				if before, asked := told[id]; asked && before != tiers.FateOpen && before != o.Fate {
					t.Fatalf("seed %d: %v was %v, and is %v", seed, id, before, o.Fate)
				}
				told[id] = o.Fate
			}
		}
		for _, id := range ids {
			fate := tr.Outcome(id).Fate
			if before, asked := told[id]; asked && before != tiers.FateOpen && before != fate {
				t.Fatalf("seed %d: %v was %v, and is %v", seed, id, before, fate)
			}
			if ok, seen := applied[id]; seen && (ok != (fate == tiers.FateApplied)) || !seen && fate == tiers.FateApplied {
				t.Fatalf("seed %d: %v is %v; applied: %v, seen: %v", seed, id, fate, ok, seen)
			}
		}
	}
}

func TestSealedRequests(t *testing.T) {
	t.Parallel()
	tr := New()
	from := Origin{Member: 1, Incarnation: 1}
	txn := func(request tiers.RequestID) *tiers.Txn {
		return &tiers.Txn{Session: 9, Request: request, Ops: []tiers.Op{createOp(fmt.Sprint("/r", request), tiers.Persistent)}}
	}
	if _, err := tr.Apply(0, from, 1, txn(1)); err != nil {
		t.Fatal(err)
	}
	tr.Seal([]Sealing{{Session: 9, Request: 1}, {Session: 9, Request: 2}, {}})
	if o := tr.OutcomeOf(9, 1, time.Time{}); o.Fate != tiers.FateApplied {
		t.Errorf("sealed after it applied: %v", o.Fate)
	}
	if o := tr.OutcomeOf(9, 2, time.Time{}); o.Fate != tiers.FateNever {
		t.Errorf("sealed: %v", o.Fate)
	}
	tr = restored(t, tr)
	if _, err := tr.Apply(0, from, 2, txn(2)); !errors.Is(err, tiers.ErrSealed) {
		t.Errorf("it arrives: %v", err)
	}
	if _, err := tr.Apply(0, from, 3, txn(3)); err != nil {
		t.Errorf("the next one: %v", err)
	}
	if o := tr.OutcomeOf(9, 2, time.Time{}); o.Fate != tiers.FateNever || o.Write.Number != 2 {
		t.Errorf("after it arrived: %+v", o)
	}
}
