package strong

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strata-coord/strata/internal/faults"
	"github.com/strata-coord/strata/tiers"
)

// load is the clients of one cluster, and what they know.
type load struct {
	c        *faultCluster
	nemesis  *faults.Nemesis
	sessions atomic.Int64
	payloads atomic.Int64
	ops      atomic.Int64
	busy     atomic.Bool // bursts while faults go on, else a trickle

	mu        sync.Mutex
	sequences []string            // guarded by mu; acknowledged sequential creates, never deleted
	written   map[string][]string // guarded by mu; per register what may have been written
}

// faultClient is one client: a session at one member at a time.
type faultClient struct {
	l    *load
	name string
	rand *rand.Rand

	mu      sync.Mutex
	session tiers.SessionID // guarded by mu
	home    *Tier           // guarded by mu
}

const (
	registers     = 3
	clientTimeout = 6 * time.Second // of sessions
)

// run works until ctx ends.
func (c *faultClient) run(ctx context.Context) {
	var touching sync.WaitGroup
	defer touching.Wait()
	touching.Go(func() { c.touch(ctx) })
	for ctx.Err() == nil {
		think := time.Duration(c.rand.Int64N(int64(400 * time.Millisecond)))
		if !c.l.busy.Load() {
			think *= 20
		}
		select {
		case <-time.After(think):
		case <-ctx.Done():
			return
		}
		opCtx, cancel := context.WithTimeout(ctx, 8*time.Second)
		if tier := c.attach(opCtx); tier != nil {
			c.op(opCtx, tier)
			c.l.ops.Add(1)
		}
		cancel()
	}
}

// touch keeps the session alive.
func (c *faultClient) touch(ctx context.Context) {
	for {
		select {
		case <-time.After(clientTimeout / 4):
		case <-ctx.Done():
			return
		}
		c.mu.Lock()
		home, id := c.home, c.session
		c.mu.Unlock()
		if home != nil && id != 0 {
			home.Touch(id)
		}
	}
}

// attach sees to it that the client has a session at a running member; nil: not now.
func (c *faultClient) attach(ctx context.Context) *Tier {
	c.mu.Lock()
	home, id := c.home, c.session
	c.mu.Unlock()
	if home != nil && id != 0 && c.rand.IntN(100) > 0 {
		for _, m := range c.l.c.members {
			if m.now() == home {
				return home
			}
		}
	}
	next := c.l.c.members[c.rand.IntN(len(c.l.c.members))].now()
	if next == nil {
		return nil
	}
	if id == 0 {
		id = tiers.SessionID(c.l.sessions.Add(1))
	}
	_, err := tiers.Do(ctx, next, tiers.Txn{Session: id, Ops: []tiers.Op{{Kind: tiers.OpOpenSession, Timeout: clientTimeout}}})
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.Is(err, tiers.ErrSessionExpired):
		c.session, c.home = 0, nil
		return nil
	case err != nil:
		c.session, c.home = id, nil
		return nil
	}
	c.session, c.home = id, next
	return next
}

// do submits ops of the session; an ended or moved session is forgotten.
func (c *faultClient) do(ctx context.Context, tier *Tier, ops ...tiers.Op) (tiers.Receipt, error) {
	c.mu.Lock()
	id := c.session
	c.mu.Unlock()
	r, err := tiers.Do(ctx, tier, tiers.Txn{Session: id, Ops: ops})
	if errors.Is(err, tiers.ErrSessionExpired) {
		c.mu.Lock()
		c.session, c.home = 0, nil
		c.mu.Unlock()
	}
	return r, err
}

func (c *faultClient) op(ctx context.Context, tier *Tier) {
	reg := fmt.Sprintf("/r%d", c.rand.IntN(registers))
	switch c.rand.IntN(10) {
	case 0, 1, 2:
		payload := fmt.Sprintf("%s-%d", c.name, c.l.payloads.Add(1))
		c.l.mu.Lock()
		c.l.written[reg] = append(c.l.written[reg], payload)
		c.l.mu.Unlock()
		c.do(ctx, tier, set(reg, payload))
	case 3, 4, 5:
		tier.Read(ctx, tiers.Query{Path: reg, Want: tiers.WantData, Session: c.session})
	case 6, 7:
		r, err := c.do(ctx, tier, create("/q/"+c.name+"-", "", tiers.PersistentSequential))
		if err == nil {
			c.l.mu.Lock()
			c.l.sequences = append(c.l.sequences, strings.TrimPrefix(r.Results[0].Path, "/q/"))
			c.l.mu.Unlock()
		}
	case 8:
		c.do(ctx, tier, create("/e-"+c.name, "", tiers.Ephemeral))
	case 9:
		c.do(ctx, tier, tiers.Op{Kind: tiers.OpDelete, Path: "/e-" + c.name, Version: tiers.AnyVersion})
	}
}

// check compares what was acknowledged with what is there.
func (l *load) check(ctx context.Context) (wrong []string) {
	tier := l.c.members[0].now()
	l.mu.Lock()
	defer l.mu.Unlock()
	v, err := tier.Read(ctx, tiers.Query{Path: "/q", Want: tiers.WantChildren})
	if err != nil {
		return []string{fmt.Sprintf("read the sequence: %v", err)}
	}
	sorted := slices.Sorted(slices.Values(l.sequences))
	if len(slices.Compact(sorted)) != len(l.sequences) {
		wrong = append(wrong, "a sequence number was given twice")
	}
	for _, s := range l.sequences {
		if _, there := slices.BinarySearch(v.Children, s); !there {
			wrong = append(wrong, s+" was acknowledged and is lost")
		}
	}
	return wrong
}
