package eventual

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

// State is what gossip knows of a member.
type State uint8

const (
	Alive State = iota + 1 // or silent for so short that it may still answer
	Dead                   // silent for too long
	Left                   // it said goodbye
)

func (s State) String() string {
	return [...]string{"unknown", "alive", "dead", "left"}[min(s, Left)]
}

// Member is one member as this one sees it.
type Member struct {
	Name        string
	Addr        string
	Identity    [16]byte
	Incarnation uint64
	Meta        []byte // Config.Meta of that member
	State       State
	// LastAlive is when it was last known to be alive: now for one that is.
	LastAlive time.Time
	// Since is since when it has been seen in this incarnation.
	Since time.Time
}

// maxMeta bounds Config.Meta, so that all of wireMeta fits memberlist's 512 bytes.
const maxMeta = 256

// wireMeta is what memberlist carries of a member.
type wireMeta struct {
	_msgpack    struct{} `msgpack:",as_array"`
	Identity    [16]byte
	Incarnation uint64
	User        []byte
}

// gossip is memberlist, and what it has ever told. Its methods as a delegate only note: memberlist must not be called from there.
type gossip struct {
	t         *Tier
	list      *memberlist.Memberlist
	transport *transport
	changed   chan struct{} // capacity 1; for the outside
	moved     chan struct{} // capacity 1; for followMembers

	mu    sync.Mutex
	known map[string]Member // guarded by mu; all members ever heard of, this one included
	meta  []byte            // guarded by mu; of this member, encoded
	dirty bool              // guarded by mu; known is to be written
	// goodbyes are the starts of members that said that they leave, by name. Guarded by mu.
	goodbyes map[string]uint64
	// tried is when a seed last answered whose address is not that of a known member, as it is a name, say. Guarded by mu.
	tried   map[string]time.Time
	leaving bool // guarded by mu; this member said goodbye
	closed  bool // guarded by mu
}

// newGossip reads what was known at the last stop.
func newGossip(t *Tier) (*gossip, error) {
	g := &gossip{t: t, changed: make(chan struct{}, 1), moved: make(chan struct{}, 1), known: make(map[string]Member),
		goodbyes: make(map[string]uint64), tried: make(map[string]time.Time)}
	if err := g.setMeta(t.cfg.Meta); err != nil {
		return nil, err
	}
	if err := g.load(); err != nil {
		return nil, err
	}
	return g, nil
}

// start starts memberlist.
func (g *gossip) start() (err error) {
	t := g.t
	g.transport = newTransport(t.cfg.Port, t.cfg.Advertise)
	c := memberlist.DefaultLANConfig()
	c.Name = t.cfg.Name
	c.Transport = g.transport
	c.Label = t.cfg.Label
	c.Delegate, c.Events, c.Conflict = g, g, g
	c.EnableCompression = false
	c.ProbeInterval, c.ProbeTimeout = t.cfg.ProbeInterval, t.cfg.ProbeTimeout
	c.SuspicionMult, c.SuspicionMaxTimeoutMult = 3, 2 // dead after 3 to 6 probe intervals of silence, in a small cluster
	c.GossipInterval = min(t.cfg.ProbeInterval/5, 100*time.Millisecond)
	c.PushPullInterval = 10 * time.Second
	c.DeadNodeReclaimTime = time.Second
	c.TCPTimeout = 2 * time.Second
	c.Logger = slog.NewLogLogger(t.log.Handler(), slog.LevelDebug)
	if g.list, err = memberlist.Create(c); err != nil {
		return errors.Join(fmt.Errorf("eventual: start gossip: %w", err), g.transport.Shutdown())
	}
	return nil
}

func (g *gossip) setMeta(user []byte) error {
	b, err := msgpack.Marshal(&wireMeta{Identity: g.t.cfg.Identity, Incarnation: g.t.origin.Incarnation, User: user})
	if err != nil {
		return fmt.Errorf("eventual: encode the member's metadata: %w", err)
	}
	g.mu.Lock()
	g.meta = b
	g.mu.Unlock()
	return nil
}

// NodeMeta is asked by memberlist.
func (g *gossip) NodeMeta(limit int) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.meta) > limit {
		return nil
	}
	return g.meta
}

func (g *gossip) NotifyMsg([]byte)                {}
func (g *gossip) GetBroadcasts(int, int) [][]byte { return nil }
func (g *gossip) LocalState(bool) []byte          { return nil }
func (g *gossip) MergeRemoteState([]byte, bool)   {}

func (g *gossip) NotifyJoin(n *memberlist.Node)   { g.note(n, Alive) }
func (g *gossip) NotifyUpdate(n *memberlist.Node) { g.note(n, Alive) }

// NotifyLeave is told of members that left and of those that died, and does not say which: see goodbye.
func (g *gossip) NotifyLeave(n *memberlist.Node) { g.note(n, Dead) }

// NotifyConflict is told of a second address for a name that is alive.
func (g *gossip) NotifyConflict(existing, other *memberlist.Node) {
	log := g.t.log.With("member", existing.Name, "first", existing.Address(), "second", other.Address())
	a, errA := decodeMeta(existing.Meta)
	b, errB := decodeMeta(other.Meta)
	if errA == nil && errB == nil && a.Identity == b.Identity {
		log.Info("a member has a new address; it counts when the old one is found dead")
		return
	}
	log.Error("two members have one name: stop one of them and give it another name")
}

func decodeMeta(b []byte) (w wireMeta, err error) {
	if err = msgpack.Unmarshal(b, &w); err == nil && len(w.User) > maxMeta {
		err = errors.New("too large")
	}
	if err != nil {
		return wireMeta{}, fmt.Errorf("malformed metadata of a member: %w", err)
	}
	return w, nil
}

func (g *gossip) note(n *memberlist.Node, s State) {
	now := time.Now()
	w, err := decodeMeta(n.Meta)
	g.mu.Lock()
	defer g.mu.Unlock()
	old, was := g.known[n.Name]
	m := Member{Name: n.Name, Addr: n.Address(), State: s, LastAlive: now, Since: now, Identity: old.Identity, Incarnation: old.Incarnation, Meta: old.Meta}
	if err == nil {
		m.Identity, m.Incarnation, m.Meta = w.Identity, w.Incarnation, w.User
	}
	if was && old.Incarnation == m.Incarnation && !old.Since.IsZero() {
		m.Since = old.Since
	}
	switch left, said := g.goodbyes[n.Name]; {
	case said && left != m.Incarnation:
		delete(g.goodbyes, n.Name)
	case said && s == Dead:
		m.State = Left
	}
	g.known[n.Name] = m
	g.tell()
}

// goodbye notes that a start of a member ends on purpose.
func (g *gossip) goodbye(o crdt.Origin) {
	if g == nil || o.Name == g.t.cfg.Name {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.goodbyes[o.Name] = o.Incarnation
	if m, ok := g.known[o.Name]; ok && m.State == Dead && m.Incarnation == o.Incarnation {
		m.State = Left
		g.known[o.Name] = m
		g.tell()
	}
}

// tell says that known has changed. Callers hold mu.
func (g *gossip) tell() {
	g.dirty = true
	for _, ch := range []chan struct{}{g.changed, g.moved} {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// forget drops a member that is not alive; it tells whether it did.
func (g *gossip) forget(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m, ok := g.known[name]; !ok || m.State == Alive {
		return false
	}
	delete(g.known, name)
	delete(g.goodbyes, name)
	g.tell()
	return true
}

// members are all members ever heard of, by name.
func (g *gossip) members() []Member {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	ms := make([]Member, 0, len(g.known))
	for _, m := range g.known {
		if m.State == Alive {
			m.LastAlive = now
		}
		ms = append(ms, m)
	}
	slices.SortFunc(ms, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return ms
}

// reachable are the other members that are alive.
func (g *gossip) reachable() (alive []Member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.known {
		if m.State == Alive && m.Name != g.t.cfg.Name {
			alive = append(alive, m)
		}
	}
	return alive
}

func (g *gossip) leave(ctx context.Context) error {
	g.mu.Lock()
	g.leaving = true
	closed := g.closed
	g.mu.Unlock()
	if closed {
		return errClosed
	}
	timeout := time.Second
	if d, ok := ctx.Deadline(); ok {
		timeout = time.Until(d)
	}
	if err := g.list.Leave(max(timeout, time.Millisecond)); err != nil {
		return fmt.Errorf("eventual: leave: %w", err)
	}
	return nil
}

// interrupt ends what joins are under way.
func (g *gossip) interrupt() { g.transport.hangUp() }

func (g *gossip) close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	err := g.list.Shutdown()
	return errors.Join(err, g.transport.Shutdown(), g.save())
}

// Members are all members that this one has ever heard of, by name.
func (t *Tier) Members() []Member { return t.gossip.members() }

// Changed gets a value when the membership has changed; several changes may be one value.
func (t *Tier) Changed() <-chan struct{} { return t.gossip.changed }

// SetMeta changes what the others see of this member. It returns when memberlist has taken it on; it spreads from there.
func (t *Tier) SetMeta(meta []byte) error {
	if len(meta) > maxMeta {
		return fmt.Errorf("eventual: metadata of %d bytes: at most %d fit", len(meta), maxMeta)
	}
	if err := t.gossip.setMeta(meta); err != nil {
		return err
	}
	if err := t.gossip.list.UpdateNode(time.Second); err != nil {
		return fmt.Errorf("eventual: tell the others about this member: %w", err)
	}
	return nil
}
