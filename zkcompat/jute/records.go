package jute

import "fmt"

// PasswordLen is the length of every session password.
const PasswordLen = 16

// ConnectRequest opens a connection: the one frame of a client without a header.
type ConnectRequest struct {
	ProtocolVersion int32
	LastZxidSeen    int64
	Timeout         int32 // ms
	SessionID       int64 // 0: a new session
	Password        []byte
	HasReadOnly     bool // the trailing byte is there; old clients leave it out
	ReadOnly        bool
}

func (r *ConnectRequest) Decode(d *Decoder) error {
	r.ProtocolVersion, r.LastZxidSeen, r.Timeout, r.SessionID, r.Password = d.Int(), d.Long(), d.Int(), d.Long(), d.Buffer()
	if r.HasReadOnly = d.err == nil && d.Len() > 0; r.HasReadOnly {
		r.ReadOnly = d.Bool()
	}
	return d.err
}

func (r *ConnectRequest) Append(b []byte) []byte {
	b = AppendInt(b, r.ProtocolVersion)
	b = AppendLong(b, r.LastZxidSeen)
	b = AppendInt(b, r.Timeout)
	b = AppendLong(b, r.SessionID)
	b = AppendBuffer(b, r.Password)
	if r.HasReadOnly {
		b = AppendBool(b, r.ReadOnly)
	}
	return b
}

// ConnectResponse answers it. The zero value (but for HasReadOnly) says that the session is not alive.
type ConnectResponse struct {
	ProtocolVersion int32
	Timeout         int32 // ms
	SessionID       int64
	Password        [PasswordLen]byte
	HasReadOnly     bool // as in the request: clients count on the exact length
	ReadOnly        bool
}

func (r *ConnectResponse) Append(b []byte) []byte {
	b = AppendInt(b, r.ProtocolVersion)
	b = AppendInt(b, r.Timeout)
	b = AppendLong(b, r.SessionID)
	b = AppendBuffer(b, r.Password[:])
	if r.HasReadOnly {
		b = AppendBool(b, r.ReadOnly)
	}
	return b
}

func (r *ConnectResponse) Decode(d *Decoder) error {
	r.ProtocolVersion, r.Timeout, r.SessionID = d.Int(), d.Int(), d.Long()
	if p := d.Buffer(); d.err == nil && copy(r.Password[:], p) != len(p) {
		d.fail(fmt.Errorf("%w: a password of %d bytes", ErrLength, len(p)))
	}
	if r.HasReadOnly = d.err == nil && d.Len() > 0; r.HasReadOnly {
		r.ReadOnly = d.Bool()
	}
	return d.err
}

// RequestHeader begins every other request.
type RequestHeader struct {
	Xid int32
	Op  Opcode
}

// RequestHeaderLen is its length: a shorter body is no request.
const RequestHeaderLen = 8

func (h *RequestHeader) Decode(d *Decoder) error {
	h.Xid, h.Op = d.Int(), Opcode(d.Int())
	return d.err
}

func (h *RequestHeader) Append(b []byte) []byte { return AppendInt(AppendInt(b, h.Xid), int32(h.Op)) }

// ReplyHeader begins every reply and every event.
type ReplyHeader struct {
	Xid  int32
	Zxid int64
	Code Code
}

func (h *ReplyHeader) Decode(d *Decoder) error {
	h.Xid, h.Zxid, h.Code = d.Int(), d.Long(), Code(d.Int())
	return d.err
}

func (h *ReplyHeader) Append(b []byte) []byte {
	return AppendInt(AppendLong(AppendInt(b, h.Xid), h.Zxid), int32(h.Code))
}

// Stat is a znode's metadata.
type Stat struct {
	Czxid, Mzxid, Ctime, Mtime  int64
	Version, Cversion, Aversion int32
	EphemeralOwner              int64
	DataLength, NumChildren     int32
	Pzxid                       int64
}

func (s *Stat) Append(b []byte) []byte {
	b = AppendLong(AppendLong(AppendLong(AppendLong(b, s.Czxid), s.Mzxid), s.Ctime), s.Mtime)
	b = AppendInt(AppendInt(AppendInt(b, s.Version), s.Cversion), s.Aversion)
	b = AppendLong(b, s.EphemeralOwner)
	b = AppendInt(AppendInt(b, s.DataLength), s.NumChildren)
	return AppendLong(b, s.Pzxid)
}

func (s *Stat) Decode(d *Decoder) error {
	s.Czxid, s.Mzxid, s.Ctime, s.Mtime = d.Long(), d.Long(), d.Long(), d.Long()
	s.Version, s.Cversion, s.Aversion = d.Int(), d.Int(), d.Int()
	s.EphemeralOwner = d.Long()
	s.DataLength, s.NumChildren = d.Int(), d.Int()
	s.Pzxid = d.Long()
	return d.err
}

// ACL is one entry of an access control list.
type ACL struct {
	Perms  int32
	Scheme NullString
	ID     string
}

// aclLen is the least length of an entry: perms and two lengths.
const aclLen = 12

// ACLs reads a vector of entries; nil for null.
func (d *Decoder) ACLs() []ACL {
	n := d.count(aclLen)
	if n < 0 {
		return nil
	}
	vs := make([]ACL, n)
	for i := range vs {
		vs[i] = ACL{Perms: d.Int(), Scheme: d.NullString()}
		if id := d.NullString(); id.Valid || vs[i].Scheme.S == "auth" { // there, nobody looks at it
			vs[i].ID = id.S
		} else {
			d.fail(ErrNull)
		}
	}
	if d.err != nil {
		return nil
	}
	return vs
}

// AppendACLs appends a vector of entries; nil is null.
func AppendACLs(b []byte, vs []ACL) []byte {
	if vs == nil {
		return AppendInt(b, -1)
	}
	b = AppendInt(b, int32(len(vs)))
	for i := range vs {
		b = AppendInt(b, vs[i].Perms)
		b = AppendNullString(b, vs[i].Scheme)
		b = AppendString(b, vs[i].ID)
	}
	return b
}

// SyncConnected is the state in every event that a server sends.
const SyncConnected = 3

// WatcherEvent tells of one change.
type WatcherEvent struct {
	Type  int32
	State int32
	Path  string
}

func (e *WatcherEvent) Append(b []byte) []byte {
	return AppendString(AppendInt(AppendInt(b, e.Type), e.State), e.Path)
}

func (e *WatcherEvent) Decode(d *Decoder) error {
	e.Type, e.State, e.Path = d.Int(), d.Int(), d.String()
	return d.err
}
