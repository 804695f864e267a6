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
	waits := []time.Duration{c.n.draw(c.ip, ip)}
	if c.n.twice > 0 && c.n.rand.Float64() < c.n.twice {
		waits = append(waits, c.n.draw(c.ip, ip))
	}
	c.n.mu.Unlock()
	if lost {
		return len(b), nil
	}
	p := packet{append([]byte(nil), b...), address(c.addr)}
	for _, wait := range waits {
		if wait <= 0 {
			c.deliver(p, ip, to.String())
		} else {
			time.AfterFunc(wait, func() { c.deliver(p, ip, to.String()) })
		}
	}
	return len(b), nil
}

// deliver hands the packet over, or waits while an end of the way is frozen: until this socket is closed at the latest.
func (c *packetConn) deliver(p packet, ip, to string) {
	c.n.mu.Lock()
	whole, still, far, changed := c.n.whole(c.ip, ip), c.n.still(c.ip, ip), c.n.packets[to], c.n.healed
	c.n.mu.Unlock()
	switch {
	case !whole || far == nil:
	case still:
		go func() {
			select {
			case <-changed:
				c.deliver(p, ip, to)
			case <-c.done:
			}
		}()
	default:
		select {
		case far.in <- p:
		default:
		}
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
