package eventual

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/vmihailenco/msgpack/v5"
)

// State is what gossip knows of a member.
type State uint8

const (
	Alive   State = iota + 1
	Suspect       // silent; it may still answer
	Dead          // silent for too long
	Left          // it said goodbye
)

func (s State) String() string {
	return [...]string{"unknown", "alive", "suspect", "dead", "left"}[min(s, Left)]
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

// wireMeta is what memberlist carries of a member: at most 512 bytes.
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
	started   time.Time
	appeared  chan string   // addresses of members that have just appeared; dropped when full
	changed   chan struct{} // capacity 1

	mu    sync.Mutex
	known map[string]Member // guarded by mu; all members ever heard of, this one included
	meta  []byte            // guarded by mu; of this member, encoded
	dirty bool              // guarded by mu; known is to be written
}

func openGossip(t *Tier) (*gossip, error) {
	g := &gossip{t: t, started: time.Now(), appeared: make(chan string, 64), changed: make(chan struct{}, 1), known: make(map[string]Member)}
	if err := g.setMeta(t.cfg.Meta); err != nil {
		return nil, err
	}
	if err := g.load(); err != nil {
		return nil, err
	}
	g.transport = newTransport(t.cfg.Port, t.cfg.Advertise)
	c := memberlist.DefaultLANConfig()
	c.Name = t.cfg.Name
	c.Transport = g.transport
	c.Label = t.cfg.Label
	c.Delegate, c.Events, c.Conflict = g, g, g
	c.EnableCompression = false
	c.ProbeInterval, c.ProbeTimeout = t.cfg.ProbeInterval, t.cfg.ProbeTimeout
	c.SuspicionMult = 3
	c.GossipInterval = min(t.cfg.ProbeInterval/5, 100*time.Millisecond)
	c.PushPullInterval = 10 * time.Second
	c.DeadNodeReclaimTime = time.Second
	c.TCPTimeout = 2 * time.Second
	c.Logger = slog.NewLogLogger(quiet{t.log.Handler()}, slog.LevelDebug)
	list, err := memberlist.Create(c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("eventual: start gossip: %w", err), g.transport.Shutdown())
	}
	g.list = list
	return g, nil
}

// quiet drops memberlist's chatter unless debugging is on; slog's bridge already makes all its lines debug lines.
type quiet struct{ slog.Handler }

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

// NotifyLeave is told of members that left and of those that died.
func (g *gossip) NotifyLeave(n *memberlist.Node) {
	s := Dead
	if n.State == memberlist.StateLeft {
		s = Left
	}
	g.note(n, s)
}

// NotifyConflict is told of a second member with a name that is alive already.
func (g *gossip) NotifyConflict(existing, other *memberlist.Node) {
	g.t.log.Error("two members have one name: stop one of them and give it another name", "member", existing.Name,
		"first", existing.Address(), "second", other.Address())
}

func (g *gossip) note(n *memberlist.Node, s State) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	old, was := g.known[n.Name]
	m := Member{Name: n.Name, Addr: n.Address(), State: s, LastAlive: now, Since: now, Identity: old.Identity, Incarnation: old.Incarnation, Meta: old.Meta}
	var w wireMeta
	if err := msgpack.Unmarshal(n.Meta, &w); err == nil {
		m.Identity, m.Incarnation, m.Meta = w.Identity, w.Incarnation, w.User
	}
	if was && old.Incarnation == m.Incarnation {
		m.Since = old.Since
	}
	g.known[n.Name] = m
	g.dirty = true
	if s == Alive && (!was || old.State != Alive || old.Incarnation != m.Incarnation) && n.Name != g.t.cfg.Name {
		select {
		case g.appeared <- m.Addr:
		default:
		}
	}
	select {
	case g.changed <- struct{}{}:
	default:
	}
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

// reachable are the addresses of the other members that are alive.
func (g *gossip) reachable() (addrs []string) {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.known {
		if m.State == Alive && m.Name != g.t.cfg.Name {
			addrs = append(addrs, m.Addr)
		}
	}
	slices.Sort(addrs)
	return addrs
}

func (g *gossip) leave(ctx context.Context) error {
	timeout := time.Second
	if d, ok := ctx.Deadline(); ok {
		timeout = time.Until(d)
	}
	if err := g.list.Leave(max(timeout, time.Millisecond)); err != nil {
		return fmt.Errorf("eventual: leave: %w", err)
	}
	return nil
}

func (g *gossip) close() error {
	err := g.list.Shutdown()
	return errors.Join(err, g.transport.Shutdown(), g.save())
}

// Members are all members that this one has ever heard of, by name.
func (t *Tier) Members() []Member { return t.gossip.members() }

// Changed gets a value when the membership has changed; several changes may be one value.
func (t *Tier) Changed() <-chan struct{} { return t.gossip.changed }

// SetMeta changes what the others see of this member. It returns when memberlist has taken it on; it spreads from there.
func (t *Tier) SetMeta(meta []byte) error {
	if len(meta) > 256 {
		return errors.New("eventual: metadata of more than 256 bytes")
	}
	if err := t.gossip.setMeta(meta); err != nil {
		return err
	}
	if err := t.gossip.list.UpdateNode(time.Second); err != nil {
		return fmt.Errorf("eventual: tell the others about this member: %w", err)
	}
	return nil
}

// rejoinForever keeps trying the members that are not alive: memberlist gives up on who was away for long, and two sides of a
// long partition would never find each other again.
func (t *Tier) rejoinForever(ctx context.Context) {
	for first := true; ; first = false {
		if !first {
			select {
			case <-ctx.Done():
				return
			case <-time.After(t.cfg.JoinInterval/2 + rand.N(t.cfg.JoinInterval)):
			}
		}
		for _, addr := range t.gossip.away() {
			if ctx.Err() != nil {
				return
			}
			if _, err := t.gossip.list.Join([]string{addr}); err != nil {
				t.log.Debug("a member does not answer", "address", addr, "err", err)
			}
		}
		if err := t.gossip.save(); err != nil {
			t.log.Warn("the members that are known now may be forgotten at a restart", "err", err)
		}
	}
}

// away are the addresses of seeds and known members where nobody is known to be alive.
func (g *gossip) away() (addrs []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	alive := map[string]bool{g.t.cfg.Advertise: true}
	for _, m := range g.known {
		if m.State == Alive {
			alive[m.Addr] = true
		}
	}
	add := func(a string) {
		if a != "" && !alive[a] && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	for _, a := range g.t.cfg.Seeds {
		add(a)
	}
	for _, m := range g.known {
		if m.State != Left && m.Name != g.t.cfg.Name {
			add(m.Addr)
		}
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	return addrs
}

const membersFile = "members.json"

// load takes in the members known at the last stop: addresses to try.
func (g *gossip) load() error {
	if g.t.cfg.Dir == "" {
		return nil
	}
	known, err := readMembers(g.t.cfg.Dir)
	if err != nil {
		return err
	}
	for name, addr := range known {
		if name != g.t.cfg.Name {
			g.known[name] = Member{Name: name, Addr: addr, State: Dead}
		}
	}
	return nil
}

// readMembers reads the addresses of the known members by name; none if they were never written.
func readMembers(dir string) (known map[string]string, err error) {
	path := filepath.Join(dir, membersFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("eventual: read %s: %w", path, err)
	}
	if err := json.Unmarshal(b, &known); err != nil {
		return nil, fmt.Errorf("%w: %s: %w: it can be deleted, if this member is told by --join where another one is", ErrCorrupt, path, err)
	}
	return known, nil
}

func (g *gossip) save() error {
	g.mu.Lock()
	known := make(map[string]string)
	for _, m := range g.known {
		if m.State != Left {
			known[m.Name] = m.Addr
		}
	}
	dirty := g.dirty
	g.dirty = false
	g.mu.Unlock()
	if !dirty || g.t.cfg.Dir == "" {
		return nil
	}
	b, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return fmt.Errorf("eventual: encode the known members: %w", err)
	}
	return replaceFile(filepath.Join(g.t.cfg.Dir, membersFile), append(b, '\n'))
}
