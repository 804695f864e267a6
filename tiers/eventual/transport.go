package eventual

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/strata-coord/strata/internal/peernet"
)

// transport carries memberlist over the member's one port.
type transport struct {
	port      *peernet.Port
	advertise string
	streams   net.Listener
	packetCh  chan *memberlist.Packet
	streamCh  chan net.Conn
	conns     peernet.Conns
	done      chan struct{}
	ctx       context.Context // of dials
	cancel    context.CancelFunc
	once      sync.Once
	work      sync.WaitGroup
}

func newTransport(port *peernet.Port, advertise string) *transport {
	t := &transport{port: port, advertise: advertise, streams: port.Listener(peernet.Gossip),
		packetCh: make(chan *memberlist.Packet, 1024), streamCh: make(chan net.Conn), done: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.work.Go(t.readPackets)
	t.work.Go(t.acceptStreams)
	return t
}

func (t *transport) readPackets() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := t.port.Packets().ReadFrom(buf)
		select {
		case <-t.done:
			return
		default:
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// A packet that could not be sent, most likely; if it goes on, it shall not cost all of a processor.
			select {
			case <-time.After(time.Millisecond):
			case <-t.done:
				return
			}
			continue
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: time.Now()}
		select {
		case t.packetCh <- p:
		default: // as a full socket would
		}
	}
}

func (t *transport) acceptStreams() {
	for {
		c, err := t.conns.Add(t.streams.Accept())
		if err != nil {
			return
		}
		select {
		case t.streamCh <- c:
		case <-t.done:
			c.Close()
			return
		}
	}
}

func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	host, port, err := net.SplitHostPort(t.advertise)
	if err != nil {
		return nil, 0, fmt.Errorf("advertised address %q: %w", t.advertise, err)
	}
	p, err := strconv.Atoi(port)
	if err != nil {
		return nil, 0, fmt.Errorf("advertised address %q: %w", t.advertise, err)
	}
	if ip := net.ParseIP(host); ip != nil {
		return ip, p, nil
	}
	ips, err := net.DefaultResolver.LookupIP(context.Background(), "ip", host)
	if err != nil {
		return nil, 0, fmt.Errorf("advertised address %q: %w", t.advertise, err)
	}
	return ips[0], p, nil
}

// packetAddr is an address as text: no resolver is asked for each packet.
type packetAddr string

func (packetAddr) Network() string  { return "udp" }
func (a packetAddr) String() string { return string(a) }

func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	var to net.Addr = packetAddr(addr)
	if _, system := t.port.Packets().(*net.UDPConn); system {
		u, err := net.ResolveUDPAddr("udp", addr)
		if err != nil {
			return time.Time{}, fmt.Errorf("packet to %q: %w", addr, err)
		}
		to = u
	}
	_, err := t.port.Packets().WriteTo(b, to)
	return time.Now(), err
}

func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, a.Addr)
}

func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packetCh }
func (t *transport) StreamCh() <-chan net.Conn           { return t.streamCh }

func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	return t.conns.Add(t.port.Dial(ctx, peernet.Gossip, addr))
}

func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

// hangUp ends the streams, also those that are being dialled: for a tier that closes.
func (t *transport) hangUp() {
	t.cancel()
	t.conns.CloseAll()
}

// Shutdown stops the transport. The port's packet side stays open, it is not ours: the reader is woken by a deadline.
func (t *transport) Shutdown() error {
	var err error
	t.once.Do(func() {
		close(t.done)
		err = t.streams.Close()
		t.hangUp()
		past := time.Unix(1, 0)
		err = errors.Join(err, t.port.Packets().SetReadDeadline(past))
		t.work.Wait()
		err = errors.Join(err, t.port.Packets().SetReadDeadline(time.Time{}))
	})
	return err
}
