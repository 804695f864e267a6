//go:build foreign

package faults

import (
	"context"
	"fmt"
	"strings"

	"github.com/strata-coord/strata/e2e/wire"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// wired is a member as a client on the wire sees it, in the form in which a history watches it. The tier that it embeds is nil: what
// these clients never ask for is not there.
type wired struct {
	tiers.Tier
	conn *wire.Conn
}

// decided is what the codes say after which it is known what became of a request.
var decided = map[jute.Code]error{
	jute.CodeNoNode: tiers.ErrNoNode, jute.CodeNodeExists: tiers.ErrNodeExists, jute.CodeNotEmpty: tiers.ErrNotEmpty,
	jute.CodeBadVersion: tiers.ErrBadVersion, jute.CodeSessionExpired: tiers.ErrSessionExpired,
	jute.CodeSystemError: tiers.ErrUnavailable, // no room: nothing was done
}

// failure is the error of a reply. A client can't tell "nothing was done" from "nobody knows": both are a lost connection.
func failure(r *wire.Reply) error {
	if r.Err != nil {
		return &tiers.UnknownOutcomeError{Cause: r.Err}
	}
	if err := decided[r.Code]; err != nil {
		return err
	}
	return &tiers.UnknownOutcomeError{Cause: fmt.Errorf("code %d", r.Code)}
}

// Submit implements tiers.Tier, for txns of one op.
func (w *wired) Submit(_ context.Context, txn tiers.Txn) *tiers.Pending {
	op := &txn.Ops[0]
	q := jute.NodeOp{Path: op.Path, Data: op.Data, Version: op.Version, Flags: int32(op.Mode)}
	switch op.Kind {
	case tiers.OpCreate:
		q.Op, q.ACL = jute.OpCreate2, open
	case tiers.OpSetData:
		q.Op = jute.OpSetData
	default:
		q.Op = jute.OpDelete
	}
	p := new(tiers.Pending)
	w.conn.Send(q.Op, q.Append(nil), func(r wire.Reply) {
		receipt := tiers.Receipt{Zxid: tiers.Zxid(r.Zxid), Results: make([]tiers.Result, 1)}
		if !r.OK() {
			p.Complete(receipt, failure(&r))
			return
		}
		d := jute.NewDecoder(r.Body)
		if q.Op == jute.OpCreate2 {
			receipt.Results[0].Path = d.String()
		}
		if q.Op != jute.OpDelete {
			receipt.Results[0].Stat = statOf(d)
		}
		if err := d.Err(); err != nil {
			p.Complete(tiers.Receipt{}, &tiers.UnknownOutcomeError{Cause: err})
			return
		}
		p.Complete(receipt, nil)
	})
	return p
}

var open = []jute.ACL{{Perms: int32(tiers.PermAll), Scheme: jute.NullString{S: "world", Valid: true}, ID: "anyone"}}

// Follow implements tiers.Tier, for data and children: requests of a connection are answered in their order.
func (w *wired) Follow(_ context.Context, q tiers.Query, _ *tiers.Pending) *tiers.Pending {
	o := jute.NodeOp{Op: jute.OpGetData, Path: q.Path}
	if q.Want == tiers.WantChildren {
		o.Op = jute.OpGetChildren2
	}
	p := new(tiers.Pending)
	w.conn.Send(o.Op, o.Append(nil), func(r wire.Reply) {
		view := tiers.View{Zxid: tiers.Zxid(r.Zxid)}
		if !r.OK() {
			p.Complete(tiers.Receipt{View: view}, failure(&r))
			return
		}
		d := jute.NewDecoder(r.Body)
		if o.Op == jute.OpGetData {
			view.Data = d.Buffer()
		} else {
			view.Children = d.Strings()
		}
		view.Stat = statOf(d)
		if err := d.Err(); err != nil {
			p.Complete(tiers.Receipt{}, &tiers.UnknownOutcomeError{Cause: err})
			return
		}
		p.Complete(tiers.Receipt{View: view}, nil)
	})
	return p
}

func statOf(d *jute.Decoder) tiers.Stat {
	var s jute.Stat
	_ = s.Decode(d) // the decoder keeps the error
	return tiers.Stat{
		Czxid: tiers.Zxid(s.Czxid), Mzxid: tiers.Zxid(s.Mzxid), Ctime: s.Ctime, Mtime: s.Mtime, Version: s.Version, Cversion: s.Cversion, Aversion: s.Aversion,
		EphemeralOwner: tiers.SessionID(s.EphemeralOwner), DataLength: s.DataLength, NumChildren: s.NumChildren, Pzxid: tiers.Zxid(s.Pzxid),
	}
}

// Contract implements tiers.Tier, with the default routes.
func (w *wired) Contract(path string) tiers.Contract {
	return tiers.Contract{Linearizable: !strings.HasPrefix(path, "/config/")}
}
