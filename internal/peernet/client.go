package peernet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// DialTimeout bounds a dial between members. The first packet of a connection that is lost in a cut network is repeated after 1 s, 3 s, 7 s: what
// began in the cut would learn of its end late, so a new dial is better than a long one.
const DialTimeout = 1500 * time.Millisecond

// ErrClientClosed: the client was closed.
var ErrClientClosed = errors.New("peer client is closed")

// Client makes calls over one warm connection, many at a time, and dials again when it breaks. Methods may be called concurrently.
type Client struct {
	dial func(context.Context) (net.Conn, error)
	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	next    uint64    // guarded by mu; the next call's id
	stream  *stream   // guarded by mu; nil while there is no connection
	dialing bool      // guarded by mu
	queued  []request // guarded by mu; calls that wait for the dial, in order
	closed  bool      // guarded by mu
}

type request struct {
	call   uint64
	method byte
	body   []byte
	done   func([]byte, error)
}

// stream is one connection and the calls that wait on it.
type stream struct {
	c   net.Conn
	out *writer

	mu    sync.Mutex
	calls map[uint64]func([]byte, error) // guarded by mu; nil when the connection has ended
	err   error                          // guarded by mu; why it ended
}

// NewClient returns a client that connects at its first call.
func NewClient(dial func(context.Context) (net.Conn, error)) *Client {
	c := &Client{dial: dial}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// Go makes a call and returns at once. Calls are sent in the order of Go. done is called exactly once, without locks held,
// from another goroutine or, when the client is closed, from this one. Errors: *RemoteError; else the connection broke, or could
// not be made, and whether the call was handled is not known.
func (c *Client) Go(method byte, body []byte, done func([]byte, error)) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		done(nil, ErrClientClosed)
		return
	}
	c.next++
	r := request{call: c.next, method: method, body: body, done: done}
	if s := c.stream; s != nil {
		// Under mu, so that calls are sent in order. A full writer makes callers wait here: that is the back-pressure.
		ok := s.start(r)
		c.mu.Unlock()
		if !ok {
			done(nil, s.reason())
		}
		return
	}
	c.queued = append(c.queued, r)
	if !c.dialing {
		c.dialing = true
		c.work.Go(c.connect)
	}
	c.mu.Unlock()
}

// Call makes a call and waits for its answer, or until ctx ends.
func (c *Client) Call(ctx context.Context, method byte, body []byte) ([]byte, error) {
	type answer struct {
		body []byte
		err  error
	}
	ch := make(chan answer, 1)
	c.Go(method, body, func(b []byte, err error) { ch <- answer{b, err} })
	select {
	case a := <-ch:
		return a.body, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// connect dials and sends what has queued up, or fails it.
func (c *Client) connect() {
	ctx, cancel := context.WithTimeout(c.ctx, DialTimeout)
	conn, err := c.dial(ctx)
	cancel()
	c.mu.Lock()
	queued := c.queued
	c.queued, c.dialing = nil, false
	if err == nil && c.closed {
		err = errors.Join(ErrClientClosed, conn.Close())
	}
	if err != nil {
		c.mu.Unlock()
		for _, r := range queued {
			r.done(nil, err)
		}
		return
	}
	s := &stream{c: conn, out: newWriter(conn), calls: make(map[uint64]func([]byte, error))}
	c.stream = s
	var failed []request
	for _, r := range queued {
		if !s.start(r) {
			failed = append(failed, r)
		}
	}
	c.work.Go(func() { c.receive(s) })
	c.mu.Unlock()
	for _, r := range failed {
		r.done(nil, s.reason())
	}
}

// start registers and sends a call; false: the stream has ended and the call is not registered.
func (s *stream) start(r request) bool {
	s.mu.Lock()
	if s.calls == nil {
		s.mu.Unlock()
		return false
	}
	s.calls[r.call] = r.done
	s.mu.Unlock()
	s.out.send(frame{call: r.call, method: r.method, body: r.body}) // if it fails, the end of the stream answers
	return true
}

func (s *stream) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (c *Client) receive(s *stream) {
	in := bufio.NewReaderSize(s.c, 64<<10)
	for {
		f, err := readFrame(in)
		if err != nil {
			c.lost(s, fmt.Errorf("connection to %v is lost: %w", s.c.RemoteAddr(), err))
			return
		}
		s.mu.Lock()
		done := s.calls[f.call]
		delete(s.calls, f.call)
		s.mu.Unlock()
		switch {
		case done == nil:
		case f.method == replyOK:
			done(f.body, nil)
		default:
			done(nil, f.remoteError())
		}
	}
}

// lost ends a stream: its calls are answered, and the next one dials.
func (c *Client) lost(s *stream, err error) {
	s.c.Close()
	c.mu.Lock()
	if c.stream == s {
		c.stream = nil
	}
	c.mu.Unlock()
	s.mu.Lock()
	calls := s.calls
	s.calls, s.err = nil, err
	s.mu.Unlock()
	s.out.close()
	for _, done := range calls {
		done(nil, err)
	}
}

// Close breaks the connection; calls that wait are answered with an error. It waits for the client's goroutines.
func (c *Client) Close() error {
	c.stop()
	c.mu.Lock()
	c.closed = true
	if c.stream != nil {
		c.stream.c.Close()
	}
	c.mu.Unlock()
	c.work.Wait()
	return nil
}
