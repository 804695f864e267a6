package readonly_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/readonly"
	"github.com/strata-coord/strata/tiers/tiertest"
	"github.com/strata-coord/strata/tiers/tiertest/memtier"
)

// copyOf is a member's copy of the tree of `leader`, which lags until catchUp.
type copyOf struct {
	leader *memtier.Tier
	local  *memtier.Tier

	mu    sync.Mutex
	log   []tiers.Txn // guarded by mu; what the leader took and the copy has not
	fresh time.Time   // guarded by mu; zero: never caught up
}

func newCopy(t *testing.T) *copyOf {
	c := &copyOf{leader: memtier.New(memtier.Options{}), local: memtier.New(memtier.Options{})}
	t.Cleanup(func() {
		c.leader.Close()
		c.local.Close()
	})
	return c
}

// write is one that another member took: the copy does not have it yet.
func (c *copyOf) write(t *testing.T, ops ...tiers.Op) tiers.Zxid {
	t.Helper()
	txn := tiers.Txn{Ops: ops}
	r, err := tiers.Do(t.Context(), c.leader, txn)
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.log = append(c.log, txn)
	c.mu.Unlock()
	return r.Zxid
}

func (c *copyOf) catchUp(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	at := time.Now()
	for _, txn := range c.log {
		if _, err := tiers.Do(t.Context(), c.local, txn); err != nil {
			t.Fatal(err)
		}
	}
	c.log, c.fresh = nil, at
}

func (c *copyOf) ReadLocal(q tiers.Query) (tiers.View, error) {
	q.AtLeast = 0
	return c.local.Read(context.Background(), q)
}

func (c *copyOf) FollowLocal(ctx context.Context, q tiers.Query, after *tiers.Pending) *tiers.Pending {
	return c.local.Follow(ctx, q, after)
}

func (c *copyOf) Refusal(txn *tiers.Txn) (tiers.Receipt, error) { return c.local.Refusal(txn) }

func (c *copyOf) Freshness() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fresh.IsZero() {
		return 0, false
	}
	return time.Since(c.fresh), true
}

func (c *copyOf) WaitZxid(ctx context.Context, z tiers.Zxid) error {
	_, err := c.local.Read(ctx, tiers.Query{Path: "/", Want: tiers.WantNothing, AtLeast: z})
	return err
}

func create(path, data string) tiers.Op {
	return tiers.Op{Kind: tiers.OpCreate, Path: path, Data: []byte(data), ACL: tiers.OpenACL}
}

func set(path, data string) tiers.Op {
	return tiers.Op{Kind: tiers.OpSetData, Path: path, Data: []byte(data), Version: tiers.AnyVersion}
}

func data(path string) tiers.Query { return tiers.Query{Path: path, Want: tiers.WantData} }

// follow is Follow, as a read.
func follow(t *testing.T, tier tiers.Tier, q tiers.Query) (tiers.View, error) {
	t.Helper()
	r, err := tier.Follow(t.Context(), q, nil).Wait(t.Context())
	return r.View, err
}

func read(t *testing.T, tier tiers.Tier, q tiers.Query) (tiers.View, error) {
	t.Helper()
	return tier.Read(t.Context(), q)
}

var ways = map[string]func(*testing.T, tiers.Tier, tiers.Query) (tiers.View, error){"Read": read, "Follow": follow}

func TestAnswersFromTheCopyAndTellsItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCopy(t)
		tier := readonly.New(c, c.leader, readonly.Options{})
		z := c.write(t, create("/x", "old"))
		c.catchUp(t)
		<-time.After(3 * time.Second)
		c.write(t, set("/x", "new"))
		for name, read := range ways {
			v, err := read(t, tier, data("/x"))
			if err != nil || string(v.Data) != "old" || v.Zxid != z || v.Staleness != 3*time.Second {
				t.Errorf("%s: %q at %v, %v old, %v", name, v.Data, v.Zxid, v.Staleness, err)
			}
			v, err = read(t, tier, tiers.Query{Path: "/y"})
			if !errors.Is(err, tiers.ErrNoNode) || v.Staleness != 3*time.Second || v.Zxid != z {
				t.Errorf("%s of what isn't there: %v old at %v, %v", name, v.Staleness, v.Zxid, err)
			}
			q := data("/x")
			q.Fresh = true
			if v, err = read(t, tier, q); err != nil || string(v.Data) != "new" || v.Staleness != 0 {
				t.Errorf("a fresh %s: %q, %v old, %v", name, v.Data, v.Staleness, err)
			}
		}
		c.catchUp(t)
		if v, err := tier.Read(t.Context(), data("/x")); err != nil || string(v.Data) != "new" || v.Staleness != 0 {
			t.Errorf("after catching up: %q, %v old, %v", v.Data, v.Staleness, err)
		}
	})
}

func TestRefusesBeforeItHasCaughtUp(t *testing.T) {
	c := newCopy(t)
	tier := readonly.New(c, c.leader, readonly.Options{})
	c.write(t, create("/x", ""))
	for name, read := range ways {
		_, err := read(t, tier, data("/x"))
		se := (*tiers.StaleError)(nil)
		if !errors.As(err, &se) || !errors.Is(err, tiers.ErrStale) || se.Known || se.Path != "/x" {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.catchUp(t)
	for name, read := range ways {
		if _, err := read(t, tier, data("/x")); err != nil {
			t.Errorf("%s after catching up: %v", name, err)
		}
	}
}

type recorder struct {
	mu     sync.Mutex
	events []tiers.Event
}

func (r *recorder) Notify(ev tiers.Event) {
	r.mu.Lock()
	r.events = append(r.events, ev)
	r.mu.Unlock()
}

func TestRefusesBeyondItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCopy(t)
		tier := readonly.New(c, c.leader, readonly.Options{MaxStaleness: 10 * time.Second})
		if got := tier.Contract("/x"); got.Tier != "readonly" || got.Linearizable || got.MaxStaleness != 10*time.Second || !got.Multi || !got.ReplicatedZxids {
			t.Errorf("contract %+v", got)
		}
		c.write(t, create("/x", "1"))
		c.catchUp(t)
		<-time.After(10 * time.Second)
		w := new(recorder)
		for name, read := range ways {
			if v, err := read(t, tier, data("/x")); err != nil || v.Staleness != 10*time.Second {
				t.Errorf("%s at the bound: %v old, %v", name, v.Staleness, err)
			}
		}
		<-time.After(time.Millisecond)
		for name, read := range ways {
			q := data("/x")
			q.Watch = &tiers.WatchSpec{Watcher: w, Scope: tiers.ScopeData}
			_, err := read(t, tier, q)
			se := (*tiers.StaleError)(nil)
			if !errors.As(err, &se) || !se.Known || se.Staleness != 10*time.Second+time.Millisecond || se.Bound != 10*time.Second {
				t.Errorf("%s beyond the bound: %v", name, err)
			}
			q = data("/x")
			q.Fresh = true
			if _, err := read(t, tier, q); err != nil {
				t.Errorf("a fresh %s is not bound: %v", name, err)
			}
		}
		if c.local.HasWatch(w, "/x", tiers.ScopeAny) {
			t.Error("a refused read arms its watch")
		}
		c.catchUp(t)
		for name, read := range ways {
			if _, err := read(t, tier, data("/x")); err != nil {
				t.Errorf("%s after catching up: %v", name, err)
			}
		}
	})
}

func TestAtLeastWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCopy(t)
		tier := readonly.New(c, c.leader, readonly.Options{})
		c.write(t, create("/x", "old"))
		c.catchUp(t)
		z := c.write(t, set("/x", "new"))

		q := data("/x")
		q.AtLeast = z
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := tier.Read(ctx, q); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a read of what the copy lacks: %v", err)
		}
		got := make(chan string)
		go func() {
			v, err := tier.Read(t.Context(), q)
			got <- fmt.Sprintf("%s %v", v.Data, err)
		}()
		synctest.Wait()
		c.catchUp(t)
		if s := <-got; s != "new <nil>" {
			t.Errorf("after catching up: %s", s)
		}
	})
}

// A Follow that may not answer from the copy asks the tier below, whose answer is newer.
func TestFollowAtLeast(t *testing.T) {
	c := newCopy(t)
	tier := readonly.New(c, c.leader, readonly.Options{})
	c.write(t, create("/x", "old"))
	c.catchUp(t)
	q := data("/x")
	q.AtLeast = c.write(t, set("/x", "new"))
	if v, err := follow(t, tier, q); err != nil || string(v.Data) != "new" {
		t.Errorf("%q, %v", v.Data, err)
	}
}

// whole is a copy that never lags: the tree itself, as in a member that has all tiers.
type whole struct{ *memtier.Tier }

func (w whole) ReadLocal(q tiers.Query) (tiers.View, error) { return w.Read(context.Background(), q) }
func (w whole) FollowLocal(ctx context.Context, q tiers.Query, after *tiers.Pending) *tiers.Pending {
	return w.Follow(ctx, q, after)
}
func (w whole) Freshness() (time.Duration, bool) { return 0, true }
func (w whole) WaitZxid(ctx context.Context, z tiers.Zxid) error {
	_, err := w.Read(ctx, tiers.Query{Path: "/", Want: tiers.WantNothing, AtLeast: z})
	return err
}

func TestConformance(t *testing.T) {
	for name, routed := range map[string]bool{"Alone": false, "Routed": true} {
		t.Run(name, func(t *testing.T) {
			tiertest.Run(t, tiertest.Harness{Bubble: synctest.Test, Base: "/config", New: func(t *testing.T, _ int) *tiertest.Cluster {
				strong := memtier.New(memtier.Options{Mounts: []string{"/config"}})
				t.Cleanup(strong.Close)
				var tier tiers.Tier = readonly.New(whole{strong}, strong, readonly.Options{MaxStaleness: time.Minute})
				if routed {
					r, err := tiers.NewRouter(strong, tiers.Route{Prefix: "/config", Tier: tier})
					if err != nil {
						t.Fatal(err)
					}
					tier = r
				}
				return &tiertest.Cluster{Members: []tiertest.Member{{Tier: tier}}}
			}})
		})
	}
}

// Reads behind own writes, and behind such reads, keep their place.
func TestFollowKeepsItsPlace(t *testing.T) {
	strong := memtier.New(memtier.Options{})
	defer strong.Close()
	tier := readonly.New(whole{strong}, strong, readonly.Options{MaxStaleness: time.Minute})
	release := strong.Hold()
	last := tier.Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{create("/x", "0")}})
	var reads []*tiers.Pending
	for i := range 10 {
		a := tier.Follow(t.Context(), data("/x"), last)
		b := tier.Follow(t.Context(), data("/x"), a)
		reads = append(reads, a, b)
		last = tier.Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{set("/x", fmt.Sprint(i+1))}})
	}
	release()
	for i, p := range reads {
		r, err := p.Wait(t.Context())
		if err != nil || string(r.View.Data) != fmt.Sprint(i/2) {
			t.Errorf("read %d: %q, %v", i, r.View.Data, err)
		}
	}
}

// One session's reads on both routes of a tree keep their place, also behind each other. The memory tier refuses to follow what
// it does not know.
func TestFollowOnBothRoutes(t *testing.T) {
	strong := memtier.New(memtier.Options{Mounts: []string{"/config"}})
	defer strong.Close()
	r, err := tiers.NewRouter(strong, tiers.Route{Prefix: "/config", Tier: readonly.New(whole{strong}, strong, readonly.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	release := strong.Hold()
	var reads []*tiers.Pending
	r.Submit(t.Context(), tiers.Txn{Session: 1, Ops: []tiers.Op{create("/config/x", ""), create("/x", "")}})
	for i := range 10 {
		last := r.Submit(t.Context(), tiers.Txn{Session: 1, Ops: []tiers.Op{set("/config/x", fmt.Sprint(i)), set("/x", fmt.Sprint(i))}})
		for _, path := range []string{"/config/x", "/x", "/config/x", "/config/x"} {
			last = r.Follow(t.Context(), data(path), last)
			reads = append(reads, last)
		}
	}
	release()
	for i, p := range reads {
		rec, err := p.Wait(t.Context())
		if err != nil || string(rec.View.Data) != fmt.Sprint(i/4) {
			t.Errorf("read %d: %q, %v", i, rec.View.Data, err)
		}
	}
}

// A read that waited longer than its bound is refused, as nobody knows how old its answer is.
func TestFollowCountsItsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		strong := memtier.New(memtier.Options{})
		defer strong.Close()
		tier := readonly.New(whole{strong}, strong, readonly.Options{MaxStaleness: time.Second})
		release := strong.Hold()
		p := tier.Follow(t.Context(), data("/"), nil)
		<-time.After(2 * time.Second)
		release()
		if _, err := p.Wait(t.Context()); !errors.Is(err, tiers.ErrStale) {
			t.Errorf("%v", err)
		}
	})
}

func TestRoutedBesideItsTree(t *testing.T) {
	strong := memtier.New(memtier.Options{})
	defer strong.Close()
	ro := readonly.New(whole{strong}, strong, readonly.Options{})
	r, err := tiers.NewRouter(strong, tiers.Route{Prefix: "/config", Tier: ro})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := r.Read(t.Context(), tiers.Query{Path: "/", Want: tiers.WantChildren}); err != nil || len(v.Children) != 1 || v.Stat.NumChildren != 1 {
		t.Errorf("children of the root: %v, %+v, %v", v.Children, v.Stat, err)
	}
	if _, err := tiers.Do(t.Context(), r, tiers.Txn{Ops: []tiers.Op{create("/config", "1"), create("/locks", "2")}}); err != nil {
		t.Errorf("a txn over both: %v", err)
	}
	if v, err := r.Read(t.Context(), data("/config")); err != nil || string(v.Data) != "1" {
		t.Errorf("%q, %v", v.Data, err)
	}
	w := new(recorder)
	if err := r.AddWatch("/", tiers.ScopeRecursive, w); err != nil {
		t.Fatal(err)
	}
	if _, err := tiers.Do(t.Context(), r, tiers.Txn{Ops: []tiers.Op{set("/config", "3")}}); err != nil {
		t.Fatal(err)
	}
	if len(w.events) != 1 || w.events[0].Type != tiers.NodeDataChanged {
		t.Errorf("one change, events %v", w.events)
	}
	if !ro.HasWatch(w, "/", tiers.ScopeRecursive) || !r.Unwatch(w, "", tiers.ScopeAny) || r.HasWatch(w, "/", tiers.ScopeRecursive) {
		t.Error("watches are not where they should be")
	}
}

// counting counts what it is asked to write.
type counting struct {
	tiers.Tier
	submits int
}

func (c *counting) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	c.submits++
	return c.Tier.Submit(ctx, txn)
}

// What the copy shows to be impossible is refused by the copy, as long as it is fresh.
func TestRefusesByTheCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCopy(t)
		writes := &counting{Tier: c.leader}
		tier := readonly.New(c, writes, readonly.Options{MaxStaleness: 500 * time.Millisecond})
		asked := func(op tiers.Op, want error, by int) {
			t.Helper()
			before := writes.submits
			r, err := tiers.Do(t.Context(), tier, tiers.Txn{Ops: []tiers.Op{op}})
			if !errors.Is(err, want) || (want == nil) != (err == nil) || writes.submits-before != by || len(r.Results) != 1 {
				t.Errorf("%v %s: %+v, %v, with %d submits; want %v with %d", op.Kind, op.Path, r, err, writes.submits-before, want, by)
			}
		}
		asked(set("/none", ""), tiers.ErrNoNode, 1) // it has never caught up
		c.write(t, create("/x", ""))
		c.catchUp(t)
		asked(create("/x", ""), tiers.ErrNodeExists, 0)
		asked(set("/none", ""), tiers.ErrNoNode, 0)
		asked(create("x", ""), tiers.ErrBadArguments, 0)
		asked(tiers.Op{Kind: tiers.OpSetData, Path: "/x", Version: 7}, tiers.ErrBadVersion, 1)
		asked(set("/x", "1"), nil, 1)
		c.write(t, create("/y", ""))
		asked(set("/y", ""), tiers.ErrNoNode, 0) // by a state that may be a moment old
		c.catchUp(t)
		asked(set("/y", ""), nil, 1)
		<-time.After(time.Second)
		asked(create("/x", ""), tiers.ErrNodeExists, 1) // too old for the route
		old := readonly.New(c, writes, readonly.Options{})
		c.write(t, create("/z", ""))
		<-time.After(time.Second)
		if _, err := tiers.Do(t.Context(), old, tiers.Txn{Ops: []tiers.Op{set("/z", "")}}); err != nil {
			t.Errorf("refused by a copy two seconds old: %v", err)
		}
		if _, err := tiers.Do(t.Context(), tier, tiers.Txn{Ops: []tiers.Op{create("/x", ""), create("/w", "")}}); !errors.Is(err, tiers.ErrNodeExists) {
			t.Error(err)
		}
	})
}
