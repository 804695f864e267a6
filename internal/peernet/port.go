package peernet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	// helloTimeout bounds how long an accepted stream may take to name its protocol.
	helloTimeout = 5 * time.Second
	// backlog bounds the streams of one protocol that wait to be accepted.
	backlog = 128
)

// Options of a Port.
type Options struct {
	// TLS wraps every stream, both ways; nil for plain. Packets stay plain: gossip has its own keyring.
	TLS    *tls.Config
	Logger *slog.Logger
}

// Port is one address, for streams and packets.
type Port struct {
	network Network
	opts    Options
	log     *slog.Logger
	tcp     net.Listener
	udp     net.PacketConn

	mu        sync.Mutex
	listeners map[Protocol]*listener // guarded by mu
	hellos    map[net.Conn]struct{}  // guarded by mu; accepted, protocol not yet known
	closed    bool                   // guarded by mu

	work sync.WaitGroup
}

// Open listens on addr, for streams and packets alike; port 0 takes a free one. Errors name the address; see ErrAddrInUse of the system.
func Open(n Network, addr string, o Options) (*Port, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	tcp, udp, err := listen(n, addr)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("member address %s is taken by another process: stop it, or choose another address: %w", addr, err)
		}
		return nil, fmt.Errorf("listen for other members on %s: %w", addr, err)
	}
	p := &Port{network: n, opts: o, log: o.Logger, tcp: tcp, udp: udp,
		listeners: make(map[Protocol]*listener), hellos: make(map[net.Conn]struct{})}
	p.work.Go(p.accept)
	return p, nil
}

// listen finds one port that is free for both; a chosen one is tried once.
func listen(n Network, addr string) (net.Listener, net.PacketConn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, err
	}
	for try := 0; ; try++ {
		tcp, err := n.Listen(addr)
		if err != nil {
			return nil, nil, err
		}
		udp, err := n.ListenPacket(tcp.Addr().String())
		if err == nil {
			return tcp, udp, nil
		}
		err = errors.Join(err, tcp.Close())
		if port != "0" || try == 10 {
			return nil, nil, err
		}
	}
}

// Addr is the address that was really taken.
func (p *Port) Addr() net.Addr { return p.tcp.Addr() }

// Packets is the packet side. The Port owns it: Close closes it.
func (p *Port) Packets() net.PacketConn { return p.udp }

// Dial opens a stream of one protocol.
func (p *Port) Dial(ctx context.Context, proto Protocol, addr string) (net.Conn, error) {
	c, err := p.network.Dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("dial member %s: %w", addr, err)
	}
	if p.opts.TLS != nil {
		t := tls.Client(c, p.opts.TLS)
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("TLS with member %s: %w", addr, err), c.Close())
		}
		c = t
	}
	if d, ok := ctx.Deadline(); ok {
		c.SetWriteDeadline(d)
	}
	if _, err := c.Write([]byte{byte(proto)}); err != nil {
		return nil, errors.Join(fmt.Errorf("dial member %s: %w", addr, err), c.Close())
	}
	c.SetWriteDeadline(time.Time{})
	return c, nil
}

// Listener gives the streams of one protocol, also those that came before the call. It is closed with the Port, or by itself.
func (p *Port) Listener(proto Protocol) net.Listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.listener(proto)
	return l
}

// listener is the live listener of a protocol. Callers hold mu.
func (p *Port) listener(proto Protocol) *listener {
	l := p.listeners[proto]
	if l == nil || (l.isClosed() && !p.closed) {
		l = &listener{addr: p.tcp.Addr(), streams: make(chan net.Conn, backlog), done: make(chan struct{})}
		p.listeners[proto] = l
		if p.closed {
			l.Close()
		}
	}
	return l
}

func (p *Port) accept() {
	for {
		c, err := p.tcp.Accept()
		if err != nil {
			p.mu.Lock()
			closed := p.closed
			p.mu.Unlock()
			if closed || errors.Is(err, net.ErrClosed) {
				return
			}
			p.log.Warn("could not accept a member's connection", "err", err)
			time.Sleep(10 * time.Millisecond) // out of files, most likely
			continue
		}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			c.Close()
			return
		}
		p.hellos[c] = struct{}{}
		p.mu.Unlock()
		p.work.Go(func() { p.greet(c) })
	}
}

// greet finds the protocol of a stream and hands it over.
func (p *Port) greet(c net.Conn) {
	stream, proto, err := p.hello(c)
	p.mu.Lock()
	delete(p.hellos, c)
	if err == nil && p.closed {
		err = net.ErrClosed
	}
	var l *listener
	if err == nil {
		l = p.listener(proto)
	}
	p.mu.Unlock()
	if err == nil && !l.offer(stream) {
		err = fmt.Errorf("nobody accepts protocol %v", proto)
	}
	if err != nil {
		p.log.Debug("refused a stream", "from", c.RemoteAddr(), "err", err)
		c.Close()
	}
}

func (p *Port) hello(c net.Conn) (net.Conn, Protocol, error) {
	if err := c.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return nil, 0, err
	}
	stream := c
	if p.opts.TLS != nil {
		stream = tls.Server(c, p.opts.TLS)
	}
	var b [1]byte
	if _, err := stream.Read(b[:]); err != nil {
		return nil, 0, err
	}
	switch proto := Protocol(b[0]); proto {
	case Raft, Gossip, Strong, Records, Sessions, Hello:
		return stream, proto, c.SetDeadline(time.Time{})
	default:
		return nil, 0, fmt.Errorf("unknown protocol %v", proto)
	}
}

// Close stops listening and closes what nobody has accepted; accepted streams belong to who accepted them.
func (p *Port) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	for _, l := range p.listeners {
		l.Close()
	}
	for c := range p.hellos {
		c.Close()
	}
	p.mu.Unlock()
	err := errors.Join(p.tcp.Close(), p.udp.Close())
	p.work.Wait()
	return err
}

type listener struct {
	addr    net.Addr
	streams chan net.Conn
	done    chan struct{}
	once    sync.Once

	mu sync.Mutex // orders offers before the drain at Close
}

func (l *listener) offer(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		return false
	}
	select {
	case l.streams <- c:
		return true
	default:
		return false
	}
}

func (l *listener) isClosed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.streams:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.mu.Lock()
		close(l.done)
		l.mu.Unlock()
		for {
			select {
			case c := <-l.streams:
				c.Close()
			default:
				return
			}
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return l.addr }
