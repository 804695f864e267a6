package config_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/coord/config"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/tiertest/memtier"
)

const path = "/config/features"

type features struct {
	Checkout string   `json:"checkout" yaml:"checkout"`
	Limit    int      `json:"limit" yaml:"limit"`
	Regions  []string `json:"regions" yaml:"regions"`
}

// node is a member in memory. Inside a bubble, synctest.Wait waits until every Value has followed.
type node struct{ *memtier.Tier }

func (n node) node() config.Node { return reader{n} }

type reader struct{ tier tiers.Tier }

func (r reader) Tier() tiers.Tier { return r.tier }

// inBubble runs f on fake time. At its end no goroutine and no watch of a Value may be left.
func inBubble(t *testing.T, f func(t *testing.T, n node)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tier := memtier.New(memtier.Options{})
		defer tier.Close()
		f(t, node{tier})
		if _, _, watches := tier.WatchStats(); watches != 0 {
			t.Errorf("%d watches are left", watches)
		}
	})
}

func (n node) write(t *testing.T, data string) {
	t.Helper()
	do := func(op tiers.Op) error {
		_, err := tiers.Do(t.Context(), n, tiers.Txn{Ops: []tiers.Op{op}})
		return err
	}
	err := do(tiers.Op{Kind: tiers.OpSetData, Path: path, Data: []byte(data), Version: tiers.AnyVersion})
	if errors.Is(err, tiers.ErrNoNode) {
		_ = do(tiers.Op{Kind: tiers.OpCreate, Path: "/config", ACL: tiers.OpenACL}) // it may be there
		err = do(tiers.Op{Kind: tiers.OpCreate, Path: path, Data: []byte(data), ACL: tiers.OpenACL})
	}
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func (n node) remove(t *testing.T) {
	t.Helper()
	op := tiers.Op{Kind: tiers.OpDelete, Path: path, Version: tiers.AnyVersion}
	if _, err := tiers.Do(t.Context(), n, tiers.Txn{Ops: []tiers.Op{op}}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func bind(t *testing.T, n node, opts ...config.Option[features]) *config.Value[features] {
	t.Helper()
	v, err := config.Bind(t.Context(), n.node(), path, config.JSON, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// want checks the value and the error that it reports.
func want(t *testing.T, v *config.Value[features], checkout string, is error) {
	t.Helper()
	if got := v.Load().Checkout; got != checkout {
		t.Errorf("Load: checkout %q, want %q", got, checkout)
	}
	if err := v.Err(); !errors.Is(err, is) {
		t.Errorf("Err = %v, want %v", err, is)
	}
}

func TestValueAppearsAndChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, n node) {
		v := bind(t, n)
		defer v.Close()
		want(t, v, "", nil)
		n.write(t, `{"checkout":"old"}`)
		want(t, v, "old", nil)
		n.write(t, `{"checkout":"new","unknown":1}`)
		want(t, v, "new", nil)
		<-v.Changed()
		select {
		case <-v.Changed():
			t.Error("two changes without a receive between them gave two values")
		default:
		}
	})
}

func TestDefaultUntilThereIsAValue(t *testing.T) {
	inBubble(t, func(t *testing.T, n node) {
		v := bind(t, n, config.WithDefault(features{Checkout: "default"}))
		defer v.Close()
		want(t, v, "default", nil)
		n.write(t, `{"checkout":"set"}`)
		want(t, v, "set", nil)
	})
}

func TestBadValueKeepsTheLastGoodOne(t *testing.T) {
	inBubble(t, func(t *testing.T, n node) {
		n.write(t, `{"checkout":"good"}`)
		v := bind(t, n)
		defer v.Close()
		n.write(t, `{"checkout":`)
		var bad *config.DecodeError
		if !errors.As(v.Err(), &bad) || bad.Path != path || bad.Version != 1 {
			t.Errorf("Err = %#v, want a DecodeError of %s at version 1", v.Err(), path)
		}
		want(t, v, "good", v.Err())
		<-v.Changed() // Err has
		n.remove(t)
		want(t, v, "good", tiers.ErrNoNode)
		<-v.Changed()
		n.write(t, `{"checkout":`)
		if !errors.As(v.Err(), &bad) {
			t.Errorf("the same bad value after a deletion: Err = %v", v.Err())
		}
		n.write(t, `{"checkout":"good"}`)
		want(t, v, "good", nil)
	})
}

func TestBadFirstValue(t *testing.T) {
	inBubble(t, func(t *testing.T, n node) {
		n.write(t, ``)
		_, err := config.Bind[features](t.Context(), n.node(), path, config.JSON)
		var bad *config.DecodeError
		if !errors.As(err, &bad) {
			t.Errorf("Bind = %v, want a DecodeError", err)
		}
		v := bind(t, n, config.WithDefault(features{Checkout: "default"}))
		defer v.Close()
		if !errors.As(v.Err(), &bad) {
			t.Errorf("Err = %v, want a DecodeError", v.Err())
		}
		want(t, v, "default", v.Err())
		n.write(t, `{"checkout":"good"}`)
		want(t, v, "good", nil)
	})
}

func TestDeletionKeepsTheLastGoodValue(t *testing.T) {
	inBubble(t, func(t *testing.T, n node) {
		n.write(t, `{"checkout":"good"}`)
		v := bind(t, n)
		defer v.Close()
		n.remove(t)
		want(t, v, "good", tiers.ErrNoNode)
		n.write(t, `{"checkout":"again"}`)
		want(t, v, "again", nil)
	})
}

func TestSetMakesThePathAndIsReadBack(t *testing.T) {
	inBubble(t, func(t *testing.T, n node) {
		a, b := bind(t, n), bind(t, n)
		defer a.Close()
		defer b.Close()
		for i := range 3 {
			name := "v" + strconv.Itoa(i)
			if err := a.Set(t.Context(), features{Checkout: name}); err != nil {
				t.Fatal(err)
			}
			want(t, a, name, nil)
			synctest.Wait()
			want(t, b, name, nil)
			<-a.Changed()
			<-b.Changed()
		}
	})
}

func TestSetRefusesWhatItsCodecCannotRead(t *testing.T) {
	inBubble(t, func(t *testing.T, n node) {
		v, err := config.Bind[int](t.Context(), n.node(), path, shouting{})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if err := v.Set(t.Context(), 7); err == nil {
			t.Error("a value that can't be decoded was set")
		}
		if _, err := n.Read(t.Context(), tiers.Query{Path: path}); !errors.Is(err, tiers.ErrNoNode) {
			t.Errorf("the znode was written: %v", err)
		}
	})
}

// shouting is a codec that can't read what it writes.
type shouting struct{}

func (shouting) Encode(v any) ([]byte, error)       { return fmt.Appendf(nil, "%v!", v), nil }
func (shouting) Decode(data []byte, into any) error { return config.JSON.Decode(data, into) }

func TestLoadAnswersWithoutTheTier(t *testing.T) {
	inBubble(t, func(t *testing.T, n node) {
		n.write(t, `{"checkout":"good"}`)
		v := bind(t, n)
		defer v.Close()
		n.write(t, `{"checkout":"better"}`)
		n.SetUnavailable(fmt.Errorf("%w: no majority", tiers.ErrUnavailable))
		want(t, v, "better", nil)
		if err := v.Set(t.Context(), features{}); !errors.Is(err, tiers.ErrUnavailable) {
			t.Errorf("Set = %v", err)
		}
		n.SetUnavailable(nil)
		n.write(t, `{"checkout":"best"}`)
		want(t, v, "best", nil)
	})
}

// flaky fails reads while it is told to, and knows who watches.
type flaky struct {
	tiers.Tier
	mu      sync.Mutex
	err     error
	watcher tiers.Watcher
}

func (f *flaky) AddWatch(path string, scope tiers.Scope, w tiers.Watcher) error {
	f.watcher = w
	return f.Tier.AddWatch(path, scope, w)
}

func (f *flaky) fail(err error) {
	f.mu.Lock()
	f.err = err
	f.mu.Unlock()
}

func (f *flaky) Read(ctx context.Context, q tiers.Query) (tiers.View, error) {
	f.mu.Lock()
	err := f.err
	f.mu.Unlock()
	if err != nil {
		return tiers.View{}, err
	}
	return f.Tier.Read(ctx, q)
}

func TestFailedReadIsReportedAndTriedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n node) {
		n.write(t, `{"checkout":"good"}`)
		f := &flaky{Tier: n}
		v, err := config.Bind[features](t.Context(), reader{f}, path, config.JSON)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		f.fail(&tiers.StaleError{Path: path})
		n.write(t, `{"checkout":"new"}`)
		want(t, v, "good", tiers.ErrStale)
		<-v.Changed()
		<-time.After(time.Minute) // fake: tried again many times
		select {
		case <-v.Changed():
			t.Error("the same problem was announced again")
		default:
		}
		f.fail(nil)
		<-v.Changed() // on fake time, after the pause
		want(t, v, "new", nil)
	})
}

func TestBindWaitsForTheFirstRead(t *testing.T) {
	inBubble(t, func(t *testing.T, n node) {
		n.write(t, `{"checkout":"good"}`)
		f := &flaky{Tier: n, err: tiers.ErrUnavailable}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := config.Bind[features](ctx, reader{f}, path, config.JSON); !errors.Is(err, tiers.ErrUnavailable) {
			t.Errorf("Bind without the tier = %v", err)
		}
		if n.HasWatch(f.watcher, path, tiers.ScopePersistent) {
			t.Error("a failed Bind left its watch")
		}
		timer := time.AfterFunc(10*time.Second, func() { f.fail(nil) })
		defer timer.Stop()
		v, err := config.Bind[features](t.Context(), reader{f}, path, config.JSON)
		if err != nil {
			t.Fatal(err)
		}
		if !n.HasWatch(f.watcher, path, tiers.ScopePersistent) {
			t.Error("a bound value does not watch")
		}
		defer v.Close()
		want(t, v, "good", nil)
	})
}

func TestOnChange(t *testing.T) {
	inBubble(t, func(t *testing.T, n node) {
		v := bind(t, n)
		defer v.Close()
		var mu sync.Mutex
		var seen []string
		n.write(t, `{"checkout":`) // is no value
		v.OnChange(func(f features) {
			mu.Lock()
			seen = append(seen, f.Checkout)
			mu.Unlock()
			if f.Checkout == "b" {
				if err := v.Set(t.Context(), features{Checkout: "c"}); err != nil {
					t.Error(err)
				}
			}
		})
		n.write(t, `{"checkout":"a"}`)
		n.write(t, `{"checkout":"b"}`)
		mu.Lock()
		defer mu.Unlock()
		if fmt.Sprint(seen) != "[a b c]" {
			t.Errorf("OnChange was called with %v", seen)
		}
	})
}

func TestClose(t *testing.T) {
	inBubble(t, func(t *testing.T, n node) {
		n.write(t, `{"checkout":"good"}`)
		v := bind(t, n)
		v.Close()
		v.Close()
		if _, open := <-v.Changed(); open {
			t.Error("Changed is still open")
		}
		n.write(t, `{"checkout":"new"}`)
		want(t, v, "good", nil)
	})
}

func TestYAML(t *testing.T) {
	inBubble(t, func(t *testing.T, n node) {
		n.write(t, "checkout: new\nregions:\n- eu\n- us\n")
		v, err := config.Bind[features](t.Context(), n.node(), path, config.YAML)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if got := v.Load(); got.Checkout != "new" || len(got.Regions) != 2 {
			t.Errorf("Load = %+v", got)
		}
		if err := v.Set(t.Context(), features{Checkout: "newer", Limit: 3}); err != nil {
			t.Fatal(err)
		}
		want(t, v, "newer", nil)
		n.write(t, "checkout: [")
		var bad *config.DecodeError
		if !errors.As(v.Err(), &bad) || strings.Contains(v.Err().Error(), "\n") {
			t.Errorf("Err = %q, want a DecodeError in one line", v.Err())
		}
		want(t, v, "newer", v.Err())
	})
}

func TestBadArguments(t *testing.T) {
	inBubble(t, func(t *testing.T, n node) {
		if _, err := config.Bind[int](t.Context(), n.node(), "features", config.JSON); !errors.Is(err, tiers.ErrBadArguments) {
			t.Errorf("a relative path: %v", err)
		}
		n.write(t, "1")
		if _, err := config.Bind[int](t.Context(), n.node(), path, config.Format("toml")); err == nil {
			t.Error("an unknown format was taken")
		}
	})
}

func TestLoadWhileItChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, n node) {
		v, err := config.Bind[int](t.Context(), n.node(), path, config.JSON)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		var wg sync.WaitGroup
		done := make(chan struct{})
		for range 4 {
			wg.Go(func() {
				for last := 0; ; {
					select {
					case <-done:
						return
					default:
					}
					if now := v.Load(); now < last {
						t.Errorf("went back from %d to %d", last, now)
					} else {
						last = now
					}
				}
			})
		}
		for i := range 200 {
			if err := v.Set(t.Context(), i); err != nil {
				t.Error(err)
			}
		}
		close(done)
		wg.Wait()
	})
}
