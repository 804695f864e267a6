package zkcompat

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// catchUp is how long a client that has seen more than this member waits for it, before it is sent to try another.
const catchUp = 2 * time.Second

// greet does what comes before the first request: it answers a four-letter word, or gives the client its session.
// reader tells that requests may follow.
func (c *conn) greet() (reader bool, err error) {
	if err := c.nc.SetDeadline(c.since.Add(c.srv.cfg.HandshakeTimeout)); err != nil {
		return false, err
	}
	if c.leaving.Load() { // said before the deadline was set
		return false, errLeaving
	}
	if err := c.wrap(); err != nil {
		return false, err
	}
	var head [4]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return false, err
	}
	if answer, ok := c.srv.word(string(head[:]), c); ok {
		_, err := c.rw.Write(answer)
		c.hangUp()
		return false, err
	}
	n := int(int32(binary.BigEndian.Uint32(head[:])))
	if n < 0 || n > c.srv.cfg.MaxFrame {
		return false, fmt.Errorf("%w: %d", errFrame, n)
	}
	// What a stranger announces is not allocated before it is there.
	body, err := io.ReadAll(io.LimitReader(c.r, int64(n)))
	if err != nil {
		return false, err
	}
	var q jute.ConnectRequest
	if err := q.Decode(jute.NewDecoder(body)); err != nil {
		return false, fmt.Errorf("connect request: %w", err)
	}
	c.readOnly = q.ReadOnly
	lease, err := c.admit(&q)
	if err != nil && !errors.Is(err, tiers.ErrBadPassword) && !errors.Is(err, tiers.ErrSessionExpired) {
		return false, err
	}
	answer := jute.ConnectResponse{HasReadOnly: q.HasReadOnly}
	if err == nil {
		answer.Timeout, answer.SessionID, answer.Password = int32(lease.Timeout/time.Millisecond), int64(lease.ID), lease.Password
		answer.ReadOnly = c.readOnly && c.srv.cfg.ReadOnly()
	}
	_, werr := c.rw.Write(jute.EndFrame(answer.Append(jute.BeginFrame(nil)), 0))
	c.srv.totals.received.Add(1)
	c.srv.totals.sent.Add(1)
	if err != nil {
		c.hangUp()
		return false, err
	}
	if werr == nil {
		werr = c.nc.SetDeadline(time.Time{})
	}
	// Who wants the reader to stop has said so before waking it, so nothing is lost by the deadline's end.
	if werr == nil && c.leaving.Load() {
		werr = errLeaving
	}
	if werr == nil {
		werr = c.out.deadWith()
	}
	if werr != nil {
		c.retire()
		return false, werr
	}
	return true, nil
}

// admit opens the session, or takes it over.
func (c *conn) admit(q *jute.ConnectRequest) (*tiers.Lease, error) {
	if err := c.srv.cfg.Ready(); err != nil {
		return nil, fmt.Errorf("not ready: %w", err)
	}
	if err := c.unservable(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadline(c.srv.ctx, c.since.Add(c.srv.cfg.HandshakeTimeout))
	defer cancel()
	applied, err := c.srv.reached(ctx, tiers.Zxid(q.LastZxidSeen))
	if err != nil {
		return nil, fmt.Errorf("the client has seen more than this member: %w", err)
	}
	c.applied = applied
	c.out.start(applied)
	timeout := time.Duration(q.Timeout) * time.Millisecond
	var lease tiers.Lease
	if q.SessionID == 0 {
		lease, err = c.srv.cfg.Sessions.Open(ctx, timeout, c.cut)
	} else {
		lease, err = c.attach(ctx, tiers.SessionID(q.SessionID), q.Password, timeout)
	}
	if err != nil {
		return nil, err
	}
	c.lease.Store(&lease)
	return &lease, nil
}

// reached waits until this member has applied z, and tells what it has applied.
func (s *Server) reached(ctx context.Context, z tiers.Zxid) (tiers.Zxid, error) {
	applied := s.cfg.Applied()
	if applied >= z {
		return applied, nil
	}
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	v, err := s.cfg.Tier.Read(ctx, tiers.Query{Path: "/", Want: tiers.WantNothing, AtLeast: z})
	if err == nil && v.Zxid < z {
		err = fmt.Errorf("%w: at %v, not %v", tiers.ErrStale, v.Zxid, z)
	}
	return v.Zxid, err
}

// hangUp ends the connection so that what was written arrives although unread bytes may have come in.
func (c *conn) hangUp() {
	if c.closeWrite() == nil && c.nc.SetReadDeadline(time.Now().Add(farewell)) == nil {
		_, _ = io.Copy(io.Discard, c.nc)
	}
}
