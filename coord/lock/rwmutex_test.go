package lock_test

import (
	"context"
	"errors"
	"regexp"
	"testing"

	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/tiers"
)

func rlock(m *lock.RWMutex) func(context.Context) (*lock.Held, error) { return m.RLock }
func wlock(m *lock.RWMutex) func(context.Context) (*lock.Held, error) { return m.Lock }

// background runs an acquire.
func background(ctx context.Context, acquire func(context.Context) (*lock.Held, error)) *waiting {
	w := &waiting{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.held, w.err = acquire(ctx)
	}()
	return w
}

func (w *waiting) must(t *testing.T) *lock.Held {
	t.Helper()
	if !w.over() || w.err != nil {
		t.Fatalf("not granted: %v", w.err)
	}
	return w.held
}

// TestReadersAndWriters queues up readers and writers: r r W r r W r.
func TestReadersAndWriters(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		count := new(counting)
		m := c.member(func(below tiers.Tier) tiers.Tier { count.Tier = below; return count })
		defer m.leave()
		rw := lock.NewRW(m, path)
		var ws []*waiting
		for i, kind := range "rrWrrWr" {
			acquire := rlock(rw)
			if kind == 'W' {
				acquire = wlock(rw)
			}
			ws = append(ws, background(t.Context(), acquire))
			c.waitFor(i + 1)
		}
		granted := func(want ...bool) {
			t.Helper()
			for i, w := range ws {
				if w.over() != want[i] {
					t.Errorf("contender %d is granted: %v", i, !want[i])
				}
			}
		}
		const y, n = true, false
		granted(y, y, n, n, n, n, n)
		for _, x := range []struct {
			release, reads int
			granted        []bool
		}{
			{0, 0, []bool{y, y, n, n, n, n, n}}, // the writer waits for the second reader
			{1, 1, []bool{y, y, y, n, n, n, n}},
			{2, 2, []bool{y, y, y, y, y, n, n}}, // both readers, and nobody else, are woken
			{4, 2, []bool{y, y, y, y, y, n, n}}, // the writer looks, and waits for the first of them
			{3, 1, []bool{y, y, y, y, y, y, n}},
			{5, 1, []bool{y, y, y, y, y, y, y}},
			{6, 0, []bool{y, y, y, y, y, y, y}},
		} {
			count.reads.Store(0)
			release(t, ws[x.release].must(t))
			granted(x.granted...)
			if got := count.reads.Load(); got != int64(x.reads) {
				t.Errorf("the release of %d made %d reads, want %d", x.release, got, x.reads)
			}
		}
		c.waitFor(0)
		for i := range ws[1:] {
			if ws[i].held.Token() >= ws[i+1].held.Token() {
				t.Errorf("token %d after %d", ws[i+1].held.Token(), ws[i].held.Token())
			}
		}
	})
}

func TestWriterInTheQueueGivesUp(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		rw := lock.NewRW(m, path)
		first := background(t.Context(), rw.RLock)
		c.waitFor(1)
		ctx, cancel := context.WithCancel(t.Context())
		impatient := background(ctx, rw.Lock)
		c.waitFor(2)
		behind := background(t.Context(), rw.RLock)
		c.waitFor(3)
		if behind.over() {
			t.Error("a reader has overtaken a writer")
		}
		cancel()
		<-impatient.done
		release(t, behind.must(t))
		release(t, first.must(t))
		c.waitFor(0)
	})
}

func TestTryRW(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		m := c.member(nil)
		defer m.leave()
		rw := lock.NewRW(m, path)
		refused := func(_ *lock.Held, err error) {
			t.Helper()
			if !errors.Is(err, lock.ErrHeld) {
				t.Errorf("%v, want ErrHeld", err)
			}
		}
		held := func(h *lock.Held, err error) *lock.Held {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		r := held(rw.TryRLock(t.Context()))
		r2 := held(rw.TryRLock(t.Context()))
		refused(rw.TryLock(t.Context()))
		release(t, r)
		release(t, r2)
		w := held(rw.TryLock(t.Context()))
		refused(rw.TryRLock(t.Context()))
		refused(rw.TryLock(t.Context()))
		c.waitFor(1)
		release(t, w)
	})
}

func TestRWNames(t *testing.T) {
	for name, x := range map[string]struct {
		opts        []lock.Option
		read, write string
	}{
		"kazoo":   {nil, `/[0-9a-f]{32}__rlock__\d{10}$`, `/[0-9a-f]{32}__lock__\d{10}$`},
		"Curator": {[]lock.Option{lock.CuratorNames()}, `/_c_[0-9a-f-]{36}-__READ__\d{10}$`, `/_c_[0-9a-f-]{36}-__WRIT__\d{10}$`},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				m := c.member(nil)
				defer m.leave()
				rw := lock.NewRW(m, path, x.opts...)
				r := background(t.Context(), rw.RLock).must(t)
				if !regexp.MustCompile(x.read).MatchString(r.Path()) {
					t.Errorf("reader %s", r.Path())
				}
				release(t, r)
				w := background(t.Context(), rw.Lock).must(t)
				if !regexp.MustCompile(x.write).MatchString(w.Path()) {
					t.Errorf("writer %s", w.Path())
				}
				release(t, w)
			})
		})
	}
}
