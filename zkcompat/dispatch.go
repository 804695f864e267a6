package zkcompat

import (
	"context"
	"fmt"

	"github.com/strata-coord/strata/tiers"
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
	case jute.OpAuth:
		return c.auth(s, d)
	case jute.OpSASL:
		return c.refuseAuth(s, "sasl")
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
		if c.refuses("/") {
			return c.notReadOnly(s)
		}
		return c.reply(s, jute.CodeReconfigDisabled)
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

// auth adds a credential, for the requests from here on.
func (c *conn) auth(s *slot, d *jute.Decoder) error {
	var q jute.AuthRequest
	if err := q.Decode(d); err != nil {
		return fmt.Errorf("%w: a garbled auth: %w", errOrderly, err) // the one request without an answer then, as in ZooKeeper
	}
	switch {
	case q.Scheme == "digest" && q.Auth != nil && len(c.caller) < maxIdentities:
		id := digestOf(q.Auth)
		c.addIdentity(id)
		if super := c.srv.cfg.SuperDigest; super != "" && id.ID == super {
			c.addIdentity(tiers.Identity{Scheme: "super"})
		}
	case q.Scheme == "ip": // the address is an identity already
	default:
		return c.refuseAuth(s, q.Scheme)
	}
	s.zxid = zxidNone
	return c.reply(s, jute.CodeOK)
}

// maxIdentities bounds the credentials of a connection.
const maxIdentities = 256

// refuseAuth answers that the client is not who it says, and ends the connection.
func (c *conn) refuseAuth(s *slot, scheme string) error {
	c.srv.totals.authFailures.Add(1)
	if len(scheme) > 32 {
		scheme = scheme[:32]
	}
	if c.srv.notes.due("auth", scheme) {
		c.srv.cfg.Logger.Warn("closing the connection after an authentication that failed: digest and ip are the schemes that are served",
			"scheme", scheme, "client", c.from(), "session", c.session().String())
	}
	s.zxid = zxidNone
	if err := c.reply(s, jute.CodeAuthFailed); err != nil {
		return err
	}
	return errOrderly
}

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
