package zkcompat

import (
	"strings"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// look places a read of one znode.
func (c *conn) look(s *slot, d *jute.Decoder) error {
	q := jute.NodeOp{Op: s.op}
	if q.Decode(d) != nil {
		return c.garbled(s)
	}
	query := queryOf(&q)
	if q.Watch {
		query.Watch = &tiers.WatchSpec{Watcher: c, Scope: scopeOf(query.Want)}
		s.arm = c.arming(query.Path, query.Watch.Scope)
	}
	if !c.open(s) {
		return errGone
	}
	c.follow(query, func(r tiers.Receipt, err error) { c.answered(s, r, err) })
	return nil
}

// queryOf is the read that a request asks for. The empty path is the root's for reads.
func queryOf(q *jute.NodeOp) tiers.Query {
	query := tiers.Query{Path: rooted(q.Path)}
	switch q.Op {
	case jute.OpGetData:
		query.Want = tiers.WantData
	case jute.OpGetChildren, jute.OpGetChildren2:
		query.Want = tiers.WantChildren
	case jute.OpGetACL:
		query.Want = tiers.WantACL
	case jute.OpGetAllChildrenNumber:
		query.Want = tiers.WantDescendants
	default:
		query.Want = tiers.WantStat
	}
	return query
}

func rooted(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// scopeOf is what a watch covers that a read arms.
func scopeOf(w tiers.Want) tiers.Scope {
	if w == tiers.WantChildren {
		return tiers.ScopeChildren
	}
	return tiers.ScopeData
}

// ephemerals lists those of the connection's session whose paths begin with a prefix; with no prefix to speak of, all.
func (c *conn) ephemerals(s *slot, d *jute.Decoder) error {
	prefix := d.NullString().S
	if d.Err() != nil {
		return c.garbled(s)
	}
	if t := strings.TrimFunc(prefix, func(r rune) bool { return r <= ' ' }); t == "" || t == "/" {
		prefix = ""
	}
	if !c.open(s) {
		return errGone
	}
	c.follow(tiers.Query{Path: prefix, Want: tiers.WantEphemerals}, func(r tiers.Receipt, err error) { c.answered(s, r, err) })
	return nil
}

// multiRead places its parts as reads, each with an answer of its own. Their watch flags mean nothing.
func (c *conn) multiRead(s *slot, d *jute.Decoder) error {
	qs, err := d.Multi(jute.MultiReads)
	if err != nil {
		return c.garbled(s)
	}
	if len(qs) == 0 {
		return c.reply(s, jute.CodeOK)
	}
	s.parts, s.waiting = make([]part, len(qs)), len(qs)
	if !c.open(s) {
		return errGone
	}
	for i := range qs {
		p := &s.parts[i]
		p.op = qs[i].Op
		c.follow(queryOf(&qs[i]), func(r tiers.Receipt, err error) {
			p.view, p.err = r.View, err
			c.out.fillPart(s, max(r.Zxid, r.View.Zxid))
		})
	}
	return nil
}

// sync answers when what this member shows of the path's tier is as new as a strong read. The path is echoed, whatever it is.
func (c *conn) sync(s *slot, d *jute.Decoder) error {
	if s.path = d.NullString(); d.Err() != nil {
		return c.garbled(s)
	}
	if c.refuses(s.path.S) {
		return c.notReadOnly(s)
	}
	if !c.open(s) {
		return errGone
	}
	c.follow(tiers.Query{Path: rooted(s.path.S), Want: tiers.WantNothing, Fresh: true}, func(r tiers.Receipt, err error) { c.answered(s, r, err) })
	return nil
}
