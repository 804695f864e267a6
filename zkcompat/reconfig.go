package zkcompat

import (
	"errors"
	"fmt"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// errElsewhere ends the connections of a member that serves nobody any more.
var errElsewhere = errors.New("this member is no part of the cluster: clients have to look for another one")

// reconfig hands a change of the membership to whoever can do it. The connection goes on meanwhile: pings are answered, and requests that
// come later wait for it like for any other.
func (c *conn) reconfig(s *slot, d *jute.Decoder) error {
	var q jute.ReconfigRequest
	if q.Decode(d) != nil {
		return c.garbled(s)
	}
	switch {
	case c.refuses("/"):
		return c.notReadOnly(s)
	case c.srv.cfg.Reconfig == nil:
		return c.reply(s, jute.CodeReconfigDisabled)
	}
	if !c.open(s) {
		return errGone
	}
	r := tiers.Reconfig{
		Session: c.session(), Caller: c.caller, Joining: q.Joining.S, Leaving: q.Leaving.S,
		Whole: q.Members.Valid, Members: q.Members.S, Version: q.Version,
	}
	before, p := c.last, new(tiers.Pending)
	c.last = p // what is read behind it sees it
	p.Then(func(r tiers.Receipt, err error) { c.answered(s, r, err) })
	c.srv.work.Go(func() { p.Complete(c.srv.reconfigure(before, r)) })
	return nil
}

// reconfigure waits for the request before it, then for the change.
func (s *Server) reconfigure(before *tiers.Pending, r tiers.Reconfig) (tiers.Receipt, error) {
	if before != nil {
		select {
		case <-before.Done():
		case <-s.ctx.Done():
			return tiers.Receipt{}, &tiers.UnknownOutcomeError{Cause: errLeaving}
		}
	}
	v, err := s.cfg.Reconfig(s.ctx, r)
	if err != nil {
		s.cfg.Logger.Warn("a reconfiguration was not done", "joining", r.Joining, "leaving", r.Leaving, "members", r.Members, "session", r.Session.String(), "err", err)
	}
	return tiers.Receipt{Zxid: v.Zxid, View: v}, err
}

// gone tells why the member serves nobody any more.
func (s *Server) gone() error {
	if s.cfg.Gone == nil {
		return nil
	}
	if err := s.cfg.Gone(); err != nil {
		return fmt.Errorf("%w: %w", errElsewhere, err)
	}
	return nil
}

// goneInterval is how often a server looks whether its clients have to go.
const goneInterval = 100 * time.Millisecond

// sendAway ends the sessions' connections, in order, of a member that serves nobody any more: a client then asks another member what it
// wants next. Who only asks a four-letter word is answered.
func (s *Server) sendAway() {
	tick := time.NewTicker(goneInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		if s.gone() == nil {
			continue
		}
		for _, c := range s.connections() {
			if c.lease.Load() != nil {
				c.leave()
			}
		}
	}
}
