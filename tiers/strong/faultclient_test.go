package strong

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strata-coord/strata/internal/faults"
	"github.com/strata-coord/strata/internal/history"
	"github.com/strata-coord/strata/tiers"
)

// load is the clients of one cluster. All that they see goes into one history.
type load struct {
	c        *faultCluster
	rec      *history.Recorder
	nemesis  *faults.Nemesis
	pace     pace
	sessions atomic.Int64 // the last session id
	payloads atomic.Int64 // the last payload
	ops      atomic.Int64
	round    atomic.Int64 // names the paths: each round has its own, so that none gets too many calls
}

// pace is how long clients think between two calls, on average.
type pace struct {
	burst time.Duration // shortly after a fault began or ended
	calm  time.Duration
}

const (
	burstLength   = 1500 * time.Millisecond
	registers     = 3
	clientTimeout = 6 * time.Second // of sessions
	callTimeout   = 8 * time.Second
)

// watcher is one client's at one member; the history writes its events down.
type watcher struct{ events atomic.Int64 }

func (w *watcher) Notify(tiers.Event) { w.events.Add(1) }

// faultClient is one client: a session at one member at a time.
type faultClient struct {
	l    *load
	name string
	rand *rand.Rand // owned by run

	mu      sync.Mutex
	session tiers.SessionID // guarded by mu; 0: none
	at      *attachment     // guarded by mu; nil: nowhere
}

// attachment is a client at a member.
type attachment struct {
	home    *Tier
	tier    *history.Client
	watcher *watcher
}

// run works until ctx ends.
func (c *faultClient) run(ctx context.Context) {
	var touching sync.WaitGroup
	defer touching.Wait()
	touching.Go(func() { c.touch(ctx) })
	for {
		mean := c.l.pace.calm
		if time.Since(c.l.nemesis.Last()) < burstLength {
			mean = c.l.pace.burst
		}
		if !pause(ctx, time.Duration(c.rand.Int64N(int64(2*mean)))) {
			return
		}
		opCtx, cancel := context.WithTimeout(ctx, callTimeout)
		if at, id := c.attach(opCtx); at != nil {
			c.op(opCtx, at, id)
			c.l.ops.Add(1)
		}
		cancel()
	}
}

// pause is false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// touch keeps the session alive, and notes what its host was promised.
func (c *faultClient) touch(ctx context.Context) {
	for pause(ctx, clientTimeout/6) {
		at, id := c.where()
		if at == nil {
			continue
		}
		at.tier.Touch(id)
		if !pause(ctx, 700*time.Millisecond) {
			return
		}
		c.l.rec.SessionRenewed(id, at.home.Renewed(id))
	}
}

func (c *faultClient) where() (*attachment, tiers.SessionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at, c.session
}

func (c *faultClient) move(at *attachment, id tiers.SessionID) {
	c.mu.Lock()
	old := c.at
	c.at, c.session = at, id
	c.mu.Unlock()
	if old != nil && old != at {
		old.tier.Leave()
		old.tier.Unwatch(old.watcher, "", tiers.ScopeAny)
	}
}

// attach sees to it that the client has a session at a running member; nil: not now.
func (c *faultClient) attach(ctx context.Context) (*attachment, tiers.SessionID) {
	at, id := c.where()
	if at != nil && c.rand.IntN(60) > 0 {
		for _, m := range c.l.c.members {
			if m.now() == at.home {
				return at, id
			}
		}
	}
	m := c.l.c.members[c.rand.IntN(len(c.l.c.members))]
	home := m.now()
	if home == nil {
		return nil, 0
	}
	if id == 0 {
		id = tiers.SessionID(c.l.sessions.Add(1))
	}
	next := &attachment{home: home, tier: c.l.rec.Client(c.name, m.name, home), watcher: new(watcher)}
	_, err := tiers.Do(ctx, next.tier, tiers.Txn{Session: id, Ops: []tiers.Op{{Kind: tiers.OpOpenSession, Timeout: clientTimeout}}})
	switch {
	case errors.Is(err, tiers.ErrSessionExpired):
		c.move(nil, 0)
		return nil, 0
	case err != nil:
		c.move(nil, id)
		return nil, 0
	}
	c.l.rec.SessionOpened(id, clientTimeout)
	c.move(next, id)
	return next, id
}

// do submits ops of the session. A session that has ended is forgotten.
func (c *faultClient) do(ctx context.Context, at *attachment, id tiers.SessionID, ops ...tiers.Op) (tiers.Receipt, error) {
	r, err := at.tier.Submit(ctx, tiers.Txn{Session: id, Ops: ops}).Wait(ctx)
	if errors.Is(err, tiers.ErrSessionExpired) {
		c.move(nil, 0)
	}
	return r, err
}

// payload is data that nobody else writes.
func (c *faultClient) payload() string { return fmt.Sprintf("%s.%d", c.name, c.l.payloads.Add(1)) }

func (c *faultClient) op(ctx context.Context, at *attachment, id tiers.SessionID) {
	round := c.l.round.Load()
	reg := fmt.Sprintf("/r%d.%d", round, c.rand.IntN(registers))
	node := fmt.Sprintf("/n%d.%d", round, c.rand.IntN(2))
	data := tiers.Query{Path: reg, Want: tiers.WantData, Session: id}
	// Calls return errors when faults are on; the history judges them.
	switch k := c.rand.IntN(100); {
	case k < 18:
		c.do(ctx, at, id, set(reg, c.payload()))
	case k < 40:
		at.tier.Follow(ctx, data, nil).Wait(ctx)
	case k < 48: // compare and set
		r, err := at.tier.Follow(ctx, data, nil).Wait(ctx)
		if err == nil {
			c.do(ctx, at, id, tiers.Op{Kind: tiers.OpSetData, Path: reg, Data: []byte(c.payload()), Version: r.View.Stat.Version})
		}
	case k < 56:
		c.do(ctx, at, id, create(node, c.payload(), tiers.Persistent))
	case k < 61:
		c.do(ctx, at, id, tiers.Op{Kind: tiers.OpDelete, Path: node, Version: tiers.AnyVersion})
	case k < 66:
		c.do(ctx, at, id, create(fmt.Sprintf("/q%d/x", round), c.payload(), tiers.PersistentSequential))
	case k < 71:
		c.do(ctx, at, id, create("/e."+c.name, c.payload(), tiers.Ephemeral))
	case k < 74:
		c.do(ctx, at, id, tiers.Op{Kind: tiers.OpDelete, Path: "/e." + c.name, Version: tiers.AnyVersion})
	case k < 77: // a list, and a watch of it
		path := []string{"/lock", fmt.Sprintf("/q%d", round), node}[c.rand.IntN(3)]
		at.tier.Follow(ctx, tiers.Query{Path: path, Want: tiers.WantChildren, Session: id,
			Watch: &tiers.WatchSpec{Watcher: at.watcher, Scope: tiers.ScopeChildren}}, nil).Wait(ctx)
	case k < 82: // a watch of a register, a znode that comes and goes, or somebody's ephemeral
		path := []string{reg, node, fmt.Sprintf("/e.c%d", c.rand.IntN(4))}[c.rand.IntN(3)]
		at.tier.Follow(ctx, tiers.Query{Path: path, Want: tiers.WantStat, Session: id,
			Watch: &tiers.WatchSpec{Watcher: at.watcher, Scope: tiers.ScopeData}}, nil).Wait(ctx)
	case k < 92: // without waiting: two writes, and a read behind them
		a := at.tier.Submit(ctx, tiers.Txn{Session: id, Ops: []tiers.Op{set(reg, c.payload())}})
		b := at.tier.Submit(ctx, tiers.Txn{Session: id, Ops: []tiers.Op{set(reg, c.payload())}})
		r := at.tier.Follow(ctx, data, b)
		for _, p := range []*tiers.Pending{a, b, r} {
			p.Wait(ctx)
		}
	default:
		c.lock(ctx, at, id)
	}
}

// lock takes a lock as recipes do, with an ephemeral sequential znode; its czxid is the fencing token.
func (c *faultClient) lock(ctx context.Context, at *attachment, id tiers.SessionID) {
	r, err := c.do(ctx, at, id, create("/lock/x", "", tiers.EphemeralSequential))
	if err != nil {
		if errors.Is(err, tiers.ErrUnknownOutcome) { // the znode may be there and hold everyone up: it shall go with the session
			c.l.rec.SessionClosed(id)
			c.do(ctx, at, id, tiers.Op{Kind: tiers.OpCloseSession})
			c.move(nil, 0)
		}
		return
	}
	own := r.Results[0]
	for range 8 {
		v, err := at.tier.Follow(ctx, tiers.Query{Path: "/lock", Want: tiers.WantChildren, Session: id}, nil).Wait(ctx)
		if err != nil {
			break
		}
		if len(v.View.Children) > 0 && "/lock/"+v.View.Children[0] == own.Path {
			c.hold(ctx, at, id, int64(own.Stat.Czxid))
			break
		}
		if !pause(ctx, 300*time.Millisecond) {
			break
		}
	}
	c.do(ctx, at, id, tiers.Op{Kind: tiers.OpDelete, Path: own.Path, Version: tiers.AnyVersion})
}

// hold holds the lock for a while, but never longer than the session lives for sure.
func (c *faultClient) hold(ctx context.Context, at *attachment, id tiers.SessionID, token int64) {
	sure := func() time.Duration { return time.Until(at.home.Renewed(id).Add(clientTimeout)) - time.Millisecond }
	if sure() <= 0 {
		return
	}
	defer c.l.rec.Grant("/lock", c.name, token)()
	end := time.Now().Add(time.Duration(c.rand.Int64N(int64(4 * time.Second))))
	for {
		left := min(time.Until(end), sure())
		if left <= 0 || !pause(ctx, left) {
			return
		}
	}
}
