package zkcompat

import (
	"context"

	"github.com/strata-coord/strata/zkcompat/jute"
)

// dispatch acts on one request. It returns errOrderly after one that is the last.
func (c *conn) dispatch(body []byte) error {
	d := jute.NewDecoder(body)
	var h jute.RequestHeader
	if err := h.Decode(d); err != nil {
		return err
	}
	s := &slot{xid: h.Xid, op: h.Op, cost: len(body)}
	switch {
	case h.Op == jute.OpAuth:
		return c.auth(s, d)
	case h.Op == jute.OpSASL:
		return c.sasl(s, d)
	case !c.known():
		return c.refuseUnknown(s)
	}
	switch h.Op {
	case jute.OpPing:
		c.out.ping()
		return nil
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL, jute.OpDelete, jute.OpSetData, jute.OpSetACL, jute.OpCheck:
		return c.change(s, d)
	case jute.OpExists, jute.OpGetData, jute.OpGetChildren, jute.OpGetChildren2, jute.OpGetACL, jute.OpGetAllChildrenNumber:
		return c.look(s, d)
	case jute.OpGetEphemerals:
		return c.ephemerals(s, d)
	case jute.OpMulti:
		return c.multi(s, d)
	case jute.OpMultiRead:
		return c.multiRead(s, d)
	case jute.OpSync:
		return c.sync(s, d)
	case jute.OpSetWatches, jute.OpSetWatches2:
		return c.setWatches(s, d)
	case jute.OpAddWatch:
		return c.addWatch(s, d)
	case jute.OpCheckWatches, jute.OpRemoveWatches:
		return c.findWatches(s, d)
	case jute.OpWhoAmI:
		s.who = c.caller
		return c.reply(s, jute.CodeOK)
	case jute.OpCloseSession:
		return c.closeSession(s)
	case jute.OpCreateSession: // only ever sent between servers
		return c.reply(s, jute.CodeMarshallingError)
	case jute.OpDeleteContainer: // likewise
		return c.reply(s, jute.CodeBadArguments)
	case jute.OpReconfig:
		return c.reconfig(s, d)
	}
	c.srv.notes.unserved(h.Op, c.from(), c.session())
	s.zxid = zxidUnknown
	if err := c.reply(s, jute.CodeUnimplemented); err != nil {
		return err
	}
	return errOrderly
}

// garbled answers a request whose record can't be decoded.
func (c *conn) garbled(s *slot) error { return c.reply(s, jute.CodeMarshallingError) }

// closeSession ends the session once all that was asked before is answered. Nothing is read any more meanwhile.
func (c *conn) closeSession(s *slot) error {
	if !c.open(s) {
		return errGone
	}
	c.out.waitTurn(s)
	ctx, cancel := context.WithTimeout(c.srv.ctx, linger)
	defer cancel()
	r, err := c.srv.cfg.Sessions.Close(ctx, *c.lease.Load()).Wait(ctx)
	c.ended = err == nil
	c.answered(s, r, err)
	return errOrderly
}
