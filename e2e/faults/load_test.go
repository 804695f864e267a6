//go:build foreign

package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/strata-coord/strata/e2e/wire"
	"github.com/strata-coord/strata/internal/history"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/jute"
)

const (
	registers      = 3                     // of each kind and round
	sessionTimeout = 6 * time.Second       // of the load's clients
	callTimeout    = 7 * time.Second       // Strata itself answers within five seconds
	lockTrust      = 2 * time.Second       // how long after it was shown to own its place a client takes itself for the holder: far below sessionTimeout
	think          = 20 * time.Millisecond // between two calls, on average
)

// load is the clients of one cluster. All that they see goes into one history.
type load struct {
	c        *cluster
	rec      *history.Recorder
	round    int          // names the paths: each round has its own. Written between rounds, when no client runs
	payloads atomic.Int64 // the last payload
	ops      atomic.Int64
	answered atomic.Int64 // of the ops, those whose outcome the client has learnt
}

// client is one session at one member at a time. One goroutine uses it.
type client struct {
	l       *load
	name    string
	rand    *rand.Rand
	session wire.Session
	conn    *wire.Conn // nil: nowhere
	tier    *history.Client
}

// run works until ctx ends; the last op is completed.
func (c *client) run(ctx context.Context) {
	for {
		wait := time.NewTimer(time.Duration(c.rand.Int64N(int64(2 * think))))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
		opCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		if c.attach(opCtx) {
			c.op(opCtx)
		}
		cancel()
	}
}

// attach sees to it that there is a connection; false: not now. Now and then it moves to another member.
func (c *client) attach(ctx context.Context) bool {
	if c.conn != nil && c.conn.Lost() == nil && c.rand.IntN(200) > 0 {
		return true
	}
	c.leave()
	m := c.l.c.members[c.rand.IntN(len(c.l.c.members))]
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // a member that is stopped takes the connection and says nothing
	defer cancel()
	conn, err := m.connect(ctx, c.session)
	switch {
	case errors.Is(err, wire.ErrExpired):
		c.session = wire.Session{Timeout: sessionTimeout}
		return false
	case err != nil:
		return false
	}
	c.conn, c.session = conn, conn.Session()
	c.tier = c.l.rec.Client(c.name, m.name, &wired{conn: conn})
	return true
}

func (c *client) leave() {
	if c.conn == nil {
		return
	}
	c.conn.Close()
	c.session.Seen = max(c.session.Seen, c.conn.Session().Seen)
	c.conn = nil
}

// forget closes the session: what it owns goes.
func (c *client) forget(ctx context.Context) {
	if c.conn != nil {
		done := make(chan struct{})
		c.conn.Send(jute.OpCloseSession, nil, func(wire.Reply) { close(done) })
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	c.leave()
	c.session = wire.Session{Timeout: sessionTimeout}
}

// wait is the answer of a call, whose connection is closed when ctx ends first.
func (c *client) wait(ctx context.Context, p *tiers.Pending) (tiers.Receipt, error) {
	select {
	case <-p.Done():
	case <-ctx.Done():
		c.conn.Close()
		<-p.Done()
	}
	r, err, _ := p.Result()
	c.l.ops.Add(1)
	if !errors.Is(err, tiers.ErrUnknownOutcome) {
		c.l.answered.Add(1)
	}
	return r, err
}

func (c *client) submit(op tiers.Op) *tiers.Pending {
	return c.tier.Submit(context.Background(), tiers.Txn{Session: tiers.SessionID(c.session.ID), Ops: []tiers.Op{op}})
}

func (c *client) do(ctx context.Context, op tiers.Op) (tiers.Receipt, error) {
	return c.wait(ctx, c.submit(op))
}

func (c *client) ask(path string, want tiers.Want) *tiers.Pending {
	return c.tier.Follow(context.Background(), tiers.Query{Path: path, Want: want, Session: tiers.SessionID(c.session.ID)}, nil)
}

// payload is data that nobody else writes.
func (c *client) payload() []byte { return fmt.Appendf(nil, "%s.%d", c.name, c.l.payloads.Add(1)) }

func (c *client) set(path string, version int32) tiers.Op {
	return tiers.Op{Kind: tiers.OpSetData, Path: path, Data: c.payload(), Version: version}
}

// op does something; the history judges what comes of it.
func (c *client) op(ctx context.Context) {
	i := c.rand.IntN(registers)
	reg, node, config := fmt.Sprintf("/r%d.%d", c.l.round, i), fmt.Sprintf("/n%d.%d", c.l.round, i), fmt.Sprintf("/config/r%d.%d", c.l.round, i)
	switch k := c.rand.IntN(100); {
	case k < 15:
		_, _ = c.do(ctx, c.set(reg, tiers.AnyVersion))
	case k < 40:
		_, _ = c.wait(ctx, c.ask(reg, tiers.WantData))
	case k < 50: // compare and set
		if r, err := c.wait(ctx, c.ask(reg, tiers.WantData)); err == nil {
			_, _ = c.do(ctx, c.set(reg, r.View.Stat.Version))
		}
	case k < 57:
		_, _ = c.do(ctx, tiers.Op{Kind: tiers.OpCreate, Path: node, Data: c.payload()})
	case k < 62:
		_, _ = c.do(ctx, tiers.Op{Kind: tiers.OpDelete, Path: node, Version: tiers.AnyVersion})
	case k < 68:
		_, _ = c.do(ctx, tiers.Op{Kind: tiers.OpCreate, Path: fmt.Sprintf("/q%d/x", c.l.round), Data: c.payload(), Mode: tiers.PersistentSequential})
	case k < 72:
		_, _ = c.do(ctx, c.set(config, tiers.AnyVersion))
	case k < 82:
		_, _ = c.wait(ctx, c.ask(config, tiers.WantData))
	case k < 92: // without waiting: two writes, and a read behind them
		for _, p := range []*tiers.Pending{c.submit(c.set(reg, tiers.AnyVersion)), c.submit(c.set(reg, tiers.AnyVersion)), c.ask(reg, tiers.WantData)} {
			_, _ = c.wait(ctx, p)
		}
	default:
		c.lock(ctx)
	}
}

// lock takes a lock as recipes do, with an ephemeral sequential znode; its czxid is the fencing token.
func (c *client) lock(ctx context.Context) {
	r, err := c.do(ctx, tiers.Op{Kind: tiers.OpCreate, Path: "/lock/x", Mode: tiers.EphemeralSequential})
	if err != nil {
		if errors.Is(err, tiers.ErrUnknownOutcome) { // the znode may be there and hold everyone up: it shall go with the session
			c.forget(ctx)
		}
		return
	}
	own := r.Results[0]
	for range 10 {
		asked := time.Now()
		v, err := c.wait(ctx, c.ask("/lock", tiers.WantChildren))
		if err != nil {
			break
		}
		if slices.Min(append(v.View.Children, "~")) == strings.TrimPrefix(own.Path, "/lock/") {
			c.hold(ctx, asked, int64(own.Stat.Czxid))
			break
		}
		if !pause(ctx, 50*time.Millisecond) {
			break
		}
	}
	if _, err := c.do(ctx, tiers.Op{Kind: tiers.OpDelete, Path: own.Path, Version: tiers.AnyVersion}); errors.Is(err, tiers.ErrUnknownOutcome) {
		c.forget(ctx)
	}
}

// hold holds the lock for a while, but only as long as the session lives for sure.
func (c *client) hold(ctx context.Context, asked time.Time, token int64) {
	if time.Since(asked) > lockTrust/2 {
		return
	}
	defer c.l.rec.Grant("/lock", c.name, token)()
	pause(ctx, time.Duration(c.rand.Int64N(int64(lockTrust/4))))
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

// furnish makes the znodes of the next round, and waits until each member has them.
func (l *load) furnish(ctx context.Context) error {
	l.round++
	paths := []string{fmt.Sprintf("/q%d", l.round)}
	for i := range registers {
		paths = append(paths, fmt.Sprintf("/r%d.%d", l.round, i), fmt.Sprintf("/config/r%d.%d", l.round, i))
	}
	if l.round == 1 {
		paths = append([]string{"/lock", "/config"}, paths...)
	}
	for i, m := range l.c.members {
		conn, err := m.connect(ctx, wire.Session{Timeout: sessionTimeout})
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		defer conn.Close()
		tier := l.rec.Client("setup", m.name, &wired{conn: conn})
		for _, path := range paths {
			if i == 0 {
				if _, err := tier.Submit(ctx, tiers.Txn{Ops: []tiers.Op{{Kind: tiers.OpCreate, Path: path}}}).Wait(ctx); err != nil {
					return fmt.Errorf("create %s: %w", path, err)
				}
			} else if _, err := tier.Follow(ctx, tiers.Query{Path: path, Want: tiers.WantData, Fresh: true}, nil).Wait(ctx); strings.HasPrefix(path, "/r") && err != nil {
				return fmt.Errorf("read %s at %s: %w", path, m.name, err)
			}
		}
	}
	return nil
}

// check holds the round's history to the tree as it is now, while no client runs, and begins the next history.
func (l *load) check(ctx context.Context) error {
	m := l.c.members[l.round%len(l.c.members)]
	conn, err := m.connect(ctx, wire.Session{Timeout: sessionTimeout})
	if err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	defer conn.Close()
	w := walker{tier: &wired{conn: conn}, round: fmt.Sprint(l.round), found: make(map[string]history.Znode)}
	if err := w.walk(ctx, "/"); err != nil {
		return fmt.Errorf("read the tree at %s: %w", m.name, err)
	}
	err = l.rec.Check(history.Options{UniqueData: true, Final: w.found, FinalZxid: w.zxid})
	l.rec.Cut()
	return err
}

// walker reads a tree, but for ephemerals.
type walker struct {
	tier  *wired
	round string // only its znodes are read
	found map[string]history.Znode
	zxid  tiers.Zxid // of the last read
}

// old tells whether the znode belongs to an earlier round.
func (w *walker) old(path string) bool {
	name, _, _ := strings.Cut(path[strings.LastIndex(path, "/")+1:], ".")
	if len(name) < 2 || !strings.Contains("rnq", name[:1]) || strings.Trim(name[1:], "0123456789") != "" {
		return false
	}
	return name[1:] != w.round
}

func (w *walker) walk(ctx context.Context, path string) error {
	data, err := w.tier.Follow(ctx, tiers.Query{Path: path, Want: tiers.WantData}, nil).Wait(ctx)
	if errors.Is(err, tiers.ErrNoNode) && strings.HasPrefix(path, "/lock/") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	w.zxid = data.View.Zxid
	if data.View.Stat.EphemeralOwner != 0 {
		return nil
	}
	w.found[path] = history.Znode{Data: data.View.Data, Stat: data.View.Stat}
	if data.View.Stat.NumChildren == 0 {
		return nil
	}
	children, err := w.tier.Follow(ctx, tiers.Query{Path: path, Want: tiers.WantChildren}, nil).Wait(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, name := range children.View.Children {
		child := strings.TrimSuffix(path, "/") + "/" + name
		if child == "/zookeeper" || child == "/services" || w.old(child) {
			continue
		}
		if err := w.walk(ctx, child); err != nil {
			return err
		}
	}
	return nil
}
