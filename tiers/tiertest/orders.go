package tiertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/strata-coord/strata/tiers"
)

func isOne(err error, of ...error) bool {
	return slices.ContainsFunc(of, func(x error) bool { return errors.Is(err, x) })
}

// together runs f n times at once and reports the errors.
func (e *env) together(n int, f func(i int) error) {
	e.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := f(i); err != nil {
				e.Errorf("the %dth of %d at once: %v", i, n, err)
			}
		})
	}
	wg.Wait()
}

var orders = []test{
	{name: "PipelinedReadsKeepTheirPlace", run: func(e *env) {
		p := e.path("a")
		e.do(create(p, nil, tiers.Persistent))
		s := e.session(0)
		var reads []*tiers.Pending
		var last *tiers.Pending
		const n = 50
		for i := range n {
			last = e.tier.Submit(e.ctx, tiers.Txn{Session: s.id, Ops: one(set(p, fmt.Sprint(i), anyVersion))})
			last = e.tier.Follow(e.ctx, tiers.Query{Path: p, Want: tiers.WantData}, last)
			reads = append(reads, last)
			last = e.tier.Follow(e.ctx, tiers.Query{Path: p, Want: tiers.WantData}, last) // behind a read
			reads = append(reads, last)
		}
		var z tiers.Zxid
		for i, x := range reads {
			r, err := x.Wait(e.ctx)
			if err != nil || string(r.View.Data) != fmt.Sprint(i/2) {
				e.Fatalf("read %d: %q, %v", i, r.View.Data, err)
			}
			if r.View.Zxid < z || r.Zxid < r.View.Zxid {
				e.Fatalf("read %d: of %v after %v, receipt %v", i, r.View.Zxid, z, r.Zxid)
			}
			z = r.View.Zxid
		}
	}},
	{name: "FollowWhatFailed", run: func(e *env) {
		p := e.path("a")
		s := e.session(0)
		bad := e.tier.Submit(e.ctx, tiers.Txn{Session: s.id, Ops: one(remove(p, anyVersion))})
		read := e.tier.Follow(e.ctx, tiers.Query{Path: p}, bad)
		_, err := read.Wait(e.ctx)
		e.wantError("a Follow of what is not there", err, tiers.ErrNoNode)
		if _, err := e.tier.Follow(e.ctx, tiers.Query{Path: e.base}, read).Wait(e.ctx); err != nil {
			e.Errorf("a Follow behind a failed one: %v", err)
		}
		if _, err := e.tier.Follow(e.ctx, tiers.Query{Path: e.base}, nil).Wait(e.ctx); err != nil {
			e.Errorf("a Follow behind nothing: %v", err)
		}
	}},
	{name: "SubmitsApplyInOrder", run: func(e *env) {
		p := e.path("a")
		e.do(create(p, nil, tiers.Persistent))
		ss := []*session{e.session(0), e.session(0), e.session(0)}
		e.together(len(ss), func(i int) error {
			s := ss[i]
			path := fmt.Sprintf("%s/%d", p, i)
			ps := []*tiers.Pending{e.tier.Submit(e.ctx, tiers.Txn{Session: s.id, Ops: one(create(path, nil, tiers.Persistent))})}
			for j := range 50 {
				ps = append(ps, e.tier.Submit(e.ctx, tiers.Txn{Session: s.id, Ops: one(create(fmt.Sprintf("%s/%d", path, j), nil, tiers.Persistent))}))
				ps = append(ps, e.tier.Submit(e.ctx, tiers.Txn{Session: s.id, Ops: one(remove(fmt.Sprintf("%s/%d", path, j), anyVersion))}))
			}
			var z tiers.Zxid
			for _, x := range ps {
				r, err := x.Wait(e.ctx)
				if err != nil {
					return err
				}
				if r.Zxid < z {
					return fmt.Errorf("a later txn has the lower zxid %v", r.Zxid)
				}
				z = r.Zxid
			}
			return nil
		})
	}},
	{name: "ManyAtOnce", run: func(e *env) {
		p := e.path("a")
		e.do(create(p, nil, tiers.Persistent))
		w := newRecorder()
		e.watch(p, tiers.ScopeRecursive, w)
		const workers, each = 8, 25
		e.together(workers, func(i int) error {
			own := newRecorder()
			for j := range each {
				path := fmt.Sprintf("%s/%d-%d", p, i, j)
				if _, err := tiers.Do(e.ctx, e.tier, tiers.Txn{Ops: one(create(path, []byte("1"), tiers.Persistent))}); err != nil {
					return err
				}
				v, err := e.tier.Read(e.ctx, tiers.Query{Path: path, Want: tiers.WantData, Watch: &tiers.WatchSpec{Watcher: own, Scope: tiers.ScopeData}})
				if err != nil || string(v.Data) != "1" {
					return fmt.Errorf("own write read as %q: %w", v.Data, err)
				}
				if _, err := tiers.Do(e.ctx, e.tier, tiers.Txn{Ops: one(set(path, "2", anyVersion))}); err != nil {
					return err
				}
				if n := len(own.take()); n != 1 {
					return fmt.Errorf("%d events of one change", n)
				}
				if j%2 == 0 {
					if _, err := tiers.Do(e.ctx, e.tier, tiers.Txn{Ops: one(remove(path, anyVersion))}); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if n := len(e.see(tiers.Query{Path: p, Want: tiers.WantChildren}).Children); n != workers*(each/2) {
			e.Errorf("%d children, want %d", n, workers*(each/2))
		}
		if n := len(w.take()); n != workers*(each*2+(each+1)/2) {
			e.Errorf("%d events, want %d", n, workers*(each*2+(each+1)/2))
		}
	}},
	{name: "SubmitWithAnEndedContext", run: func(e *env) {
		s := e.session(0)
		ended, cancel := context.WithCancel(e.ctx)
		cancel()
		for i := range 10 {
			p := e.path(fmt.Sprint(i))
			_, err := e.tier.Submit(ended, tiers.Txn{Session: s.id, Ops: one(create(p, nil, tiers.Persistent))}).Wait(e.ctx)
			if err != nil && !errors.Is(err, tiers.ErrUnknownOutcome) && !errors.Is(err, tiers.ErrUnavailable) {
				e.Errorf("it completes with %v", err)
			}
			// It has applied by now, or never will: a later txn of the session has its answer.
			e.doAt(0, s.id, create(e.path(fmt.Sprintf("%d-later", i)), nil, tiers.Persistent))
			there := e.exists(p)
			if err == nil && !there {
				e.Error("acknowledged, and not there")
			}
			e.doAt(0, s.id, create(e.path(fmt.Sprintf("%d-last", i)), nil, tiers.Persistent))
			if e.exists(p) != there {
				e.Error("applied after a later txn of its session")
			}
		}
	}},
	{name: "AtLeast", run: func(e *env) {
		if !e.contract.ReplicatedZxids {
			return
		}
		p := e.path("a")
		z := e.do(create(p, []byte("old"), tiers.Persistent)).Zxid
		if v := e.see(tiers.Query{Path: p, Want: tiers.WantData, AtLeast: z}); v.Zxid < z {
			e.Errorf("a read of at least %v is of %v", z, v.Zxid)
		}
		short, cancel := context.WithTimeout(e.ctx, 50*time.Millisecond)
		defer cancel()
		_, err := e.tier.Read(short, tiers.Query{Path: p, AtLeast: z + 1000})
		if !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("a read of what is not yet: %v", err)
		}
		next := e.see(tiers.Query{Path: p, Want: tiers.WantNothing}).Zxid + 1
		e.together(3, func(i int) error {
			if i == 0 {
				_, err := tiers.Do(e.ctx, e.tier, tiers.Txn{Ops: one(set(p, "new", anyVersion))})
				return err
			}
			v, err := e.tier.Read(e.ctx, tiers.Query{Path: p, Want: tiers.WantData, AtLeast: next})
			if err == nil && (string(v.Data) != "new" || v.Zxid < next) && e.alone() {
				return fmt.Errorf("%q of %v", v.Data, v.Zxid)
			}
			return err
		})
	}},
}
