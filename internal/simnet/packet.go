package simnet

import (
	"net"
	"os"
	"sync"
	"time"
)

type packet struct {
	b    []byte
	from address
}

// packetConn is one packet socket. A packet that finds its queue full is dropped, as UDP does.
type packetConn struct {
	n        *Net
	ip       string
	addr     string
	in       chan packet
	done     chan struct{}
	once     sync.Once
	deadline *deadline
}

func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case <-c.done:
		return 0, nil, net.ErrClosed
	default:
	}
	select {
	case p := <-c.in:
		return copy(b, p.b), p.from, nil
	case <-c.done:
		return 0, nil, net.ErrClosed
	case <-c.deadline.passed():
		return 0, nil, os.ErrDeadlineExceeded
	}
}

func (c *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	select {
	case <-c.done:
		return 0, net.ErrClosed
	default:
	}
	ip, _, err := net.SplitHostPort(to.String())
	if err != nil {
		return 0, err
	}
	c.n.mu.Lock()
	lost := c.n.loss > 0 && c.n.rand.Float64() < c.n.loss
	wait := c.n.delay()
	c.n.mu.Unlock()
	if lost {
		return len(b), nil
	}
	p := packet{append([]byte(nil), b...), address(c.addr)}
	if wait <= 0 {
		c.deliver(p, ip, to.String())
	} else {
		time.AfterFunc(wait, func() { c.deliver(p, ip, to.String()) })
	}
	return len(b), nil
}

func (c *packetConn) deliver(p packet, ip, to string) {
	if ok, _ := c.n.open(c.ip, ip); !ok {
		return
	}
	c.n.mu.Lock()
	far := c.n.packets[to]
	c.n.mu.Unlock()
	if far == nil {
		return
	}
	select {
	case far.in <- p:
	default:
	}
}

func (c *packetConn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = nil
		c.n.mu.Lock()
		delete(c.n.packets, c.addr)
		c.n.mu.Unlock()
		close(c.done)
		c.deadline.stop()
	})
	return err
}

func (c *packetConn) LocalAddr() net.Addr { return address(c.addr) }

func (c *packetConn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *packetConn) SetReadDeadline(t time.Time) error  { c.deadline.set(t); return nil }
func (c *packetConn) SetWriteDeadline(t time.Time) error { return nil }
