package tiertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// env is what one test has: a fresh cluster, and a path of its own.
type env struct {
	*testing.T
	*Cluster
	h        Harness
	tier     tiers.Tier // of the first member
	base     string
	contract tiers.Contract
	ctx      context.Context
	last     uint32 // counter of session ids
}

func newEnv(t *testing.T, h Harness, n int) *env {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), h.Patience, errors.New("the suite's patience has ended"))
	t.Cleanup(cancel)
	e := &env{T: t, Cluster: h.New(t, n), h: h, ctx: ctx, base: strings.TrimSuffix(h.Base, "/") + "/conformance"}
	if len(e.Members) != n {
		t.Fatalf("the harness made %d members instead of %d", len(e.Members), n)
	}
	e.tier = e.Members[0].Tier
	e.contract = e.tier.Contract(e.base)
	e.do(create(e.base, nil, tiers.Persistent))
	if n > 1 {
		for i := range e.Members {
			e.eventually(i, tiers.Query{Path: e.base}, func(_ tiers.View, err error) bool { return err == nil })
		}
	}
	return e
}

// path is one below the test's own.
func (e *env) path(name string) string { return e.base + "/" + name }

func create(path string, data []byte, mode tiers.CreateMode) tiers.Op {
	return tiers.Op{Kind: tiers.OpCreate, Path: path, Data: data, Mode: mode, ACL: tiers.OpenACL}
}

func set(path, data string, version int32) tiers.Op {
	return tiers.Op{Kind: tiers.OpSetData, Path: path, Data: []byte(data), Version: version}
}

func remove(path string, version int32) tiers.Op {
	return tiers.Op{Kind: tiers.OpDelete, Path: path, Version: version}
}

func checkOp(path string, version int32) tiers.Op {
	return tiers.Op{Kind: tiers.OpCheck, Path: path, Version: version}
}

func setACL(path string, acl []tiers.ACL, version int32) tiers.Op {
	return tiers.Op{Kind: tiers.OpSetACL, Path: path, ACL: acl, Version: version}
}

const anyVersion = tiers.AnyVersion

// try submits ops at the first member and waits.
func (e *env) try(txn tiers.Txn) (tiers.Receipt, error) {
	e.Helper()
	return e.tryAt(0, txn)
}

func (e *env) tryAt(member int, txn tiers.Txn) (tiers.Receipt, error) {
	e.Helper()
	r, err := tiers.Do(e.ctx, e.Members[member].Tier, txn)
	if e.ctx.Err() != nil {
		e.Fatalf("no answer to %s", txnString(&txn))
	}
	return r, err
}

// do is try for what must succeed.
func (e *env) do(ops ...tiers.Op) tiers.Receipt {
	e.Helper()
	return e.doAt(0, 0, ops...)
}

func (e *env) doAt(member int, s tiers.SessionID, ops ...tiers.Op) tiers.Receipt {
	e.Helper()
	txn := tiers.Txn{Session: s, Ops: ops}
	r, err := e.tryAt(member, txn)
	if err != nil {
		e.Fatalf("%s at member %d: %v", txnString(&txn), member, err)
	}
	if len(r.Results) != len(ops) {
		e.Fatalf("%s: %d results", txnString(&txn), len(r.Results))
	}
	return r
}

// fails wants ops to fail with one of the errors.
func (e *env) fails(ops []tiers.Op, want ...error) {
	e.Helper()
	e.failsFor(tiers.Txn{Ops: ops}, want...)
}

func (e *env) failsFor(txn tiers.Txn, want ...error) {
	e.Helper()
	_, err := e.try(txn)
	e.wantError(txnString(&txn), err, want...)
}

// wantError wants one of the errors, typed as package tiers promises.
func (e *env) wantError(what string, err error, want ...error) {
	e.Helper()
	if !slices.ContainsFunc(want, func(w error) bool { return errors.Is(err, w) }) {
		e.Errorf("%s: %v, want %v", what, err, want)
		return
	}
	var (
		op       *tiers.OpError
		contract *tiers.ContractError
		stale    *tiers.StaleError
	)
	if !errors.As(err, &op) && !errors.As(err, &contract) && !errors.As(err, &stale) && !errors.Is(err, tiers.ErrUnknownOutcome) {
		e.Errorf("%s: %v names neither op nor path", what, err)
	}
	if errors.As(err, &contract) && (contract.Tier == "" || contract.What == "" || contract.Hint == "") {
		e.Errorf("%s: the refusal does not say who, what and what to change: %+v", what, contract)
	}
}

// offered tells whether a feature is offered; if not, it wants txn to be refused as one that isn't.
func (e *env) offered(feature bool, txn tiers.Txn) bool {
	e.Helper()
	if !feature {
		e.failsFor(txn, tiers.ErrContract)
	}
	return feature
}

func txnString(txn *tiers.Txn) string {
	var s []string
	for i := range txn.Ops {
		s = append(s, fmt.Sprintf("%v %q", txn.Ops[i].Kind, txn.Ops[i].Path))
	}
	return strings.Join(s, ", ")
}

func (e *env) read(q tiers.Query) (tiers.View, error) { return e.readAt(0, q) }

func (e *env) readAt(member int, q tiers.Query) (tiers.View, error) {
	e.Helper()
	v, err := e.Members[member].Tier.Read(e.ctx, q)
	if e.ctx.Err() != nil {
		e.Fatalf("no answer to a read of %s: %v", q.Path, err)
	}
	return v, err
}

// see is read for what must be there.
func (e *env) see(q tiers.Query) tiers.View {
	e.Helper()
	v, err := e.read(q)
	if err != nil {
		e.Fatalf("read %s: %v", q.Path, err)
	}
	return v
}

func (e *env) data(path string) string {
	e.Helper()
	return string(e.see(tiers.Query{Path: path, Want: tiers.WantData}).Data)
}

func (e *env) stat(path string) tiers.Stat {
	e.Helper()
	return e.see(tiers.Query{Path: path, Want: tiers.WantStat}).Stat
}

func (e *env) exists(path string) bool {
	e.Helper()
	_, err := e.read(tiers.Query{Path: path})
	if err != nil && !errors.Is(err, tiers.ErrNoNode) {
		e.Fatalf("read %s: %v", path, err)
	}
	return err == nil
}

func (e *env) children(path string, want ...string) {
	e.Helper()
	v := e.see(tiers.Query{Path: path, Want: tiers.WantChildren})
	if !slices.Equal(v.Children, want) || int(v.Stat.NumChildren) != len(want) {
		e.Errorf("children of %s: %v (the stat says %d), want %v", path, v.Children, v.Stat.NumChildren, want)
	}
}

// eventually reads at a member until ok, again whenever something changes there.
func (e *env) eventually(member int, q tiers.Query, ok func(tiers.View, error) bool) {
	e.Helper()
	tier := e.Members[member].Tier
	w := newRecorder()
	// The watch lies on the parent too, so that it sees q.Path come and go whatever the scope.
	parent := q.Path[:max(strings.LastIndexByte(q.Path, '/'), 1)]
	for _, p := range []string{parent, q.Path} {
		if err := tier.AddWatch(p, tiers.ScopePersistent, w); err != nil {
			e.Fatal(err)
		}
	}
	defer tier.Unwatch(w, "", tiers.ScopeAny)
	for {
		v, err := tier.Read(e.ctx, q)
		if e.ctx.Err() == nil && ok(v, err) {
			return
		}
		if isOne(err, tiers.ErrUnavailable, tiers.ErrStale) {
			// Nothing fires when a member becomes able to answer: it is asked again.
			select {
			case <-time.After(10 * time.Millisecond):
				continue
			case <-e.ctx.Done():
			}
		}
		select {
		case <-w.more:
		case <-e.ctx.Done():
			e.Fatalf("member %d still reads of %s: %q, children %v, %v", member, q.Path, v.Data, v.Children, err)
		}
	}
}

// recorder is a Watcher that keeps what it gets.
type recorder struct {
	mu     sync.Mutex
	events []tiers.Event // guarded by mu
	more   chan struct{} // there is more since it was last received from; capacity 1
}

func newRecorder() *recorder { return &recorder{more: make(chan struct{}, 1)} }

func (r *recorder) Notify(ev tiers.Event) {
	r.mu.Lock()
	r.events = append(r.events, ev)
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func (r *recorder) take() []tiers.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	evs := r.events
	r.events = nil
	return evs
}

// wants holds what has arrived against the events, written as "NodeCreated name".
func (e *env) wants(r *recorder, after string, want ...string) []tiers.Event {
	e.Helper()
	evs := r.take()
	if got := e.names(evs); !slices.Equal(got, want) {
		e.Errorf("after %s: events %q, want %q", after, got, want)
	}
	return evs
}

func (e *env) names(evs []tiers.Event) (names []string) {
	for _, ev := range evs {
		names = append(names, ev.Type.String()+" "+strings.TrimPrefix(strings.TrimPrefix(ev.Path, e.base), "/"))
	}
	return names
}
