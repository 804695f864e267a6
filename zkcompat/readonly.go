package zkcompat

import (
	"context"
	"errors"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// errMinority ends the connection of a client that can only be served with a majority.
var errMinority = errors.New("read-only mode: the client did not ask to be served without a majority")

// attach takes the session over; in read-only mode, for a client that knows of it, also one that only a majority could move.
func (c *conn) attach(ctx context.Context, id tiers.SessionID, password []byte, timeout time.Duration) (tiers.Lease, error) {
	l, err := c.srv.cfg.Sessions.Attach(ctx, id, password, timeout, c.cut)
	if table, ok := c.srv.cfg.Sessions.(tiers.ReadOnlySessions); ok && errors.Is(err, tiers.ErrUnavailable) && c.restricted() {
		return table.AttachReadOnly(ctx, id, password, timeout, c.cut)
	}
	return l, err
}

// restricted tells that the member is in read-only mode, and that the client knows of such a mode.
//
// Reads need not ask: their queries are Local, and the tiers know the mode. Txns that were under way when it began are not touched.
func (c *conn) restricted() bool { return c.readOnly && c.srv.cfg.ReadOnly() }

// refuses tells whether read-only mode refuses to write path: where a minority may write, it goes on.
func (c *conn) refuses(path string) bool {
	return c.restricted() && !c.srv.cfg.Tier.Contract(rooted(path)).MinorityWritable
}

// refusesMulti tells whether it refuses a multi of these parts; one without parts counts as one of the root.
func (c *conn) refusesMulti(parts []jute.NodeOp) bool {
	for i := range parts {
		if c.refuses(parts[i].Path) {
			return true
		}
	}
	return len(parts) == 0 && c.refuses("/")
}

// notReadOnly answers what read-only mode refuses.
func (c *conn) notReadOnly(s *slot) error { return c.reply(s, jute.CodeNotReadOnly) }

// unservable tells why the client has to look for another member: this one can do nothing for it.
func (c *conn) unservable() error {
	if c.srv.cfg.MajorityOnly && !c.readOnly && c.srv.cfg.ReadOnly() {
		return errMinority
	}
	return c.srv.gone()
}
