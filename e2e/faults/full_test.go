//go:build foreign

package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strata-coord/strata/e2e/wire"
	"github.com/strata-coord/strata/internal/history"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/jute"
)

const (
	diskMiB    = 160 // of each member: far more than the test writes
	reserveMiB = 24  // --disk-reserve
	payload    = 8 << 10
	fullNodes  = 16
	writePause = 4 * time.Millisecond
)

// TestFullDisk takes the room on the disk of a follower, of the leader and of all members under a load, and gives it back: nothing is
// restarted. Nearly full, a disk has half of its reserve left; full, not a byte.
func TestFullDisk(t *testing.T) {
	follower := func(c *cluster) []*member { return c.without(c.leader())[:1] }
	leader := func(c *cluster) []*member { return []*member{c.leader()} }
	everyone := func(c *cluster) []*member { return c.members }
	for _, x := range []struct {
		name   string
		choose func(*cluster) []*member
		left   int // MiB
	}{
		{"leader nearly", leader, reserveMiB / 2},
		{"everyone nearly", everyone, reserveMiB / 2},
		{"follower", follower, 0},
		{"leader", leader, 0},
		{"everyone", everyone, 0},
	} {
		t.Run(x.name, func(t *testing.T) { fullDisk(t, x.choose, x.left) })
	}
}

func fullDisk(t *testing.T, choose func(*cluster) []*member, left int) {
	var disks []*ballast
	for range 3 {
		disks = append(disks, &ballast{dir: mount(t, diskMiB), left: left << 20})
	}
	c := newCluster(t, len(disks), func(i int) string { return disks[i].dir }, "--disk-reserve", fmt.Sprint(reserveMiB<<20))
	l := &load{c: c, rec: history.New()}
	ctx, stop := context.WithCancel(t.Context())
	if err := bounded(t, l.furnishFull); err != nil {
		t.Fatal(err)
	}
	var (
		writers []*writer
		work    sync.WaitGroup
	)
	for _, m := range c.members {
		w := &writer{l: l, m: m}
		writers = append(writers, w)
		work.Go(func() { w.run(ctx) })
	}
	defer work.Wait()
	defer stop()
	more := func(what string, w *writer, n int64) {
		t.Helper()
		want := w.done.Load() + n
		until(t, what+" at "+w.m.name, func() error {
			if have := w.done.Load(); have < want {
				return fmt.Errorf("%d writes are still to come; the last one that failed: %v", want-have, w.why.Load())
			}
			return nil
		})
	}
	for _, w := range writers {
		more("writes at first", w, 20)
	}
	full := choose(c)
	spoiled := make(map[*member]bool)
	begin := time.Now()
	for _, m := range full {
		spoiled[m] = true
		if err := disks[m.i].fill(); err != nil {
			t.Fatal(err)
		}
		l.rec.Note("the disk of %s is full", m.name)
	}
	minority := len(full) < len(c.members)
	if minority && left == 0 {
		// It may take a while until the log needs another page. Old segments may be deleted meanwhile.
		until(t, full[0].name+" says that its disk is full", func() error {
			if err := disks[full[0].i].fill(); err != nil {
				return err
			}
			s, err := full[0].status()
			if err == nil && !strings.Contains(s.Disk, "no space") {
				err = fmt.Errorf("disk is %q, after %d writes", s.Disk, l.answered.Load())
			}
			return err
		})
	}
	if minority {
		now := c.leader(c.without(full[0])...)
		t.Logf("%s leads %v after the disk of %s was full", now.name, time.Since(begin).Round(time.Millisecond), full[0].name)
		if left > 0 {
			until(t, "another member leads", func() error {
				if c.leader() == full[0] {
					return errors.New(full[0].name + " leads still")
				}
				return nil
			})
		}
	}
	for _, w := range writers {
		switch failed := w.failed.Load(); {
		case minority && (left > 0 || !spoiled[w.m]):
			more("writes while the disk of a minority is full", w, 50)
		case !minority:
			until(t, w.m.name+" refuses a write", func() error {
				if w.failed.Load() == failed {
					return errors.New("none was")
				}
				return nil
			})
		}
	}
	for _, m := range c.members {
		if left > 0 || !minority {
			until(t, "reads at "+m.name+" go on", func() error { return bounded(t, m.reads) })
		}
	}
	for _, w := range writers {
		t.Logf("%s (full: %t): %d writes acknowledged, %d not, of which %d cost the connection; the longest wait for an answer was %v; the last failure: %v",
			w.m.name, spoiled[w.m], w.done.Load(), w.failed.Load(), w.cut.Load(), time.Duration(w.longest.Load()).Round(time.Millisecond), w.why.Load())
	}
	back := time.Now()
	for _, m := range full {
		if err := disks[m.i].drop(); err != nil {
			t.Fatal(err)
		}
		l.rec.Note("the disk of %s has room", m.name)
	}
	for _, w := range writers {
		more("writes after there is room again", w, 20)
	}
	t.Logf("writes at all members %v after there was room", time.Since(back).Round(time.Millisecond))
	stop()
	work.Wait()
	for _, m := range full {
		until(t, m.name+" has caught up", func() error {
			s, err := m.status()
			if err != nil {
				return err
			}
			for _, o := range c.members {
				so, err := o.status()
				if err != nil {
					return err
				}
				if s.Disk != "" || s.Applied < so.Commit {
					return fmt.Errorf("disk is %q, %d is applied of %d", s.Disk, s.Applied, so.Commit)
				}
			}
			return nil
		})
	}
	l.round = full[0].i // the tree is read there
	if err := bounded(t, l.check); err != nil {
		t.Fatal(err)
	}
}

// furnishFull makes the znodes that the writers write.
func (l *load) furnishFull(ctx context.Context) error {
	conn, err := l.c.members[0].connect(ctx, wire.Session{Timeout: sessionTimeout})
	if err != nil {
		return err
	}
	defer conn.Close()
	tier := l.rec.Client("setup", l.c.members[0].name, &wired{conn: conn})
	for i := range fullNodes {
		if _, err := tier.Submit(ctx, tiers.Txn{Ops: []tiers.Op{{Kind: tiers.OpCreate, Path: fmt.Sprint("/full", i)}}}).Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// reads asks for a znode of a strong route, and for one that is answered by the member alone.
func (m *member) reads(ctx context.Context) error {
	conn, err := m.connect(ctx, wire.Session{Timeout: sessionTimeout})
	if err != nil {
		return err
	}
	defer conn.Close()
	if r := conn.Do(ctx, jute.NodeOp{Op: jute.OpGetData, Path: "/full0"}); !r.OK() {
		return fmt.Errorf("strong: %v", &r)
	}
	if r := conn.Do(ctx, jute.NodeOp{Op: jute.OpExists, Path: "/config"}); r.Code != jute.CodeNoNode {
		return fmt.Errorf("readonly: %v", &r)
	}
	return nil
}

// writer writes big values at one member, one after the other.
type writer struct {
	l *load
	m *member

	done, failed, cut atomic.Int64 // writes that were acknowledged, that were not, and those of them that cost the connection
	longest           atomic.Int64 // ns: how long an answer took
	why               atomic.Value // string: the last failure
}

func (w *writer) run(ctx context.Context) {
	var (
		conn    *wire.Conn
		tier    *history.Client
		session = wire.Session{Timeout: sessionTimeout}
	)
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for n := 0; ctx.Err() == nil; n++ {
		if conn == nil {
			dialCtx, cancel := context.WithTimeout(ctx, 2*time.Second)
			next, err := w.m.connect(dialCtx, session)
			cancel()
			if errors.Is(err, wire.ErrExpired) {
				session = wire.Session{Timeout: sessionTimeout}
			}
			if err != nil {
				pause(ctx, 100*time.Millisecond)
				continue
			}
			conn, session = next, next.Session()
			tier = w.l.rec.Client("writer of "+w.m.name, w.m.name, &wired{conn: conn})
		}
		data := fmt.Appendf(nil, "%s.%d", w.m.name, n)
		data = append(data, bytes.Repeat([]byte{' '}, payload-len(data))...)
		begin := time.Now()
		p := tier.Submit(ctx, tiers.Txn{Session: tiers.SessionID(session.ID), Ops: []tiers.Op{
			{Kind: tiers.OpSetData, Path: fmt.Sprint("/full", n%fullNodes), Data: data, Version: tiers.AnyVersion}}})
		timer := time.AfterFunc(3*callTimeout, func() { conn.Close() })
		<-p.Done()
		timer.Stop()
		w.longest.Store(max(w.longest.Load(), int64(time.Since(begin))))
		w.l.answered.Add(1)
		if _, err, _ := p.Result(); err == nil {
			w.done.Add(1)
			pause(ctx, writePause)
			continue
		} else {
			w.failed.Add(1)
			w.why.Store(err.Error())
			pause(ctx, 10*writePause)
		}
		if conn.Lost() != nil {
			w.cut.Add(1)
			conn.Close()
			session.Seen = max(session.Seen, conn.Session().Seen)
			conn = nil
		}
	}
}
