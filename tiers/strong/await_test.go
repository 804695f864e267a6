package strong

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// lostFuture is one that raft forgot.
type lostFuture struct{ found chan struct{} }

func (f lostFuture) Error() error { <-f.found; return nil }

func TestLostFuture(t *testing.T) {
	onDisks(t, 3, nil, func(t *testing.T, c *faultCluster) {
		f := lostFuture{make(chan struct{})}
		defer close(f.found)
		tier := c.members[0].now()
		begun := time.Now()
		if err := tier.await(f); !errors.Is(err, tiers.ErrUnknownOutcome) || time.Since(begun) > 3*tier.cfg.Patience {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		waits := make(chan error, 1)
		go func() { waits <- tier.await(f) }()
		synctest.Wait()
		if err := tier.Close(); err != nil {
			t.Error(err)
		}
		if err := <-waits; err == nil {
			t.Error("a lost future succeeded")
		}
	})
}

// handovers is how often the leadership changes hands under load.
const handovers = 1000

func TestThousandHandovers(t *testing.T) {
	onDisks(t, 3, nil, func(t *testing.T, c *faultCluster) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var clients sync.WaitGroup
		acknowledged := make([][]string, len(c.members))
		for i, m := range c.members {
			m.write(t, "/"+m.name)
			clients.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					r, err := tiers.Do(ctx, m.now(), tiers.Txn{Ops: []tiers.Op{create(fmt.Sprintf("/%s/%d-", m.name, n), "x", tiers.PersistentSequential)}})
					switch {
					case err == nil:
						acknowledged[i] = append(acknowledged[i], r.Results[0].Path[len(m.name)+2:])
					case ctx.Err() == nil:
						t.Errorf("a write at %s: %v", m.name, err)
						return
					}
					select {
					case <-time.After(5 * time.Millisecond):
					case <-ctx.Done():
					}
				}
			})
		}
		moved := 0
		for i := range handovers {
			leader := c.leads(t)
			handed := make(chan error, 1)
			go func() {
				callCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
				defer cancel()
				handed <- leader.now().Handover(callCtx)
			}()
			if i%20 == 19 { // the leader loses its office, or its followers, meanwhile
				c.net.Down(leader.host)
				<-time.After(time.Duration(i%400) * time.Millisecond)
				c.net.Up(leader.host)
			}
			if err := <-handed; err == nil && i%20 != 19 {
				moved++
			}
			until(t, "somebody leads", 10*time.Second, func() bool { return c.Leader() != "" })
			asked := c.members[i%len(c.members)]
			if took := asked.write(t, fmt.Sprintf("/after%d", i)); took > 3*time.Second {
				t.Errorf("a write after handover %d took %v", i, took)
			}
			<-time.After(20 * time.Millisecond)
		}
		cancel()
		clients.Wait()
		if moved < handovers*9/10 {
			t.Errorf("%d of %d handovers succeeded", moved, handovers)
		}
		for i, m := range c.members {
			v, err := c.leads(t).now().Read(t.Context(), tiers.Query{Path: "/" + m.name, Want: tiers.WantChildren})
			if err != nil {
				t.Fatal(err)
			}
			if len(v.Children) < len(acknowledged[i]) || len(acknowledged[i]) < handovers {
				t.Errorf("%d writes of %s were acknowledged, %d are there", len(acknowledged[i]), m.name, len(v.Children))
			}
			for _, name := range acknowledged[i] {
				if !slices.Contains(v.Children, name) {
					t.Fatalf("%s/%s was acknowledged and is lost", m.name, name)
				}
			}
		}
	})
}

// What a bubble leaves behind at its end fails the test, so this one needs no count.
func TestCloseAndOpenOften(t *testing.T) {
	onDisks(t, 3, nil, func(t *testing.T, c *faultCluster) {
		for i := range 200 {
			m := c.members[i%3]
			m.mu.Lock()
			m.running = false
			m.stop()
			stopped := m.stopped
			m.mu.Unlock()
			<-stopped
			if err := c.Start(m.name); err != nil {
				t.Fatal(err)
			}
			until(t, m.name+" is back", 10*time.Second, func() bool { return m.now() != nil && c.Leader() != "" })
			m.write(t, fmt.Sprintf("/%d", i))
		}
		if n := len(c.leads(t).children(t)); n != 200 {
			t.Errorf("%d znodes, want 200", n)
		}
	})
}

func TestCloseAndOpenOnDisk(t *testing.T) {
	dir := t.TempDir()
	before := 0
	for i := range 15 {
		tier := openOnDisk(t, dir)
		if i == 0 {
			if err := tier.Bootstrap([]Server{{Name: "alone", Address: tier.cfg.Advertise, Voter: true}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := tier.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(tier.Close(), tier.cfg.Port.Close()); err != nil {
			t.Fatal(err)
		}
		if i == 4 {
			before = runtime.NumGoroutine()
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before+5 { // those of the last one end a moment later
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines after 15 starts, %d after 5", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}
