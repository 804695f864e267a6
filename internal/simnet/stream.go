package simnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// window bounds the bytes on their way in one direction; a writer waits for room, as with TCP.
const window = 1 << 20

// pipe is one direction of a stream.
type pipe struct {
	n        *Net
	from, to string // hosts

	mu      sync.Mutex
	chunks  []chunk       // guarded by mu; on their way or arrived, in order
	size    int           // guarded by mu
	err     error         // guarded by mu; for both ends: reset
	eof     bool          // guarded by mu; the writer has closed
	closed  bool          // guarded by mu; the reader has closed
	changed chan struct{} // guarded by mu; closed and replaced at any change
}

type chunk struct {
	b       []byte
	arrives time.Time
}

func newPipe(n *Net, from, to string) *pipe {
	return &pipe{n: n, from: from, to: to, changed: make(chan struct{})}
}

// update changes the pipe under its lock and wakes everyone.
func (p *pipe) update(f func()) {
	p.mu.Lock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
}

func (p *pipe) reset() {
	p.update(func() {
		if p.err == nil {
			p.err = syscall.ECONNRESET
		}
		p.chunks, p.size = nil, 0
	})
}

func (p *pipe) write(b []byte, d *deadline) (n int, err error) {
	for {
		p.mu.Lock()
		switch {
		case p.err != nil:
			err = p.err
		case p.eof:
			err = net.ErrClosed
		case p.closed:
			err = syscall.EPIPE
		}
		if err != nil {
			p.mu.Unlock()
			return n, err
		}
		if room := window - p.size; room > 0 && len(b) > 0 {
			k := min(room, len(b))
			at := time.Now().Add(p.n.streamLatency(p.from, p.to))
			if last := len(p.chunks) - 1; last >= 0 && p.chunks[last].arrives.After(at) {
				at = p.chunks[last].arrives // a stream keeps its order
			}
			p.chunks = append(p.chunks, chunk{append([]byte(nil), b[:k]...), at})
			p.size += k
			b, n = b[k:], n+k
			close(p.changed)
			p.changed = make(chan struct{})
		}
		changed := p.changed
		p.mu.Unlock()
		if len(b) == 0 {
			return n, nil
		}
		select {
		case <-changed:
		case <-d.passed():
			return n, os.ErrDeadlineExceeded
		}
	}
}

func (p *pipe) read(b []byte, d *deadline) (int, error) {
	for {
		open, healed := p.n.open(p.from, p.to)
		var arrival <-chan time.Time
		var timer *time.Timer
		p.mu.Lock()
		switch {
		case p.err != nil:
			p.mu.Unlock()
			return 0, p.err
		case p.closed:
			p.mu.Unlock()
			return 0, net.ErrClosed
		case len(p.chunks) > 0 && open:
			c := &p.chunks[0]
			if wait := time.Until(c.arrives); wait > 0 {
				timer = time.NewTimer(wait)
				arrival = timer.C
				break
			}
			k := copy(b, c.b)
			if c.b = c.b[k:]; len(c.b) == 0 {
				p.chunks = p.chunks[1:]
			}
			p.size -= k
			close(p.changed)
			p.changed = make(chan struct{})
			p.mu.Unlock()
			return k, nil
		case p.eof && open && len(p.chunks) == 0:
			p.mu.Unlock()
			return 0, io.EOF
		}
		changed := p.changed
		p.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-healed:
		case <-arrival:
		case <-d.passed():
			err = os.ErrDeadlineExceeded
		}
		if timer != nil {
			timer.Stop()
		}
		if err != nil {
			return 0, err
		}
	}
}

// conn is one end of a stream.
type conn struct {
	n             *Net
	in, out       *pipe
	local, remote address
	rd, wd        *deadline
	once          sync.Once
}

func (n *Net) connect(local, remote string) (here, far *conn) {
	a, _, _ := net.SplitHostPort(local)
	b, _, _ := net.SplitHostPort(remote)
	there, back := newPipe(n, a, b), newPipe(n, b, a)
	n.mu.Lock()
	n.streams[there], n.streams[back] = struct{}{}, struct{}{}
	n.mu.Unlock()
	here = &conn{n: n, in: back, out: there, local: address(local), remote: address(remote), rd: newDeadline(), wd: newDeadline()}
	far = &conn{n: n, in: there, out: back, local: address(remote), remote: address(local), rd: newDeadline(), wd: newDeadline()}
	return here, far
}

func (c *conn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "sim", Source: c.local, Addr: c.remote, Err: err}
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b, c.rd)
	return n, c.wrap("read", err)
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b, c.wd)
	return n, c.wrap("write", err)
}

func (c *conn) Close() error {
	c.once.Do(func() {
		c.in.update(func() { c.in.closed = true })
		c.out.update(func() { c.out.eof = true })
		c.n.mu.Lock()
		delete(c.n.streams, c.in)
		c.n.mu.Unlock()
		c.rd.stop()
		c.wd.stop()
	})
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	c.rd.set(t)
	c.wd.set(t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.rd.set(t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.wd.set(t)
	return nil
}

// deadline is a moment that can be moved while somebody waits for it.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer   // guarded by mu
	ch    chan struct{} // guarded by mu; closed when it has passed
}

func newDeadline() *deadline { return &deadline{ch: make(chan struct{})} }

func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ch
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	select {
	case <-d.ch:
		d.ch = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	ch := d.ch
	if wait := time.Until(t); wait <= 0 {
		close(ch)
	} else {
		d.timer = time.AfterFunc(wait, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.ch == ch && d.timer != nil {
				d.timer = nil
				close(ch)
			}
		})
	}
}

func (d *deadline) stop() { d.set(time.Time{}) }
