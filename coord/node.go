package coord

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/internal/session"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/eventual"
	"github.com/strata-coord/strata/tiers/readonly"
	"github.com/strata-coord/strata/tiers/strong"
)

// handoverTimeout bounds how long Close tries to hand the leadership over.
const handoverTimeout = 2 * time.Second

// Node is a member of a cluster, in this process. Its methods may be called concurrently.
type Node struct {
	cfg     Config
	log     *slog.Logger
	dir     *dataDir
	port    *peernet.Port
	greeter *greeter

	membership atomic.Pointer[eventual.Tier] // eventual, for who may ask before it is open

	eventual *eventual.Tier
	strong   *strong.Tier
	peers    *session.Network
	sessions *session.Manager
	tier     tiers.Tier

	promises sync.Mutex   // guards dir.meta
	awaited  atomic.Int64 // voters that are missing for a new cluster

	mu  sync.Mutex // held while own is opened
	own *Session   // guarded by mu; the node's own session

	sessionsMu sync.Mutex            // may be taken while mu is held
	held       map[*Session]struct{} // guarded by sessionsMu; the sessions of this program that have not ended
	closing    bool                  // guarded by sessionsMu; no more of them are opened

	changes   *turns    // of changing the membership
	expulsion expulsion // of this member

	running context.Context // ends when the stop begins
	stop    context.CancelFunc
	work    sync.WaitGroup
	once    sync.Once
	err     error // of the stop; set by once
}

// Open starts a member. It returns when the member serves what needs no majority; Ready tells when the rest is there. Errors: bad
// Config, ErrForeignDir, ErrCorruptDir, ErrDirInUse, ErrOtherName, ErrNameTaken, a taken address.
func Open(ctx context.Context, cfg Config) (_ *Node, err error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, log: cfg.Logger, changes: newTurns(), held: make(map[*Session]struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.shut(false))
		}
	}()
	if n.dir, err = openDir(cfg.Dir, cfg.Name); err != nil {
		return nil, err
	}
	if n.port, err = peernet.Open(cfg.Network, cfg.Bind, peernet.Options{Logger: n.log}); err != nil {
		return nil, fmt.Errorf("coord: %w", err)
	}
	if n.cfg.Advertise == "" {
		if n.cfg.Advertise, err = advertised(n.port.Addr().String()); err != nil {
			return nil, err
		}
	}
	n.cfg.ClientAddress = clientAddress(n.cfg.ClientAddress, n.cfg.Advertise)
	n.warnIfOpen()
	n.greeter = &greeter{port: n.port, me: n.me, promise: n.promise}
	if err := checkName(n.me(), n.greeter.askAll(ctx, n.others(), n.me())); err != nil {
		return nil, err
	}
	if err := n.dir.claim(); err != nil {
		return nil, err
	}
	if err := n.openTiers(); err != nil {
		return nil, err
	}
	n.running, n.stop = context.WithCancel(context.Background())
	n.greeter.serve(n)
	for _, f := range []func(context.Context){n.form, n.reconcile, n.stayAlive, n.tellCluster} {
		n.work.Go(func() { f(n.running) })
	}
	return n, nil
}

// warnIfOpen warns of what other machines can reach: members talk without encryption, and gossip believes whoever speaks to it.
func (n *Node) warnIfOpen() {
	host, _, err := net.SplitHostPort(n.port.Addr().String())
	if ip := net.ParseIP(host); err == nil && (ip == nil || !ip.IsLoopback()) {
		n.log.Warn("other machines can reach the members' port, which has no encryption and no authentication yet: keep it inside a trusted network", "address", n.port.Addr())
	}
}

// others are the addresses of Join that are not this member's.
func (n *Node) others() []string {
	return slices.DeleteFunc(slices.Clone(n.cfg.Join), n.isSelf)
}

func (n *Node) isSelf(addr string) bool {
	return addr == n.cfg.Advertise || addr == n.cfg.Bind || addr == n.port.Addr().String()
}

// me is this member's greeting.
func (n *Node) me() greeting {
	g := greeting{Name: n.cfg.Name, Identity: n.dir.identity(), Cluster: n.cluster()}
	n.promises.Lock()
	g.Promised = n.dir.meta.Promised
	n.promises.Unlock()
	if n.strong == nil {
		return g
	}
	g.Fresh, _ = n.strong.Fresh()
	for _, m := range n.eventual.Members() {
		if m.State == eventual.Alive {
			g.Known = append(g.Known, acquaintance{Name: m.Name, Identity: m.Identity})
		}
	}
	return g
}

// memberMeta is what gossip carries of a member besides name and address.
type memberMeta struct {
	_msgpack struct{} `msgpack:",as_array"`
	Role     Role
	Cluster  string
	Client   string // Config.ClientAddress
}

func (n *Node) meta() ([]byte, error) {
	b, err := msgpack.Marshal(&memberMeta{Role: n.cfg.Role, Cluster: n.cluster(), Client: n.cfg.ClientAddress})
	if err != nil {
		return nil, fmt.Errorf("coord: encode the member's metadata: %w", err)
	}
	return b, nil
}

// cluster names the replicated cluster that this member belongs to, without telling its key; empty before it does.
func (n *Node) cluster() string {
	if n.strong == nil || len(n.strong.Key()) == 0 {
		return ""
	}
	sum := sha256.Sum256(append([]byte("strata cluster "), n.strong.Key()...))
	return hex.EncodeToString(sum[:8])
}

func (n *Node) openTiers() error {
	meta, err := n.meta()
	if err != nil {
		return err
	}
	var mounts []string
	for _, r := range n.cfg.Routes {
		if r.Tier == TierEventual {
			mounts = append(mounts, r.Prefix)
		}
	}
	id := n.dir.identity()
	// The strong tier's start changes its files; so whatever is wrong elsewhere is found before.
	eventualDir := filepath.Join(n.cfg.Dir, "eventual")
	if err := eventual.Check(eventualDir, n.log); err != nil {
		return err
	}
	if n.strong, err = strong.Open(strong.Config{
		Name: n.cfg.Name, Identity: id, Dir: filepath.Join(n.cfg.Dir, strongDir), Port: n.port, Advertise: n.cfg.Advertise,
		Resolve: n.resolve, Logger: n.log.With("tier", "strong"), Guard: true,
		TouchInterval: min(250*time.Millisecond, n.cfg.MinSessionTimeout/8),
		ReapInterval:  n.cfg.ContainerCheckInterval, EnforceQuota: n.cfg.EnforceQuota,
		MaxTxn: n.cfg.MaxTxn, Heartbeat: n.cfg.Heartbeat, MaxHeartbeat: n.cfg.MaxHeartbeat,
		DiskDeadline: n.cfg.DiskDeadline, DiskReserve: n.cfg.DiskReserve,
	}); err != nil {
		return err
	}
	if n.dir.meta.Promised != "" {
		n.strong.Admit()
	}
	ev, err := eventual.Open(eventual.Config{
		Name: n.cfg.Name, Identity: id, Port: n.port, Advertise: n.cfg.Advertise, Seeds: n.others(),
		Dir: eventualDir, Mounts: mounts, Meta: meta, Zxid: n.zxid, Label: "strata", Number: n.number,
		Logger: n.log.With("tier", "eventual"),
	})
	if err != nil {
		return err
	}
	n.membership.Store(ev)
	n.eventual = ev
	router, err := n.route()
	if err != nil {
		return err
	}
	n.peers = session.NewNetwork(n.cfg.Name, n.port, n.sessionMembers, n.strong.MemberName, n.log)
	n.sessions = session.New(session.Config{
		Strong: replicated{n.strong}, Eventual: n.eventual, Router: router, Peers: n.peers, Logger: n.log, LastAlive: n.dir.lastAlive, Guests: n.dir.guests,
		Tick: n.cfg.Tick, Min: n.cfg.MinSessionTimeout, Max: n.cfg.MaxSessionTimeout,
	})
	n.peers.Serve(n.sessions)
	n.tier = n.sessions.Tier()
	return nil
}

func (n *Node) route() (*tiers.Router, error) {
	var root tiers.Tier
	var routes []tiers.Route
	for _, r := range n.cfg.Routes {
		var t tiers.Tier
		switch r.Tier {
		case TierStrong:
			t = n.strong
		case TierEventual:
			t = n.eventual
		default:
			t = readonly.New(n.strong, n.strong, readonly.Options{MaxStaleness: r.MaxStaleness})
		}
		if r.Prefix == "/" {
			root = t
		} else {
			routes = append(routes, tiers.Route{Prefix: r.Prefix, Tier: t})
		}
	}
	router, err := tiers.NewRouter(root, routes...)
	if err != nil {
		return nil, fmt.Errorf("coord: %w", err)
	}
	return router, nil
}

// number is this member's number in the cluster.
func (n *Node) number() (uint32, bool) {
	number, _, ok := n.strong.Number()
	return number, ok
}

// Zxid is what this member has applied of the replicated tree.
func (n *Node) Zxid() tiers.Zxid { return n.zxid() }

func (n *Node) zxid() tiers.Zxid { return replicated{n.strong}.Zxid() }

// resolve finds a member's address by gossip. It is asked by the strong tier, which starts before gossip does.
func (n *Node) resolve(name string) (string, bool) {
	ev := n.membership.Load()
	if ev == nil {
		return "", false
	}
	for _, m := range ev.Members() {
		if m.Name == name && m.Addr != "" {
			return m.Addr, true
		}
	}
	return "", false
}

func (n *Node) sessionMembers() []session.Member {
	var ms []session.Member
	for _, m := range n.eventual.Members() {
		ms = append(ms, session.Member{Name: m.Name, Addr: m.Addr, Alive: m.State == eventual.Alive, LastAlive: m.LastAlive})
	}
	return ms
}

// stayAlive notes for the next start that the member ran.
func (n *Node) stayAlive(ctx context.Context) {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for stopping := false; ; {
		if err := n.dir.alive(n.sessions.Guests()); err != nil {
			n.log.Warn("sessions may not survive a restart of this member", "err", err)
		}
		if stopping {
			return
		}
		select {
		case <-ctx.Done():
			stopping = true
		case <-tick.C:
		}
	}
}

// tellCluster tells gossip which cluster this member belongs to, once it does.
func (n *Node) tellCluster(ctx context.Context) {
	if n.strong.Wait(ctx) != nil {
		return
	}
	meta, err := n.meta()
	if err == nil {
		err = n.eventual.SetMeta(meta)
	}
	if err != nil {
		n.log.Warn("could not tell the others which cluster this member belongs to", "err", err)
	}
}

// Tier is the whole tree, by the node's routes.
func (n *Node) Tier() tiers.Tier { return n.tier }

// Sessions is the member's session table.
func (n *Node) Sessions() tiers.Sessions { return n.sessions }

// Addr is the address that was taken for the other members.
func (n *Node) Addr() net.Addr { return n.port.Addr() }

// Name is the member's name.
func (n *Node) Name() string { return n.cfg.Name }

// Ready returns when the member belongs to a cluster, has caught up, and can open sessions. Errors: ctx's, with what is awaited.
func (n *Node) Ready(ctx context.Context) error {
	err := n.strong.Wait(ctx)
	if err == nil {
		return nil
	}
	if why := n.ReadyErr(); why != nil {
		err = fmt.Errorf("%w: %w", why, err)
	}
	return fmt.Errorf("coord: member %s is not ready: %w", n.cfg.Name, err)
}

// ReadyErr says why the member is not ready now; nil if it is. A member that was ready and cannot reach a majority is ready: its
// eventual and readonly routes are served.
func (n *Node) ReadyErr() error {
	_, _, registered := n.strong.Number()
	switch awaited := n.awaited.Load(); {
	case n.Expelled() != nil:
		return n.Expelled()
	case len(n.strong.Servers()) == 0 && awaited > 0:
		return fmt.Errorf("waiting for %d more of %d voters to form the cluster", awaited, n.cfg.BootstrapExpect)
	case len(n.strong.Servers()) == 0:
		return errors.New("waiting to be taken into a cluster")
	case !registered:
		if leader, _ := n.strong.Leader(); leader == "" {
			return errors.New("waiting for a leader: a majority of the voters must reach each other")
		}
		return errors.New("waiting to be registered by the leader")
	}
	var disk *strong.DiskError
	if errors.As(n.strong.DiskErr(), &disk) && disk.Hangs > 0 {
		return disk // what clients write here is not answered
	}
	if _, known := n.strong.Freshness(); !known {
		return errors.New("catching up with the cluster")
	}
	return nil
}

// ReadOnly tells that the member has been without a majority for about two seconds, longer than an election takes: strong routes can't be
// written, and are shown to readers that ask for it (tiers.Query.Local) as they were.
func (n *Node) ReadOnly() bool { return n.strong.ReadOnly() }

// ReadOnlyChanged is closed at the next change of ReadOnly.
func (n *Node) ReadOnlyChanged() <-chan struct{} { return n.strong.ReadOnlyChanged() }

// Session is the node's own session, for recipes. It is opened at first use, and again when it was lost.
func (n *Node) Session(ctx context.Context) (*Session, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.own != nil && n.own.Context().Err() == nil {
		return n.own, nil
	}
	s, err := n.NewSession(ctx, min(max(5*n.cfg.Tick, n.cfg.MinSessionTimeout), n.cfg.MaxSessionTimeout))
	if err != nil {
		return nil, err
	}
	n.own = s
	return s, nil
}

// NewSession opens another session of this program. It ends with its Close, or with the node's.
func (n *Node) NewSession(ctx context.Context, timeout time.Duration) (*Session, error) {
	s, err := NewSession(ctx, n.tier, n.sessions, timeout)
	if err != nil {
		return nil, err
	}
	n.sessionsMu.Lock()
	closing := n.closing
	if !closing {
		n.held[s] = struct{}{}
	}
	n.sessionsMu.Unlock()
	if closing {
		s.abandon(tiers.ErrClosed)
		return nil, fmt.Errorf("open a session: member %s: %w", n.cfg.Name, tiers.ErrClosed)
	}
	s.Go(func(ctx context.Context) {
		<-ctx.Done()
		n.sessionsMu.Lock()
		delete(n.held, s)
		n.sessionsMu.Unlock()
	})
	return s, nil
}

// endSessions ends the sessions of this program: whoever holds one learns it before anything else is stopped. Orderly: in
// the cluster too, so that nobody has to wait for what they own.
func (n *Node) endSessions(orderly bool) {
	n.sessionsMu.Lock()
	n.closing = true
	held := slices.Collect(maps.Keys(n.held))
	n.sessionsMu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), handoverTimeout)
	defer cancel()
	var work sync.WaitGroup
	for _, s := range held {
		work.Go(func() {
			if !orderly {
				s.abandon(tiers.ErrClosed)
			} else if err := s.Close(ctx); err != nil {
				n.log.Warn("could not end a session of this program; it ends by its timeout", "session", s.ID(), "err", err)
			}
		})
	}
	work.Wait()
}

// Close stops the member: it ends the sessions of this program, hands the leadership over, keeps the sessions of clients (they move to other
// members), and leaves. Later calls return the same error.
func (n *Node) Close() error {
	n.once.Do(func() { n.err = n.shut(true) })
	return n.err
}

// Abort stops the member at once, as a crash would: nothing is handed over and nobody is told.
func (n *Node) Abort() error {
	n.once.Do(func() { n.err = n.shut(false) })
	return n.err
}

// shut stops what Open has started, in reverse; orderly: with a farewell.
func (n *Node) shut(orderly bool) error {
	var errs []error
	n.endSessions(orderly)
	if orderly {
		ctx, cancel := context.WithTimeout(context.Background(), handoverTimeout)
		if err := n.strong.Handover(ctx); err != nil {
			n.log.Warn("the others will have to elect a leader", "err", err)
		}
		cancel()
	}
	if n.stop != nil {
		n.stop()
	}
	if n.greeter != nil && n.greeter.server != nil {
		errs = append(errs, n.greeter.server.Close())
	}
	n.work.Wait()
	if n.sessions != nil {
		n.sessions.Stop()
	}
	if n.peers != nil {
		errs = append(errs, n.peers.Close())
	}
	if n.eventual != nil {
		if orderly {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if err := n.eventual.Leave(ctx); err != nil {
				n.log.Warn("could not tell the others that this member leaves", "err", err)
			}
			cancel()
		}
		errs = append(errs, n.eventual.Close())
	}
	if n.strong != nil {
		errs = append(errs, n.strong.Close())
	}
	if n.port != nil {
		errs = append(errs, n.port.Close())
	}
	if n.dir != nil {
		errs = append(errs, n.dir.close())
	}
	return errors.Join(errs...)
}
