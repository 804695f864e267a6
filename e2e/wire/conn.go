package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/strata-coord/strata/zkcompat/jute"
)

var (
	// ErrExpired: the session that Dial was given has ended.
	ErrExpired = errors.New("the session has ended")
	// ErrLost: the connection ended before the reply; what became of the request is not known.
	ErrLost = errors.New("the connection is lost")
)

// maxReply bounds a reply, in bytes.
const maxReply = 64 << 20

// Dialer opens a TCP connection; it lets the caller choose where from.
type Dialer func(ctx context.Context, addr string) (net.Conn, error)

// Session is what a client keeps when it moves to another member.
type Session struct {
	ID       int64 // 0: a new one
	Password []byte
	Timeout  time.Duration // whole milliseconds
	Seen     int64         // the largest zxid of a reply
}

// Reply is the answer to a request.
type Reply struct {
	Zxid int64
	Code jute.Code
	Body []byte // what follows the header
	Err  error  // ErrLost: there is no answer
}

// OK tells whether the request was answered with success.
func (r *Reply) OK() bool { return r.Err == nil && r.Code == jute.CodeOK }

func (r *Reply) String() string {
	if r.Err != nil {
		return r.Err.Error()
	}
	return fmt.Sprintf("code %d, zxid %#x", r.Code, r.Zxid)
}

// Conn is a connection with a session. Its methods may be called concurrently.
type Conn struct {
	nc     net.Conn
	reader chan struct{} // closed when the goroutine that reads has ended

	mu      sync.Mutex
	session Session       // guarded by mu: Seen grows
	xid     int32         // guarded by mu; the last one
	waiting []func(Reply) // guarded by mu; in the order of the requests, which is that of the replies
	lost    error         // guarded by mu; set when the connection has ended
}

// Dial connects to a member, with a new session or that of s. Errors: ErrExpired, the network's.
func Dial(ctx context.Context, dial Dialer, addr string, s Session) (*Conn, error) {
	nc, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	c := &Conn{nc: nc, session: s, reader: make(chan struct{})}
	err = c.greet()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	go c.read()
	return c, nil
}

func (c *Conn) greet() error {
	q := jute.ConnectRequest{LastZxidSeen: c.session.Seen, Timeout: int32(c.session.Timeout.Milliseconds()), SessionID: c.session.ID,
		Password: c.session.Password, HasReadOnly: true}
	if q.Password == nil {
		q.Password = make([]byte, jute.PasswordLen)
	}
	if _, err := c.nc.Write(jute.EndFrame(q.Append(jute.BeginFrame(nil)), 0)); err != nil {
		return err
	}
	b, err := frame(c.nc)
	if err != nil {
		return err
	}
	var r jute.ConnectResponse
	if err := r.Decode(jute.NewDecoder(b)); err != nil {
		return err
	}
	if r.SessionID == 0 {
		return ErrExpired
	}
	c.session.ID, c.session.Password, c.session.Timeout = r.SessionID, r.Password[:], time.Duration(r.Timeout)*time.Millisecond
	return nil
}

func frame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxReply {
		return nil, fmt.Errorf("a reply of %d bytes", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

// read hands out replies until the connection ends.
func (c *Conn) read() {
	defer close(c.reader)
	in := bufio.NewReaderSize(c.nc, 64<<10)
	for {
		r, err := c.next(in)
		if err != nil {
			c.end(err)
			return
		}
		if then := c.take(r.Zxid); then != nil {
			then(r)
		}
	}
}

// next is the next reply; events are passed over.
func (c *Conn) next(in io.Reader) (Reply, error) {
	for {
		b, err := frame(in)
		if err != nil {
			return Reply{}, err
		}
		var h jute.ReplyHeader
		d := jute.NewDecoder(b)
		if err := h.Decode(d); err != nil {
			return Reply{}, err
		}
		if h.Xid != jute.XidEvent && h.Xid != jute.XidPing {
			return Reply{Zxid: h.Zxid, Code: h.Code, Body: b[len(b)-d.Len():]}, nil
		}
	}
}

func (c *Conn) take(zxid int64) func(Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session.Seen = max(c.session.Seen, zxid)
	if len(c.waiting) == 0 {
		return nil
	}
	then := c.waiting[0]
	c.waiting = c.waiting[1:]
	return then
}

// end answers everything that waits, once.
func (c *Conn) end(err error) {
	c.mu.Lock()
	if c.lost == nil {
		c.lost = fmt.Errorf("%w: %w", ErrLost, err)
	}
	lost, waiting := c.lost, c.waiting
	c.waiting = nil
	c.mu.Unlock()
	c.nc.Close()
	for _, then := range waiting {
		then(Reply{Err: lost})
	}
}

// Send sends a request and returns; then gets the reply, from the goroutine that reads, where it must not block.
func (c *Conn) Send(op jute.Opcode, record []byte, then func(Reply)) {
	c.mu.Lock()
	if c.lost != nil {
		err := c.lost
		c.mu.Unlock()
		then(Reply{Err: err})
		return
	}
	defer c.mu.Unlock()
	c.xid++
	h := jute.RequestHeader{Xid: c.xid, Op: op}
	c.waiting = append(c.waiting, then)
	if _, err := c.nc.Write(jute.EndFrame(append(h.Append(jute.BeginFrame(nil)), record...), 0)); err != nil {
		c.nc.Close() // the reader notices, and answers
	}
}

// Do sends a request about a znode and waits for the reply. When ctx ends first, the connection is closed.
func (c *Conn) Do(ctx context.Context, op jute.NodeOp) Reply {
	defer context.AfterFunc(ctx, func() { c.nc.Close() })()
	answer := make(chan Reply, 1)
	c.Send(op.Op, op.Append(nil), func(r Reply) { answer <- r })
	return <-answer
}

// Session is the session as of now.
func (c *Conn) Session() Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// Lost is nil while the connection lives.
func (c *Conn) Lost() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// Close ends the connection, not the session; all requests are answered when it returns.
func (c *Conn) Close() {
	c.nc.Close()
	<-c.reader
}
