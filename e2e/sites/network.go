package main

import (
	"context"
	"net"
	"os"
	"sync"
	"time"

	"github.com/strata-coord/strata/internal/peernet"
)

// far is the operating system's network with a way to go: what is written arrives that much later, in order.
type far struct {
	peernet.Network
	way time.Duration
}

func (f far) Listen(addr string) (net.Listener, error) {
	l, err := f.Network.Listen(addr)
	if err != nil {
		return nil, err
	}
	return farListener{l, f.way}, nil
}

type farListener struct {
	net.Listener
	way time.Duration
}

func (l farListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newFarConn(c, l.way), nil
}

// Dial takes a round trip.
func (f far) Dial(ctx context.Context, addr string) (net.Conn, error) {
	select {
	case <-time.After(2 * f.way):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	c, err := f.Network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return newFarConn(c, f.way), nil
}

func (f far) ListenPacket(addr string) (net.PacketConn, error) {
	c, err := f.Network.ListenPacket(addr)
	if err != nil {
		return nil, err
	}
	return farPackets{c, f.way}, nil
}

type farPackets struct {
	net.PacketConn
	way time.Duration
}

func (p farPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	late := append([]byte(nil), b...)
	time.AfterFunc(p.way, func() { _, _ = p.PacketConn.WriteTo(late, to) }) // a packet may be lost
	return len(b), nil
}

// farConn delays what is written.
type farConn struct {
	net.Conn
	way  time.Duration
	wake chan struct{} // capacity 1
	done chan struct{} // closed by Close

	mu     sync.Mutex
	queue  []piece // guarded by mu
	err    error   // guarded by mu; of an earlier write
	closed sync.Once
}

type piece struct {
	b   []byte
	due time.Time
}

func newFarConn(c net.Conn, way time.Duration) *farConn {
	f := &farConn{Conn: c, way: way, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go f.carry() // ends with Close, which every owner of a connection calls
	return f
}

func (f *farConn) Write(b []byte) (int, error) {
	f.mu.Lock()
	err := f.err
	f.queue = append(f.queue, piece{append([]byte(nil), b...), time.Now().Add(f.way)})
	f.mu.Unlock()
	if err != nil {
		return 0, err
	}
	select {
	case <-f.done:
		return 0, net.ErrClosed
	case f.wake <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (f *farConn) carry() {
	for {
		f.mu.Lock()
		var next *piece
		if len(f.queue) > 0 {
			next = &f.queue[0]
		}
		f.mu.Unlock()
		if next == nil {
			select {
			case <-f.wake:
				continue
			case <-f.done:
				return
			}
		}
		select {
		case <-time.After(time.Until(next.due)):
		case <-f.done:
			return
		}
		_, err := f.Conn.Write(next.b)
		f.mu.Lock()
		f.queue = f.queue[1:]
		f.err = err
		f.mu.Unlock()
	}
}

// SetWriteDeadline counts for the way only: writes never wait here.
func (f *farConn) SetWriteDeadline(time.Time) error { return nil }

func (f *farConn) SetDeadline(t time.Time) error {
	if err := f.Conn.SetReadDeadline(t); err != nil && !os.IsTimeout(err) {
		return err
	}
	return nil
}

func (f *farConn) Close() error {
	f.closed.Do(func() { close(f.done) })
	return f.Conn.Close()
}
