package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/tiers"
)

const methodTake byte = 1 // a question; an Answer

type question struct {
	_msgpack struct{} `msgpack:",as_array"`
	Session  tiers.SessionID
	Asker    string
}

// Member is one line of the membership.
type Member struct {
	Name      string
	Addr      string
	Alive     bool
	LastAlive time.Time // of one that is not alive; zero if it is not known
}

// Network asks the other members over peernet. It implements Peers.
type Network struct {
	self    string
	port    *peernet.Port
	members func() []Member
	nameOf  func(uint32) (string, bool)
	log     *slog.Logger
	server  *peernet.Server

	mu      sync.Mutex
	clients map[string]*peernet.Client // guarded by mu; by address
	closed  bool                       // guarded by mu
}

// NewNetwork asks the members that members tells of, from the member called self. Serve makes this one answer.
func NewNetwork(self string, port *peernet.Port, members func() []Member, nameOf func(uint32) (string, bool), log *slog.Logger) *Network {
	return &Network{self: self, port: port, members: members, nameOf: nameOf, log: log, clients: make(map[string]*peernet.Client)}
}

// Serve answers the other members with m's sessions until Close.
func (n *Network) Serve(m *Manager) {
	n.server = peernet.Serve(n.port.Listener(peernet.Sessions), map[byte]peernet.Method{
		methodTake: {Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) {
			var q question
			if err := msgpack.Unmarshal(body, &q); err != nil {
				return nil, fmt.Errorf("malformed question about a session: %w", err)
			}
			a, err := m.Give(q.Session, q.Asker)
			if err != nil {
				return nil, err
			}
			return msgpack.Marshal(&a)
		}},
	}, n.log)
}

// Self is this member's name.
func (n *Network) Self() string { return n.self }

// NameOf is the name of a member by its number.
func (n *Network) NameOf(number uint32) (string, bool) { return n.nameOf(number) }

// Absence is for how long a member has not been reachable.
func (n *Network) Absence(name string) (absent time.Duration, known bool) {
	for _, x := range n.members() {
		if x.Name == name {
			switch {
			case x.Alive:
				return 0, true
			case x.LastAlive.IsZero():
				return 0, false
			}
			return max(time.Since(x.LastAlive), 1), true
		}
	}
	return 0, false
}

// Take asks all other reachable members at once; one whose connection breaks meanwhile a second time, over a new one: its machine may say
// by then that it does not run.
func (n *Network) Take(ctx context.Context, id tiers.SessionID, late func(Answer)) map[string]Answer {
	answers := make(map[string]Answer)
	body, err := msgpack.Marshal(&question{Session: id, Asker: n.self})
	if err != nil {
		n.log.Error("could not encode a question about a session", "err", err)
		return answers
	}
	var mu sync.Mutex // guards answers, left and over
	left, over := 0, false
	enough := make(chan struct{}, 1)
	var ask func(x Member, again bool)
	answered := func(x Member, again bool, b []byte, err error) {
		var a Answer
		if err == nil {
			err = msgpack.Unmarshal(b, &a)
		}
		mu.Lock()
		defer mu.Unlock()
		var remote *peernet.RemoteError
		switch {
		case over:
			left--
			if err == nil && a.Held {
				late(a)
			}
			return
		case err == nil:
			answers[x.Name] = a
		case errors.Is(err, syscall.ECONNREFUSED):
			answers[x.Name] = Answer{Gone: true}
		case !again && !errors.As(err, &remote) && !errors.Is(err, peernet.ErrClientClosed):
			ask(x, true)
			return
		default:
			n.log.Debug("a member does not answer about a session", "member", x.Name, "session", id, "err", err)
		}
		left--
		if left == 0 || a.Held {
			select {
			case enough <- struct{}{}:
			default:
			}
		}
	}
	ask = func(x Member, again bool) {
		n.client(x.Addr).Go(methodTake, body, func(b []byte, err error) { answered(x, again, b, err) })
	}
	members := slices.DeleteFunc(n.members(), func(x Member) bool { return !x.Alive || x.Name == n.self })
	left = len(members)
	for _, x := range members {
		ask(x, false)
	}
	if len(members) > 0 {
		select {
		case <-enough:
		case <-ctx.Done():
		}
	}
	mu.Lock()
	over = true
	mu.Unlock()
	return answers
}

func (n *Network) client(addr string) *peernet.Client {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.clients[addr]
	if c == nil {
		c = peernet.NewClient(func(ctx context.Context) (net.Conn, error) { return n.port.Dial(ctx, peernet.Sessions, addr) })
		if n.closed {
			c.Close()
		} else {
			n.clients[addr] = c
		}
	}
	return c
}

// Close stops asking and answering.
func (n *Network) Close() error {
	n.mu.Lock()
	n.closed = true
	clients := n.clients
	n.clients = nil
	n.mu.Unlock()
	for _, c := range clients {
		c.Close()
	}
	if n.server != nil {
		return n.server.Close()
	}
	return nil
}
