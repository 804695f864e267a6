package zkcompat

import (
	"strings"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// appendEvent appends the frame of a watch event.
func appendEvent(b []byte, kind tiers.EventType, path string, zxid int64) []byte {
	start := len(b)
	h := jute.ReplyHeader{Xid: jute.XidEvent, Zxid: zxid}
	e := jute.WatcherEvent{Type: int32(kind), State: jute.SyncConnected, Path: path}
	return jute.EndFrame(e.Append(h.Append(jute.BeginFrame(b))), start)
}

// appendPing appends the answer to a ping, whose xid is always the same.
func appendPing(b []byte, zxid int64) []byte {
	start := len(b)
	h := jute.ReplyHeader{Xid: jute.XidPing, Zxid: zxid}
	return jute.EndFrame(h.Append(jute.BeginFrame(b)), start)
}

// appendReply appends the frame of a reply, behind the frames of the events that belong to it. seen is what the client has seen
// of the commit order, this reply included.
func (s *slot) appendReply(b []byte, seen int64) []byte {
	for _, e := range s.late {
		if e.kind != 0 {
			b = appendEvent(b, e.kind, e.path, -1)
		}
	}
	start := len(b)
	h := jute.ReplyHeader{Xid: s.xid, Zxid: seen, Code: s.outcome()}
	switch s.zxid {
	case zxidNone:
		h.Zxid = 0
	case zxidUnknown:
		h.Zxid = -1
	case zxidOrdinary:
	}
	b = h.Append(jute.BeginFrame(b))
	switch {
	case h.Code == jute.CodeOK:
		b = s.appendRecord(b)
	case s.op == jute.OpSASL:
		b = jute.AppendBuffer(b, nil) // clients in the middle of SASL decode a token whatever the code is
	}
	return jute.EndFrame(b, start)
}

// outcome is the code in the reply's header. A multi fails in its parts, unless it failed as a whole.
func (s *slot) outcome() jute.Code {
	if s.err == nil {
		return s.code
	}
	c := codeOf(s.err)
	if s.op == jute.OpMulti && len(s.ops) > 0 && len(s.receipt.Results) == len(s.ops) && !ofWhole(c) {
		return jute.CodeOK
	}
	return c
}

// appendRecord appends what follows the header of a successful reply.
func (s *slot) appendRecord(b []byte) []byte {
	v := &s.receipt.View
	switch s.op {
	case jute.OpCreate:
		return jute.AppendString(b, s.result(0).Path)
	case jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
		return appendStat(jute.AppendString(b, s.result(0).Path), &s.result(0).Stat)
	case jute.OpSetData, jute.OpSetACL:
		return appendStat(b, &s.result(0).Stat)
	case jute.OpExists:
		return appendStat(b, &v.Stat)
	case jute.OpGetData, jute.OpReconfig:
		return appendStat(jute.AppendBuffer(b, v.Data), &v.Stat)
	case jute.OpGetChildren, jute.OpGetEphemerals:
		return appendChildren(b, v.Children)
	case jute.OpGetChildren2:
		return appendStat(appendChildren(b, v.Children), &v.Stat)
	case jute.OpGetACL:
		return appendStat(jute.AppendACLs(b, wireACL(v.ACL)), &v.Stat)
	case jute.OpGetAllChildrenNumber:
		return jute.AppendInt(b, v.Count)
	case jute.OpSync:
		return jute.AppendNullString(b, s.path)
	case jute.OpMulti:
		return s.appendMulti(b)
	case jute.OpMultiRead:
		return s.appendMultiRead(b)
	case jute.OpAddWatch:
		return jute.AppendInt(b, 0)
	case jute.OpSASL:
		return jute.AppendBuffer(b, s.token)
	case jute.OpWhoAmI:
		b = jute.AppendInt(b, int32(len(s.who)))
		for _, id := range s.who {
			user := id.ID
			if id.Scheme == "digest" {
				user, _, _ = strings.Cut(user, ":")
			}
			b = jute.AppendString(jute.AppendString(b, id.Scheme), user)
		}
		return b
	}
	return b
}

// appendChildren appends a vector that is never null.
func appendChildren(b []byte, names []string) []byte {
	b = jute.AppendInt(b, int32(len(names)))
	for _, n := range names {
		b = jute.AppendString(b, n)
	}
	return b
}

func appendStat(b []byte, s *tiers.Stat) []byte {
	w := jute.Stat{
		Czxid: int64(s.Czxid), Mzxid: int64(s.Mzxid), Ctime: s.Ctime, Mtime: s.Mtime,
		Version: s.Version, Cversion: s.Cversion, Aversion: s.Aversion, EphemeralOwner: int64(s.EphemeralOwner),
		DataLength: s.DataLength, NumChildren: s.NumChildren, Pzxid: int64(s.Pzxid),
	}
	return w.Append(b)
}

func (s *slot) appendMulti(b []byte) []byte {
	for i, op := range s.ops {
		r := s.result(i)
		if s.err != nil {
			b = appendFailure(b, codeOf(r.Err))
			continue
		}
		switch op {
		case jute.OpCreate:
			b = jute.AppendString(appendPart(b, op), r.Path)
		case jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
			b = appendStat(jute.AppendString(appendPart(b, jute.OpCreate2), r.Path), &r.Stat)
		case jute.OpSetData:
			b = appendStat(appendPart(b, op), &r.Stat)
		default: // delete, check: nothing to tell
			b = appendPart(b, op)
		}
	}
	return jute.MultiEnd.Append(b)
}

func (s *slot) appendMultiRead(b []byte) []byte {
	for i := range s.parts {
		p := &s.parts[i]
		switch {
		case p.err != nil:
			b = appendFailure(b, codeOf(p.err))
		case p.op == jute.OpGetData:
			b = appendStat(jute.AppendBuffer(appendPart(b, p.op), p.view.Data), &p.view.Stat)
		default:
			b = appendChildren(appendPart(b, p.op), p.view.Children)
		}
	}
	return jute.MultiEnd.Append(b)
}

func appendPart(b []byte, op jute.Opcode) []byte {
	h := jute.MultiHeader{Op: op}
	return h.Append(b)
}

func appendFailure(b []byte, c jute.Code) []byte {
	h := jute.MultiHeader{Op: jute.OpError, Code: c}
	return jute.AppendInt(h.Append(b), int32(c))
}

// wireACL is never nil, as a reply has no null list.
func wireACL(list []tiers.ACL) []jute.ACL {
	out := make([]jute.ACL, len(list))
	for i, e := range list {
		out[i] = jute.ACL{Perms: int32(e.Perms), Scheme: jute.NullString{S: e.Who.Scheme, Valid: true}, ID: e.Who.ID}
	}
	return out
}

// storedACL is the list of a request; nil stays nil. A null scheme, and one that is not offered here, becomes an empty one, which no
// tier accepts: the request is refused for it at its place.
func (s *Server) storedACL(list []jute.ACL) []tiers.ACL {
	if list == nil {
		return nil
	}
	out := make([]tiers.ACL, len(list))
	for i, e := range list {
		out[i] = tiers.ACL{Perms: tiers.Perm(e.Perms), Who: tiers.Identity{Scheme: e.Scheme.S, ID: e.ID}}
		if !s.cfg.offers(e.Scheme.S) {
			out[i].Who.Scheme = ""
		}
	}
	return out
}
