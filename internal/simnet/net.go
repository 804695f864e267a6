// Package simnet is a network in memory, for whole clusters in testing/synctest bubbles: seeded delay, loss, duplicates, partition,
// reset, and hosts that go down or stand still. It does no I/O: only channels, timers and mutexes, so a bubble's fake time moves when everyone waits.
package simnet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/strata-coord/strata/internal/peernet"
)

// Net is one simulated network. Its methods may be called concurrently.
type Net struct {
	mu        sync.Mutex
	rand      *rand.Rand // guarded by mu
	listeners map[string]*listener
	packets   map[string]*packetConn
	streams   map[*pipe]struct{} // guarded by mu; both directions of each
	cut       map[[2]string]bool // guarded by mu; from, to
	down      map[string]bool    // guarded by mu
	frozen    map[string]bool    // guarded by mu
	delay     span               // guarded by mu
	links     map[[2]string]span // guarded by mu; from, to: in place of delay
	loss      float64            // guarded by mu; of packets
	twice     float64            // guarded by mu; of packets
	nextPort  uint16             // guarded by mu
	healed    chan struct{}      // guarded by mu; closed and replaced when the network changes
}

// span is a range of delays.
type span struct{ low, high time.Duration }

// New returns a network without delay or loss, whose randomness comes from seed.
func New(seed uint64) *Net {
	return &Net{
		rand:      rand.New(rand.NewPCG(seed, 0x5742a7a)),
		listeners: make(map[string]*listener), packets: make(map[string]*packetConn), streams: make(map[*pipe]struct{}),
		cut: make(map[[2]string]bool), down: make(map[string]bool), frozen: make(map[string]bool), links: make(map[[2]string]span),
		nextPort: 40000, healed: make(chan struct{}),
	}
}

// Host is the network as seen from one IP address.
func (n *Net) Host(ip string) peernet.Network { return host{n, ip} }

// SetDelay makes everything take between low and high, one way.
func (n *Net) SetDelay(low, high time.Duration) {
	n.mu.Lock()
	n.delay = span{low, high}
	n.mu.Unlock()
}

// SetLinkDelay is SetDelay for one way between two hosts; what it says there counts in place of SetDelay, until ClearLinkDelays.
func (n *Net) SetLinkDelay(from, to string, low, high time.Duration) {
	n.mu.Lock()
	n.links[[2]string{from, to}] = span{low, high}
	n.mu.Unlock()
}

// ClearLinkDelays forgets every SetLinkDelay.
func (n *Net) ClearLinkDelays() {
	n.mu.Lock()
	clear(n.links)
	n.mu.Unlock()
}

// SetDuplicate delivers that share of the packets twice, the second time with a delay of its own. Streams repeat nothing, as with TCP.
func (n *Net) SetDuplicate(p float64) {
	n.mu.Lock()
	n.twice = p
	n.mu.Unlock()
}

// resend is how long a sender of a stream waits before it sends again what was lost: the least that Linux waits.
const resend = 200 * time.Millisecond

// SetLoss drops that share of the packets. Streams lose nothing, as TCP sends again: what is lost arrives later, by 200 ms each time.
func (n *Net) SetLoss(p float64) {
	n.mu.Lock()
	n.loss = p
	n.mu.Unlock()
}

// Partition cuts all ways between hosts of different groups. Streams across stall, until Heal or Reset.
func (n *Net) Partition(groups ...[]string) {
	for i, a := range groups {
		for j, b := range groups {
			if i == j {
				continue
			}
			for _, from := range a {
				for _, to := range b {
					n.Cut(from, to)
				}
			}
		}
	}
}

// Bridge is a partition into two sides that both reach the bridge, and only through it could reach each other.
func (n *Net) Bridge(bridge string, left, right []string) {
	without := func(hosts []string) (rest []string) {
		for _, h := range hosts {
			if h != bridge {
				rest = append(rest, h)
			}
		}
		return rest
	}
	n.Partition(without(left), without(right))
}

// Freeze stalls all traffic of a host, both ways: what the others see of a process that stands still (a long garbage collection,
// SIGSTOP). Nothing breaks or is lost: it all arrives after Thaw. What runs there goes on, alone.
func (n *Net) Freeze(ip string) {
	n.mu.Lock()
	n.frozen[ip] = true
	n.mu.Unlock()
}

// Thaw ends a Freeze.
func (n *Net) Thaw(ip string) {
	n.mu.Lock()
	delete(n.frozen, ip)
	n.changed()
	n.mu.Unlock()
}

// Cut cuts one way.
func (n *Net) Cut(from, to string) {
	n.mu.Lock()
	n.cut[[2]string{from, to}] = true
	n.mu.Unlock()
}

// Mend opens one way that was cut.
func (n *Net) Mend(from, to string) {
	n.mu.Lock()
	delete(n.cut, [2]string{from, to})
	n.changed()
	n.mu.Unlock()
}

// Heal opens every cut way. It ends neither a Freeze nor a Down.
func (n *Net) Heal() {
	n.mu.Lock()
	clear(n.cut)
	n.changed()
	n.mu.Unlock()
}

// changed wakes what stalls. Callers hold mu.
func (n *Net) changed() {
	close(n.healed)
	n.healed = make(chan struct{})
}

// Reset breaks the streams between two hosts.
func (n *Net) Reset(a, b string) {
	n.breakStreams(func(p *pipe) bool {
		return (p.from == a && p.to == b) || (p.from == b && p.to == a)
	})
}

// Down takes a host off the network, as a kill would: its streams break and nobody reaches it. What runs there goes on.
func (n *Net) Down(ip string) {
	n.mu.Lock()
	n.down[ip] = true
	n.mu.Unlock()
	n.breakStreams(func(p *pipe) bool { return p.from == ip || p.to == ip })
}

// Up brings a host back.
func (n *Net) Up(ip string) {
	n.mu.Lock()
	delete(n.down, ip)
	n.changed()
	n.mu.Unlock()
}

func (n *Net) breakStreams(which func(*pipe) bool) {
	n.mu.Lock()
	var broken []*pipe
	for p := range n.streams {
		if which(p) {
			broken = append(broken, p)
			delete(n.streams, p)
		}
	}
	n.mu.Unlock()
	for _, p := range broken {
		p.reset()
	}
}

// open tells whether the way is open now; else changed is closed when that may have changed.
func (n *Net) open(from, to string) (ok bool, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.whole(from, to) && !n.still(from, to), n.healed
}

// whole tells whether nothing is lost on the way. Callers hold mu.
func (n *Net) whole(from, to string) bool {
	return !n.cut[[2]string{from, to}] && !n.down[from] && !n.down[to]
}

// still tells whether an end of the way is frozen. Callers hold mu.
func (n *Net) still(from, to string) bool { return n.frozen[from] || n.frozen[to] }

func (n *Net) latency(from, to string) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.draw(from, to)
}

// streamLatency is latency with what TCP must send again.
func (n *Net) streamLatency(from, to string) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := n.draw(from, to)
	for n.loss > 0 && d < 8*resend && n.rand.Float64() < n.loss {
		d += resend
	}
	return d
}

// draw is how long the way takes this time. Callers hold mu.
func (n *Net) draw(from, to string) time.Duration {
	s, own := n.links[[2]string{from, to}]
	if !own {
		s = n.delay
	}
	if s.high <= s.low {
		return s.low
	}
	return s.low + time.Duration(n.rand.Int64N(int64(s.high-s.low)))
}

type host struct {
	n  *Net
	ip string
}

// claim resolves addr to one of this host, with a port. Callers hold n.mu.
func (h host) claim(addr string) (string, error) {
	ip, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	if ip != h.ip {
		return "", fmt.Errorf("simnet: %s is not an address of host %s", addr, h.ip)
	}
	if port == "0" {
		h.n.nextPort++
		port = fmt.Sprint(h.n.nextPort)
	}
	return net.JoinHostPort(ip, port), nil
}

func (h host) Listen(addr string) (net.Listener, error) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	addr, err := h.claim(addr)
	if err != nil {
		return nil, err
	}
	if h.n.listeners[addr] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: address(addr), Err: syscall.EADDRINUSE}
	}
	l := &listener{n: h.n, addr: addr, conns: make(chan net.Conn, 128), done: make(chan struct{})}
	h.n.listeners[addr] = l
	return l, nil
}

func (h host) ListenPacket(addr string) (net.PacketConn, error) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	addr, err := h.claim(addr)
	if err != nil {
		return nil, err
	}
	if h.n.packets[addr] != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: address(addr), Err: syscall.EADDRINUSE}
	}
	c := &packetConn{n: h.n, ip: h.ip, addr: addr, in: make(chan packet, 4096), done: make(chan struct{}), deadline: newDeadline()}
	h.n.packets[addr] = c
	return c, nil
}

// Dial takes one round trip; across a cut it hangs until ctx ends or the way opens, and to a host without listener it is refused.
func (h host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	ip, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	for {
		there, changed := h.n.open(h.ip, ip)
		back, _ := h.n.open(ip, h.ip)
		if there && back {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address(addr), Err: context.Cause(ctx)}
		}
	}
	if d := h.n.latency(h.ip, ip) + h.n.latency(ip, h.ip); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address(addr), Err: context.Cause(ctx)}
		}
	}
	h.n.mu.Lock()
	l := h.n.listeners[addr]
	h.n.nextPort++
	local := net.JoinHostPort(h.ip, fmt.Sprint(h.n.nextPort))
	h.n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address(addr), Err: syscall.ECONNREFUSED}
	}
	here, far := h.n.connect(local, addr)
	if !l.offer(far) {
		here.Close()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address(addr), Err: syscall.ECONNREFUSED}
	}
	return here, nil
}

type address string

func (address) Network() string  { return "sim" }
func (a address) String() string { return string(a) }

// AddrPort lets who needs numbers have them.
func (a address) AddrPort() netip.AddrPort {
	ap, _ := netip.ParseAddrPort(string(a))
	return ap
}

type listener struct {
	n     *Net
	addr  string
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	mu    sync.Mutex // orders offers before the drain at Close
}

func (l *listener) offer(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		return false
	default:
	}
	select {
	case l.conns <- c:
		return true
	default:
		return false
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		err = nil
		l.n.mu.Lock()
		delete(l.n.listeners, l.addr)
		l.n.mu.Unlock()
		l.mu.Lock()
		close(l.done)
		l.mu.Unlock()
		for {
			select {
			case c := <-l.conns:
				c.Close()
			default:
				return
			}
		}
	})
	return err
}

func (l *listener) Addr() net.Addr { return address(l.addr) }
