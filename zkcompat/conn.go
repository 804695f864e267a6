package zkcompat

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/digestmd5"
	"github.com/strata-coord/strata/zkcompat/jute"
)

const (
	smallFrame = 1 << 10 // up to here bodies share one buffer
	largeFrame = 1 << 20 // beyond, a body's memory grows as it arrives: what is only announced costs nothing
	// What an idle writer keeps at most.
	keptBytes, keptItems = 64 << 10, 256
	// linger is how long a connection that ends in order may take to send its last replies, and farewell how long a client
	// may take to hang up after that.
	linger   = 10 * time.Second
	farewell = time.Second
)

// conn is one client's connection. Its reader (serve) owns it and the fields without a remark.
type conn struct {
	srv    *Server
	nc     net.Conn // its TCP connection: for deadlines and its end
	remote netip.Addr
	since  time.Time
	out    *output

	wrapping wrapping
	// What requests and replies go through: nc, or the TLS in it. The handshake decides; constant from then on.
	rw  io.ReadWriter
	r   *bufio.Reader // of rw
	tls *tls.Conn     // nil: plain

	caller   []tiers.Identity    // as out.caller
	last     *tiers.Pending      // the newest request to a tier, which the next read follows
	exchange *digestmd5.Exchange // of SASL; nil before the first
	scratch  []byte              // a small frame's body
	borrowed bool                // the body in hand is in scratch

	// readOnly: the client asked at the handshake to be served in read-only mode too. Constant from then on.
	readOnly bool

	applied   tiers.Zxid                  // by this member, at the handshake; constant from then on
	lease     atomic.Pointer[tiers.Lease] // nil before the handshake
	ended     bool                        // the session was closed, or belongs to somebody else
	encrypted atomic.Bool                 // tls is set; for those who don't own it
	// leaving: the server closes; to be set before the reader is woken.
	leaving atomic.Bool
	written chan struct{} // closed when the writer has ended
}

var _ tiers.Watcher = (*conn)(nil)

func newConn(s *Server, nc net.Conn, remote netip.Addr, w wrapping) *conn {
	c := &conn{
		srv: s, nc: nc, wrapping: w, rw: nc, r: bufio.NewReaderSize(nc, 8<<10), remote: remote, since: time.Now(),
		caller: []tiers.Identity{{Scheme: "ip", ID: remote.String()}}, written: make(chan struct{}),
	}
	c.out = newOutput(c.caller)
	c.out.replicated = func(path string) bool { return s.cfg.Tier.Contract(path).ReplicatedZxids }
	return c
}

// from is the client's address in logs.
func (c *conn) from() string { return c.nc.RemoteAddr().String() }

func (c *conn) session() tiers.SessionID {
	if l := c.lease.Load(); l != nil {
		return l.ID
	}
	return 0
}

// serve is the reader: it runs until the connection is over and everything of it is gone.
func (c *conn) serve() {
	reader, err := c.greet()
	if err == nil && reader {
		c.srv.work.Go(c.write)
		err = c.read()
		if errors.Is(err, errOrderly) || c.leaving.Load() && c.out.deadWith() == nil {
			c.drain()
		}
		c.out.kill(err)
		c.nc.Close()
		<-c.written
		c.retire()
	}
	c.out.kill(errGone)
	c.nc.Close()
	why := c.out.deadWith()
	if err == nil {
		err = why
	}
	c.srv.cfg.Logger.Debug("connection ends", "client", c.from(), "session", c.session().String(), "why", err)
}

// retire takes back what the connection has left with the tiers. Reads that are still to be answered do the same: see answered.
func (c *conn) retire() {
	c.srv.cfg.Tier.Unwatch(c, "", tiers.ScopeAny)
	if l := c.lease.Load(); l != nil && !c.ended {
		c.srv.cfg.Sessions.Detach(*l)
	}
	c.out.mu.Lock()
	c.srv.totals.outstanding.Add(-int64(len(c.out.slots)))
	c.out.slots, c.out.events = nil, nil
	c.out.mu.Unlock()
}

// errOrderly ends the reader after a request that is the last one: what was asked before is still to be answered.
var errOrderly = errors.New("the last request was read")

// read takes frames until the connection is over.
func (c *conn) read() error {
	for {
		body, err := c.frame()
		if err == nil {
			err = c.unservable()
		}
		if err != nil {
			return err
		}
		c.srv.cfg.Sessions.Touch(c.session())
		c.srv.totals.received.Add(1)
		if err := c.dispatch(body); err != nil {
			return err
		}
	}
}

// frame reads one request's body, which is valid until the next call if c.borrowed.
func (c *conn) frame() ([]byte, error) {
	head, err := c.r.Peek(4)
	if err != nil {
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(head)))
	if limit, err := c.longest(n); n < jute.RequestHeaderLen || err != nil || n > limit {
		return nil, errors.Join(fmt.Errorf("%w: %d", errFrame, n), err)
	}
	if _, err := c.r.Discard(4); err != nil {
		return nil, err
	}
	return c.body(n)
}

// longest is how long the next request may be. Only for one of n bytes that is too long for the others, it looks which one it is.
func (c *conn) longest(n int) (int, error) {
	limit := c.srv.cfg.MaxFrame
	if n <= limit || n > limit*WatchesFactor {
		return limit, nil
	}
	head, err := c.r.Peek(4 + jute.RequestHeaderLen)
	if err != nil {
		return limit, err
	}
	var h jute.RequestHeader
	if err := h.Decode(jute.NewDecoder(head[4:])); err != nil {
		return limit, err
	}
	if h.Op == jute.OpSetWatches || h.Op == jute.OpSetWatches2 {
		limit *= WatchesFactor
	}
	return limit, nil
}

func (c *conn) body(n int) ([]byte, error) {
	if n > largeFrame {
		c.borrowed = false
		var b bytes.Buffer
		_, err := io.CopyN(&b, c.r, int64(n))
		return b.Bytes(), err
	}
	var b []byte
	if c.borrowed = n <= smallFrame; c.borrowed {
		if c.scratch == nil {
			c.scratch = make([]byte, smallFrame)
		}
		b = c.scratch[:n]
	} else {
		b = make([]byte, n)
	}
	_, err := io.ReadFull(c.r, b)
	return b, err
}

// keep is what of a body may outlive it.
func (c *conn) keep(b []byte) []byte {
	if c.borrowed && b != nil {
		return append([]byte{}, b...)
	}
	return b
}

// write is the writer.
func (c *conn) write() {
	defer close(c.written)
	var batch []item
	var buf []byte
	seen := int64(c.applied) // the greatest zxid in a reply
	for {
		batch = c.out.take(batch[:0])
		if len(batch) == 0 {
			break
		}
		buf = buf[:0]
		for i := range batch {
			buf, seen = c.append(buf, &batch[i], seen)
		}
		c.srv.totals.sent.Add(uint64(len(batch)))
		c.out.wrote(len(batch), seen)
		clear(batch)
		if _, err := c.rw.Write(buf); err != nil {
			c.out.kill(fmt.Errorf("%w: %w", errGone, err))
			break
		}
		if cap(buf) > keptBytes || cap(batch) > keptItems {
			buf, batch = nil, nil
		}
	}
	c.out.kill(errSent)
	c.wake()
}

func (c *conn) append(b []byte, it *item, seen int64) ([]byte, int64) {
	s := it.slot
	switch {
	case s == nil && it.event.Type == 0:
		return appendPing(b, seen), seen
	case s == nil:
		return appendEvent(b, it.event.Type, it.event.Path, int64(it.event.Zxid)), seen
	}
	if s.zxid == zxidOrdinary {
		seen = max(seen, int64(s.position()))
	}
	c.srv.notes.failure(s.op, s.err, c.from(), c.session())
	start := len(b)
	b = s.appendReply(b, seen)
	c.srv.totals.outstanding.Add(-1)
	c.srv.totals.reply(s.op, time.Since(s.at), len(b)-start)
	return b, seen
}

// wake makes the reader look whether the connection is over.
func (c *conn) wake() { _ = c.nc.SetReadDeadline(time.Unix(1, 0)) } // fails only on a closed connection: that wakes it too

// abort ends the connection from outside, without waiting.
func (c *conn) abort(why error) {
	c.out.kill(why)
	c.wake()
}

// Notify sends an event.
func (c *conn) Notify(ev tiers.Event) {
	if c.out.notify(ev) {
		c.srv.cfg.Logger.Warn("closing a connection whose client does not take its events: it will re-read what it watches",
			"client", c.from(), "backlog_bytes", maxEventBytes)
		c.abort(errTakenTooSlow)
	}
}

// cut ends the connection because its session is no longer its own.
func (c *conn) cut(why error) {
	c.abort(why)
}

// leave ends the connection in order, from outside.
func (c *conn) leave() {
	c.leaving.Store(true)
	c.out.leave()
	c.wake()
}

// drain sends what is still to be sent, hangs up, and gives the client a moment to do the same: a socket closed with unread
// bytes in it would take the last replies back.
func (c *conn) drain() {
	limit := linger
	if c.leaving.Load() {
		limit = farewell
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(limit)) // fails only on a closed connection
	late := time.AfterFunc(limit, func() { c.out.kill(errLingered) })
	c.out.finish()
	<-c.written
	late.Stop()
	if c.leaving.Load() || c.closeWrite() != nil || c.nc.SetReadDeadline(time.Now().Add(farewell)) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, c.nc) // whatever comes is too late
}

// submit hands txn to the tier; the answer fills s.
func (c *conn) submit(s *slot, ops ...tiers.Op) error {
	if !c.open(s) {
		return errGone
	}
	p := c.srv.cfg.Tier.Submit(context.Background(), tiers.Txn{Session: c.session(), Request: requestOf(s.xid), Caller: c.caller, Ops: ops})
	c.last = p
	p.Then(func(r tiers.Receipt, err error) { c.answered(s, r, err) })
	return nil
}

// requestOf lets people ask what became of a request, by its session and xid.
func requestOf(xid int32) tiers.RequestID {
	if xid <= 0 {
		return 0 // those that the protocol has taken
	}
	return tiers.RequestID(xid)
}

// follow places a read behind what this connection asked before.
func (c *conn) follow(q tiers.Query, then func(tiers.Receipt, error)) {
	after := c.last
	if !c.waits() {
		after = nil
	}
	q.Caller, q.Session, q.Local = c.caller, c.session(), c.readOnly
	c.last = c.srv.cfg.Tier.Follow(context.Background(), q, after)
	c.last.Then(then)
}

// waits tells whether the newest request to a tier still waits for its answer.
func (c *conn) waits() bool {
	if c.last == nil {
		return false
	}
	_, _, done := c.last.Result()
	return !done
}

// open gives s its place.
func (c *conn) open(s *slot) bool {
	s.at = time.Now()
	c.srv.totals.outstanding.Add(1)
	if !c.out.open(s) {
		c.srv.totals.outstanding.Add(-1)
		return false
	}
	return true
}

// answered fills s. It is called by whoever completes a Pending.
func (c *conn) answered(s *slot, r tiers.Receipt, err error) {
	alive := c.out.fill(s, func() { s.receipt, s.err, s.fatal = r, err, moved(err) })
	if !alive && s.arm.scope != 0 {
		c.srv.cfg.Tier.Unwatch(c, "", tiers.ScopeAny) // it was armed after the connection was taken down
	}
}

// reply answers at once, in its turn.
func (c *conn) reply(s *slot, code jute.Code) error {
	if !c.open(s) {
		return errGone
	}
	c.out.fill(s, func() { s.code, s.receipt.Zxid = code, s.floor })
	return nil
}
