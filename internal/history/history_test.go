package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/tiertest/memtier"
)

// wrong is a tier that is wrong, now and then.
type wrong struct {
	tiers.Tier
	mu     sync.Mutex // held while submit and read run, which own what they remember
	submit func(ctx context.Context, below tiers.Tier, txn tiers.Txn) *tiers.Pending
	read   func(ctx context.Context, below tiers.Tier, q tiers.Query) (tiers.View, error)
}

func (w *wrong) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	if w.submit == nil {
		return w.Tier.Submit(ctx, txn)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.submit(ctx, w.Tier, txn)
}

func (w *wrong) Read(ctx context.Context, q tiers.Query) (tiers.View, error) {
	if w.read == nil {
		return w.Tier.Read(ctx, q)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read(ctx, w.Tier, q)
}

type bell chan tiers.Event

func (b bell) Notify(ev tiers.Event) {
	select {
	case b <- ev:
	default:
	}
}

// record has three clients work on a few znodes of a tier in memory, over what between puts before it, and checks.
func record(t *testing.T, seed uint64, between func(tiers.Tier) tiers.Tier) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		below := memtier.New(memtier.Options{})
		defer below.Close()
		rec := New()
		tier := tiers.Tier(below)
		if between != nil {
			tier = between(below)
		}
		var work sync.WaitGroup
		for i := range uint64(3) {
			c := rec.Client(fmt.Sprint("c", i), "m1", tier)
			dice := rand.New(rand.NewPCG(seed, i))
			work.Go(func() { c.work(t.Context(), dice) })
		}
		work.Wait()
		synctest.Wait()
		final := make(map[string]Znode)
		var zxid tiers.Zxid
		for i := range 4 {
			path := fmt.Sprint("/k", i)
			v, err := below.Read(t.Context(), tiers.Query{Path: path, Want: tiers.WantData})
			zxid = v.Zxid
			if err == nil {
				final[path] = Znode{v.Data, v.Stat}
			}
		}
		err = rec.Check(Options{UniqueData: true, Final: final, FinalZxid: zxid})
	})
	return err
}

func (c *Client) work(ctx context.Context, dice *rand.Rand) {
	for i := range 120 {
		path := fmt.Sprint("/k", dice.IntN(4))
		data := []byte(fmt.Sprint(c.name, "-", i))
		version := tiers.AnyVersion
		if dice.IntN(2) == 0 {
			version = int32(dice.IntN(4))
		}
		do := func(op tiers.Op) { _, _ = tiers.Do(ctx, c, tiers.Txn{Ops: []tiers.Op{op}}) }
		switch dice.IntN(8) {
		case 0, 1:
			do(tiers.Op{Kind: tiers.OpCreate, Path: path, Data: data, ACL: tiers.OpenACL})
		case 2:
			do(tiers.Op{Kind: tiers.OpDelete, Path: path, Version: version})
		case 3, 4:
			do(tiers.Op{Kind: tiers.OpSetData, Path: path, Data: data, Version: version})
		case 5:
			_, _ = c.Read(ctx, tiers.Query{Path: path, Want: tiers.WantStat})
		case 6:
			_, _ = c.Read(ctx, tiers.Query{Path: path, Want: tiers.WantData, Watch: &tiers.WatchSpec{Watcher: make(bell, 8), Scope: tiers.ScopeData}})
		default:
			_, _ = c.Read(ctx, tiers.Query{Path: path, Want: tiers.WantData})
		}
		<-time.After(time.Duration(dice.IntN(3)) * time.Millisecond)
	}
}

func TestAGoodHistoryPasses(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		if err := record(t, seed, nil); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
	// So does one in which answers are lost, whether the txn applied or not.
	for seed := range uint64(10) {
		n := 0
		err := record(t, seed, func(below tiers.Tier) tiers.Tier {
			return &wrong{Tier: below, submit: func(ctx context.Context, below tiers.Tier, txn tiers.Txn) *tiers.Pending {
				switch n++; {
				case n%10 == 0:
					_, _ = below.Submit(ctx, txn).Wait(ctx)
					return tiers.Completed(tiers.Receipt{}, &tiers.UnknownOutcomeError{Cause: errors.New("lost")})
				case n%10 == 5:
					return tiers.Completed(tiers.Receipt{}, &tiers.UnknownOutcomeError{Cause: errors.New("lost")})
				}
				return below.Submit(ctx, txn)
			}}
		})
		if err != nil {
			t.Errorf("seed %d, with lost answers: %v", seed, err)
		}
	}
}

// Each of these faults is found, in every one of the seeds or nearly so.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	sometimes := func() func() bool {
		n := 0
		return func() bool { n++; return n%7 == 0 }
	}
	for name, between := range map[string]func(below tiers.Tier) tiers.Tier{
		"a stale read": func(below tiers.Tier) tiers.Tier {
			now, old := sometimes(), make(map[string]tiers.View)
			return &wrong{Tier: below, read: func(ctx context.Context, below tiers.Tier, q tiers.Query) (tiers.View, error) {
				if v, ok := old[q.Path]; ok && now() {
					return v, nil
				}
				v, err := below.Read(ctx, q)
				if err == nil && q.Want == tiers.WantData {
					old[q.Path] = v
				}
				return v, err
			}}
		},
		"a stale read that claims to be new": func(below tiers.Tier) tiers.Tier {
			now, old := sometimes(), make(map[string]tiers.View)
			return &wrong{Tier: below, read: func(ctx context.Context, below tiers.Tier, q tiers.Query) (tiers.View, error) {
				fresh, err := below.Read(ctx, q)
				if v, ok := old[q.Path]; ok && now() {
					v.Zxid = fresh.Zxid
					return v, nil
				}
				if err == nil && q.Want == tiers.WantData {
					old[q.Path] = fresh
				}
				return fresh, err
			}}
		},
		"a write that is applied twice": func(below tiers.Tier) tiers.Tier {
			now := sometimes()
			return &wrong{Tier: below, submit: func(ctx context.Context, below tiers.Tier, txn tiers.Txn) *tiers.Pending {
				p := below.Submit(ctx, txn)
				if now() {
					return below.Submit(ctx, txn)
				}
				return p
			}}
		},
		"a lost write": func(below tiers.Tier) tiers.Tier {
			now := sometimes()
			return &wrong{Tier: below, submit: func(ctx context.Context, below tiers.Tier, txn tiers.Txn) *tiers.Pending {
				p := below.Submit(ctx, txn)
				if _, err, _ := p.Result(); err == nil && txn.Ops[0].Kind == tiers.OpCreate && now() {
					below.Submit(ctx, tiers.Txn{Ops: []tiers.Op{{Kind: tiers.OpDelete, Path: txn.Ops[0].Path, Version: tiers.AnyVersion}}})
				}
				return p
			}}
		},
		"a zxid that was given before": func(below tiers.Tier) tiers.Tier {
			now := sometimes()
			return &wrong{Tier: below, submit: func(ctx context.Context, below tiers.Tier, txn tiers.Txn) *tiers.Pending {
				r, err := below.Submit(ctx, txn).Wait(ctx)
				if err == nil && now() {
					r.Zxid--
				}
				return tiers.Completed(r, err)
			}}
		},
		"a version that does not count": func(below tiers.Tier) tiers.Tier {
			return &wrong{Tier: below, submit: func(ctx context.Context, below tiers.Tier, txn tiers.Txn) *tiers.Pending {
				asked := txn
				if txn.Ops[0].Kind == tiers.OpSetData {
					op := txn.Ops[0]
					op.Version = tiers.AnyVersion
					asked.Ops = []tiers.Op{op}
				}
				return below.Submit(ctx, asked)
			}}
		},
		"a lost event": func(below tiers.Tier) tiers.Tier {
			return &wrong{Tier: below, read: func(ctx context.Context, below tiers.Tier, q tiers.Query) (tiers.View, error) {
				watched := q.Watch != nil
				q.Watch = nil
				v, err := below.Read(ctx, q)
				v.Armed = watched && err == nil
				return v, err
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := 0
			for seed := range uint64(5) {
				var v *Violation
				if err := record(t, seed, between); errors.As(err, &v) && v.Story != "" {
					found++
				}
			}
			if found < 4 {
				t.Errorf("found in %d of 5 seeds", found)
			}
		})
	}
}

// Porcupine alone finds what it can find, too: it is a second opinion.
func TestLinearizability(t *testing.T) {
	t.Parallel()
	rec := New()
	c := rec.Client("c1", "m1", nil)
	txn := func(kind tiers.OpKind, data string, z tiers.Zxid, version int32, err error) {
		o := c.call(&tiers.Txn{Ops: []tiers.Op{{Kind: kind, Path: "/x", Data: []byte(data), Version: tiers.AnyVersion}}}, nil, false)
		o.answer(z, []tiers.Result{{Path: "/x", Stat: tiers.Stat{Czxid: 1, Mzxid: z, Version: version}}}, tiers.View{}, err)
	}
	get := func(data string, version int32) {
		o := c.call(nil, &tiers.Query{Path: "/x", Want: tiers.WantData}, false)
		o.answer(9, nil, tiers.View{Data: []byte(data), Stat: tiers.Stat{Version: version}}, nil)
	}
	check := func() error {
		return (&history{ops: rec.ops, options: Options{SearchTime: time.Minute}}).checkLinearizable()
	}
	txn(tiers.OpCreate, "a", 1, 0, nil)
	txn(tiers.OpSetData, "b", 2, 1, nil)
	txn(tiers.OpSetData, "c", 0, 0, &tiers.UnknownOutcomeError{Cause: errors.New("lost")})
	get("b", 1)
	get("c", 2)
	if err := check(); err != nil {
		t.Fatal(err)
	}
	get("b", 1)
	if err := check(); err == nil {
		t.Error("a read that goes back was not found")
	}
}

// The zxids say that all is well: only porcupine can find that the order they tell of never was.
func TestZxidsAreNotBelieved(t *testing.T) {
	t.Parallel()
	tellAll(t, Options{}, map[string]story{
		"a sequence": {func(t *teller) {
			t.a.sequential(1, "/x", "/x0000000000")
			t.b.sees(1, "/x0000000000", "", stat(1, 1, 0))
			t.b.remove(2, "/x0000000000", 0)
			t.b.misses(2, "/x0000000000")
		}, ""},
		"a refusal in the past": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.a.remove(2, "/x", 0)
			t.b.fails(1, tiers.OpCreate, "/x", "b", 0, tiers.ErrNodeExists) // as of 1, it says
		}, "linearizability"},
		"a write that found no znode, in the past": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.b.fails(0, tiers.OpSetData, "/x", "b", 0, tiers.ErrNoNode)
		}, "linearizability"},
	})
}

// What is cut off is forgotten, and does not speak against what comes.
func TestCut(t *testing.T) {
	t.Parallel()
	tellAll(t, Options{UniqueData: true}, map[string]story{
		"right": {func(t *teller) {
			t.a.create(1, "/x", "a")
			t.watches(tiers.ScopeData, 1, "/x", stat(1, 1, 0))
			t.rec.Cut()
			t.told(tiers.NodeDataChanged, 2, "/x")
			t.b.create(3, "/y", "b")
			t.b.sees(3, "/x", "c", stat(1, 2, 1))
			t.b.lists(3, "/", "x", "y")
		}, ""},
		"wrong": {func(t *teller) { t.a.create(1, "/x", "a"); t.rec.Cut(); t.b.create(2, "/y", "b"); t.b.misses(2, "/y") }, "stale or lost"},
	})
}
