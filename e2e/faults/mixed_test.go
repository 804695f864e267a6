//go:build foreign

package faults

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/strata-coord/strata/e2e/wire"
	"github.com/strata-coord/strata/internal/history"
)

var (
	faultTime = flag.Duration("faults.time", 25*time.Second, "how long TestMixedFaults disturbs each of its clusters")
	faultSeed = flag.Uint64("faults.seed", 0, "the seed of its first cluster; 0: a new one")
)

func TestMixedFaults(t *testing.T) {
	seed := *faultSeed
	if seed == 0 {
		seed = rand.Uint64N(1_000_000) + 1
	}
	for i, size := range []int{3, 5} {
		t.Run(fmt.Sprint(size, " members"), func(t *testing.T) { mixed(t, size, seed+uint64(i)) })
	}
}

// mixed runs rounds of faults, with a load on all members. After each round the cluster has to recover by itself, and the
// history of the round is checked.
func mixed(t *testing.T, size int, seed uint64) {
	t.Logf("seed %d", seed)
	x := &nemesis{c: newCluster(t, size, nil), rand: rand.New(rand.NewPCG(seed, 0)), counts: make(map[string]int)}
	x.l = &load{c: x.c, rec: history.New()}
	var clients []*client
	for i := range 2 * size {
		k := &client{l: x.l, name: fmt.Sprint("c", i), rand: rand.New(rand.NewPCG(seed, uint64(i+1))), session: wire.Session{Timeout: sessionTimeout}}
		clients = append(clients, k)
		defer k.leave()
	}
	var worst time.Duration
	for begin := time.Now(); time.Since(begin) < *faultTime; {
		if err := bounded(t, x.l.furnish); err != nil {
			t.Fatalf("seed %d: round %d: prepare: %v", seed, x.l.round, err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var work sync.WaitGroup
		for _, k := range clients {
			work.Go(func() { k.run(ctx) })
		}
		x.disturb(ctx)
		healed := time.Now()
		x.c.ready()
		worst = max(worst, time.Since(healed))
		pause(ctx, 500*time.Millisecond)
		stop()
		work.Wait()
		if err := bounded(t, x.l.check); err != nil {
			t.Fatalf("seed %d: round %d: %v", seed, x.l.round, err)
		}
	}
	t.Logf("seed %d, %d members: %d rounds, %d calls, %d of them answered, all members served strong reads %v after a round at the latest; faults: %v",
		seed, size, x.l.round, x.l.ops.Load(), x.l.answered.Load(), worst.Round(time.Millisecond), x.counts)
	if x.l.answered.Load() == 0 {
		t.Error("no call was answered")
	}
}

func bounded(t *testing.T, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return f(ctx)
}

// nemesis disturbs a cluster.
type nemesis struct {
	c      *cluster
	l      *load
	rand   *rand.Rand
	counts map[string]int
}

// fault is something that is done to a member, and undone.
type fault struct {
	name string
	do   func(x *nemesis, m *member) error
	undo func(x *nemesis, m *member) error
}

var faultKinds = []fault{
	{"kill", func(_ *nemesis, m *member) error { return m.stop(syscall.SIGKILL) }, restart},
	{"terminate", func(_ *nemesis, m *member) error { return m.stop(syscall.SIGTERM) }, restart},
	{"pause", func(_ *nemesis, m *member) error { m.signal(syscall.SIGSTOP); return nil }, func(_ *nemesis, m *member) error { m.signal(syscall.SIGCONT); return nil }},
	{"cut off", func(_ *nemesis, m *member) error { return m.net.cut(m.i, true) }, func(_ *nemesis, m *member) error { return m.net.cut(m.i, false) }},
	{"mute to one", func(x *nemesis, m *member) error { return m.net.mute(m.i, x.next(m), true) }, func(x *nemesis, m *member) error { return m.net.mute(m.i, x.next(m), false) }},
	{"mute to all", muteAll(true), muteAll(false)},
	{"cut from one", cutFromOne(true), cutFromOne(false)},
}

func restart(_ *nemesis, m *member) error { return m.start() }

func (x *nemesis) next(m *member) int { return (m.i + 1) % len(x.c.members) }

func muteAll(on bool) func(*nemesis, *member) error {
	return func(x *nemesis, m *member) (err error) {
		for _, o := range x.c.without(m) {
			err = errors.Join(err, m.net.mute(m.i, o.i, on))
		}
		return err
	}
}

func cutFromOne(on bool) func(*nemesis, *member) error {
	return func(x *nemesis, m *member) error {
		other := (m.i + len(x.c.members) - 1) % len(x.c.members)
		return errors.Join(m.net.mute(m.i, other, on), m.net.mute(other, m.i, on))
	}
}

// disturb is one round of faults: one to three, on different members, that overlap or not. Once in a while it is all members that are killed.
func (x *nemesis) disturb(ctx context.Context) {
	pause(ctx, time.Duration(x.rand.Int64N(int64(500*time.Millisecond))))
	if x.rand.IntN(8) == 0 {
		x.counts["kill everyone"]++
		x.l.rec.Note("everyone is killed")
		for _, m := range x.c.members {
			m.signal(syscall.SIGKILL)
		}
		for _, m := range x.c.members {
			<-m.exited
			x.report(m, "starts again", m.start())
		}
		pause(ctx, time.Second)
		return
	}
	var victims []*member
	for _, i := range x.rand.Perm(len(x.c.members)) {
		victims = append(victims, x.c.members[i])
	}
	if x.rand.IntN(2) == 0 {
		for i, m := range victims {
			if s, err := m.status(); err == nil && s.RaftState == "leader" {
				victims[0], victims[i] = victims[i], victims[0]
				break
			}
		}
	}
	var done sync.WaitGroup
	for _, m := range victims[:1+x.rand.IntN(min(3, len(victims)))] {
		f := faultKinds[x.rand.IntN(len(faultKinds))]
		before, length := time.Duration(x.rand.Int64N(int64(1500*time.Millisecond))), time.Duration(x.rand.Int64N(int64(3500*time.Millisecond)))
		x.counts[f.name]++
		done.Go(func() {
			pause(ctx, before)
			x.report(m, f.name, f.do(x, m))
			pause(ctx, length)
			x.report(m, "end of "+f.name, f.undo(x, m))
		})
	}
	done.Wait()
}

func (x *nemesis) report(m *member, what string, err error) {
	x.l.rec.Note("%s: %s", m.name, what)
	if err != nil {
		x.c.t.Errorf("%s: %s: %v", m.name, what, err)
	}
}
