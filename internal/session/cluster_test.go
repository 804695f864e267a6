package session_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/internal/session"
	"github.com/strata-coord/strata/internal/simnet"
	"github.com/strata-coord/strata/tiers"
)

const (
	minTimeout = 4 * time.Second
	maxTimeout = 40 * time.Second
	tick       = time.Second
)

// cluster is a replicated tree's sessions in memory, and the members over it, on a simulated network.
type cluster struct {
	t       *testing.T
	net     *simnet.Net
	members []*member

	mu     sync.Mutex
	live   map[tiers.SessionID]host // guarded by mu
	ended  map[tiers.SessionID]bool // guarded by mu
	away   map[string]time.Time     // guarded by mu; since when members are dead, as gossip says
	unsure map[string]bool          // guarded by mu; gossip has forgotten when they died
}

type host struct {
	member, incarnation uint32
	timeout             time.Duration
}

// member is one member: its table, its strong tier and its eventual tier.
type member struct {
	*session.Manager
	c           *cluster
	name        string
	number      uint32
	incarnation uint32
	strong      *strong
	eventual    *eventual
	port        *peernet.Port
	peers       *session.Network
	lastAlive   time.Time
}

// inBubble runs f with a cluster of n members on fake time.
func inBubble(t *testing.T, n int, f func(t *testing.T, c *cluster)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{
			t: t, net: simnet.New(1), live: make(map[tiers.SessionID]host), ended: make(map[tiers.SessionID]bool),
			away: make(map[string]time.Time), unsure: make(map[string]bool),
		}
		for i := range n {
			m := &member{c: c, name: string(rune('A' + i)), number: uint32(i + 1)}
			c.members = append(c.members, m)
			m.start()
		}
		defer func() {
			for _, m := range c.members {
				m.stop()
			}
		}()
		f(t, c)
	})
}

func (m *member) addr() string { return fmt.Sprintf("10.0.0.%d:7400", m.number) }

// start begins a run of the member.
func (m *member) start() {
	t := m.c.t
	port, err := peernet.Open(m.c.net.Host(fmt.Sprintf("10.0.0.%d", m.number)), m.addr(), peernet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m.incarnation++
	m.port = port
	m.strong = &strong{m: m, changed: make(chan struct{}), key: []byte("the cluster's secret"), renewed: make(map[tiers.SessionID]time.Time)}
	m.eventual = &eventual{sessions: make(map[tiers.SessionID]time.Duration)}
	m.peers = session.NewNetwork(m.name, port, m.c.gossip, m.c.nameOf, slog.New(slog.DiscardHandler))
	m.Manager = session.New(session.Config{
		Strong: m.strong, Eventual: m.eventual, Router: &router{m: m}, Peers: m.peers, LastAlive: m.lastAlive,
		Tick: tick, Min: minTimeout, Max: maxTimeout,
	})
	m.peers.Serve(m.Manager)
	m.c.mu.Lock()
	delete(m.c.away, m.name)
	m.c.mu.Unlock()
}

// stop ends the run; gossip has not heard of that.
func (m *member) stop() {
	if m.Manager == nil {
		return
	}
	m.Stop()
	if err := errors.Join(m.peers.Close(), m.port.Close()); err != nil {
		m.c.t.Error(err)
	}
	m.lastAlive = time.Now()
	m.Manager = nil
}

// die ends the run, and gossip has heard of that.
func (m *member) die() {
	m.stop()
	m.c.mu.Lock()
	m.c.away[m.name] = time.Now()
	m.c.mu.Unlock()
}

func (c *cluster) gossip() (ms []session.Member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		since, away := c.away[m.name]
		if c.unsure[m.name] {
			since = time.Time{}
		}
		ms = append(ms, session.Member{Name: m.name, Addr: m.addr(), Alive: !away, LastAlive: since})
	}
	return ms
}

func (c *cluster) nameOf(number uint32) (string, bool) {
	if number == 0 || int(number) > len(c.members) {
		return "", false
	}
	return c.members[number-1].name, true
}

// expire ends a session by the log, as the leader would.
func (c *cluster) expire(id tiers.SessionID) {
	c.mu.Lock()
	delete(c.live, id)
	c.ended[id] = true
	c.mu.Unlock()
	c.tell(func(s *strong) { s.onEnd(id) })
}

func (c *cluster) tell(f func(*strong)) {
	for _, m := range c.members {
		if m.Manager != nil {
			f(m.strong)
		}
	}
}

func (c *cluster) hostOf(id tiers.SessionID) (host, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.live[id]
	return h, ok
}

// strong is a member's part of the replicated tree: only its sessions are kept.
type strong struct {
	tiers.Tier // nil: what the table must not call
	m          *member
	key        []byte
	onEnd      func(tiers.SessionID)
	onMove     func(tiers.SessionID, bool)

	mu      sync.Mutex
	log     []string                      // what was submitted, in order; guarded by mu
	down    error                         // answers everything; guarded by mu
	holding bool                          // guarded by mu
	held    []func()                      // what waits for the release; guarded by mu
	touched []tiers.SessionID             // guarded by mu
	renewed map[tiers.SessionID]time.Time // guarded by mu
	apart   bool                          // this copy of the tree knows nothing; guarded by mu
	// readOnly: it has been down for a while; changed is closed, and replaced, when that changes. Guarded by mu.
	readOnly bool
	changed  chan struct{}
	// beforeOpen and afterOpen are called around the submission of an opening. Set before anything is submitted.
	beforeOpen, afterOpen func(tiers.SessionID)
}

func (s *strong) Number() (uint32, uint32, bool) { return s.m.number, s.m.incarnation, true }
func (s *strong) Key() []byte                    { return s.key }
func (s *strong) Zxid() tiers.Zxid               { return 7 }
func (s *strong) Contract(string) tiers.Contract {
	return tiers.Contract{Tier: "strong", Ephemeral: true, ReplicatedZxids: true}
}
func (s *strong) OnSessionEnd(f func(tiers.SessionID))        { s.onEnd = f }
func (s *strong) OnSessionMove(f func(tiers.SessionID, bool)) { s.onMove = f }

func (s *strong) Renewed(id tiers.SessionID) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewed[id]
}

func (s *strong) Touch(id tiers.SessionID) {
	s.mu.Lock()
	s.touched = append(s.touched, id)
	s.mu.Unlock()
}

func (s *strong) touches(id tiers.SessionID) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.touched {
		if x == id {
			n++
		}
	}
	return n
}

func (s *strong) SessionState(id tiers.SessionID) (session.State, bool) {
	s.mu.Lock()
	apart := s.apart
	s.mu.Unlock()
	s.m.c.mu.Lock()
	defer s.m.c.mu.Unlock()
	h, ok := s.m.c.live[id]
	switch {
	case apart:
		return session.Unknown, false
	case ok:
		return session.Live, h.member == s.m.number && h.incarnation == s.m.incarnation
	case s.m.c.ended[id]:
		return session.Ended, false
	}
	return session.Unknown, false
}

// Read is only asked for freshness. Without a majority it waits.
func (s *strong) Read(ctx context.Context, _ tiers.Query) (tiers.View, error) {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	if down == nil {
		return tiers.View{Zxid: 7}, nil
	}
	<-ctx.Done()
	return tiers.View{}, tiers.ErrUnavailable
}

func (s *strong) setDown(err error) {
	s.mu.Lock()
	s.down = err
	s.mu.Unlock()
}

// hold keeps back what is submitted, until the release.
func (s *strong) hold() (release func()) {
	s.mu.Lock()
	s.holding = true
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		held := s.held
		s.held, s.holding = nil, false
		s.mu.Unlock()
		for _, f := range held {
			f()
		}
	}
}

func (s *strong) submitted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

func (s *strong) Submit(_ context.Context, txn tiers.Txn) *tiers.Pending {
	opens := txn.Ops[0].Kind == tiers.OpOpenSession
	if opens && s.beforeOpen != nil {
		s.beforeOpen(txn.Session)
	}
	if opens && s.afterOpen != nil {
		defer s.afterOpen(txn.Session)
	}
	p := new(tiers.Pending)
	s.mu.Lock()
	s.log = append(s.log, txn.Ops[0].Kind.String()+" "+txn.Ops[0].Path)
	down := s.down
	run := func() {
		err := s.apply(&txn)
		p.Complete(tiers.Receipt{Zxid: 8}, err)
	}
	holding := s.holding
	if holding && down == nil {
		s.held = append(s.held, run)
	}
	s.mu.Unlock()
	switch {
	case down != nil:
		p.Complete(tiers.Receipt{}, down)
	case !holding:
		run()
	}
	return p
}

func (s *strong) apply(txn *tiers.Txn) error {
	c, self, id := s.m.c, host{member: s.m.number, incarnation: s.m.incarnation}, txn.Session
	c.mu.Lock()
	h, live := c.live[id]
	at := host{member: h.member, incarnation: h.incarnation}
	op := &txn.Ops[0]
	switch {
	case c.ended[id]:
		c.mu.Unlock()
		return tiers.ErrSessionExpired
	case op.Kind == tiers.OpOpenSession:
		self.timeout = op.Timeout
		c.live[id] = self
		c.mu.Unlock()
		c.tell(func(s *strong) { s.onMove(id, s.m.number == self.member && s.m.incarnation == self.incarnation) })
		return nil
	case live && at != self:
		c.mu.Unlock()
		return tiers.ErrSessionMoved
	case op.Kind == tiers.OpCloseSession && live:
		c.mu.Unlock()
		c.expire(id)
		return nil
	case op.Kind == tiers.OpCreate && op.Mode.IsEphemeral() && !live:
		c.mu.Unlock()
		return tiers.ErrSessionExpired
	}
	c.mu.Unlock()
	return nil
}

// eventual notes which sessions it was told of.
type eventual struct {
	tiers.Tier
	mu       sync.Mutex
	sessions map[tiers.SessionID]time.Duration // guarded by mu; open here
	log      []string                          // guarded by mu
}

func (e *eventual) Contract(string) tiers.Contract {
	return tiers.Contract{Tier: "eventual", Ephemeral: true, MinorityWritable: true}
}

func (e *eventual) Submit(_ context.Context, txn tiers.Txn) *tiers.Pending {
	e.mu.Lock()
	defer e.mu.Unlock()
	op := &txn.Ops[0]
	e.log = append(e.log, op.Kind.String()+" "+op.Path)
	switch op.Kind {
	case tiers.OpOpenSession:
		e.sessions[txn.Session] = op.Timeout
	case tiers.OpCloseSession:
		delete(e.sessions, txn.Session)
	case tiers.OpCreate:
		if _, open := e.sessions[txn.Session]; op.Mode.IsEphemeral() && !open {
			return tiers.Completed(tiers.Receipt{}, tiers.ErrSessionExpired)
		}
	}
	return tiers.Completed(tiers.Receipt{Zxid: 7}, nil)
}

func (e *eventual) has(id tiers.SessionID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.sessions[id]
	return ok
}

// router gives /services to the eventual tier, and the rest to the strong one.
type router struct {
	tiers.Tier
	m *member
}

func (r *router) at(path string) tiers.Tier {
	if len(path) >= 9 && path[:9] == "/services" {
		return r.m.eventual
	}
	return r.m.strong
}

func (r *router) Contract(path string) tiers.Contract { return r.at(path).Contract(path) }
func (r *router) Submit(ctx context.Context, txn tiers.Txn) *tiers.Pending {
	return r.at(txn.Ops[0].Path).Submit(ctx, txn)
}

// holder is a client's connection.
type holder struct {
	mu    sync.Mutex
	cause error     // of the cut; guarded by mu
	at    time.Time // of the cut; guarded by mu
	cuts  int       // guarded by mu
}

func (h *holder) cut(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cause, h.at = why, time.Now()
	h.cuts++
}

// state is why the holder was cut, nil while it is not.
func (h *holder) state(t *testing.T) error {
	t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cuts > 1 {
		t.Errorf("the holder was cut %d times", h.cuts)
	}
	return h.cause
}

func (h *holder) want(t *testing.T, why error) {
	t.Helper()
	if got := h.state(t); !errors.Is(got, why) || (got == nil) != (why == nil) {
		t.Errorf("the holder was cut with %v, want %v", got, why)
	}
}

func (m *member) open(timeout time.Duration) (tiers.Lease, *holder) {
	m.c.t.Helper()
	h := new(holder)
	l, err := m.Open(m.c.t.Context(), timeout, h.cut)
	if err != nil {
		m.c.t.Fatal(err)
	}
	return l, h
}

func (m *member) attach(l tiers.Lease) (tiers.Lease, *holder, error) {
	h := new(holder)
	again, err := m.Attach(m.c.t.Context(), l.ID, l.Password[:], l.Timeout, h.cut)
	return again, h, err
}

func (m *member) mustAttach(l tiers.Lease) (tiers.Lease, *holder) {
	m.c.t.Helper()
	again, h, err := m.attach(l)
	if err != nil {
		m.c.t.Fatalf("at %s: %v", m.name, err)
	}
	if again.ID != l.ID || again.Password != l.Password {
		m.c.t.Errorf("attached as %+v, want %+v", again, l)
	}
	return again, h
}

// create submits an ephemeral create.
func (m *member) create(id tiers.SessionID, path string) *tiers.Pending {
	return m.Tier().Submit(m.c.t.Context(), tiers.Txn{Session: id, Ops: []tiers.Op{{Kind: tiers.OpCreate, Path: path, Mode: tiers.Ephemeral}}})
}

func (m *member) mustCreate(id tiers.SessionID, path string) {
	m.c.t.Helper()
	if _, err := m.create(id, path).Wait(m.c.t.Context()); err != nil {
		m.c.t.Fatalf("at %s: create %s: %v", m.name, path, err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

// pass lets time go by.
func pass(d time.Duration) { <-time.After(d) }
