package jute

import "encoding/binary"

// NodeOp is a request about one znode, alone or as a part of a multi. Which fields count depends on Op.
type NodeOp struct {
	Op      Opcode
	Path    string
	Data    []byte // create*, setData; a part of the decoded bytes; nil is null
	ACL     []ACL  // create*, setACL; nil is null
	Flags   int32  // create*
	TTL     int64  // createTTL; ms
	Version int32  // delete, setData, setACL, check
	Watch   bool   // exists, getData, getChildren*
}

// Decode reads the record of o.Op. The zero error means that all of it was there.
func (o *NodeOp) Decode(d *Decoder) error {
	switch o.Op {
	case OpSetData, OpSetACL, OpCheck: // ZooKeeper looks at these paths before it trips over a null
		o.Path = d.NullString().S
	default:
		o.Path = d.String()
	}
	switch o.Op {
	case OpCreate, OpCreate2, OpCreateContainer, OpCreateTTL:
		o.Data, o.ACL, o.Flags = d.Buffer(), d.ACLs(), d.Int()
		if o.Op == OpCreateTTL {
			o.TTL = d.Long()
		}
	case OpDelete, OpCheck:
		o.Version = d.Int()
	case OpSetData:
		o.Data, o.Version = d.Buffer(), d.Int()
	case OpSetACL:
		o.ACL, o.Version = d.ACLs(), d.Int()
	case OpExists, OpGetData, OpGetChildren, OpGetChildren2:
		o.Watch = d.Bool()
	case OpGetACL, OpGetAllChildrenNumber:
	default:
		d.fail(ErrOp)
	}
	return d.err
}

// Append appends the record of o.Op.
func (o *NodeOp) Append(b []byte) []byte {
	b = AppendString(b, o.Path)
	switch o.Op {
	case OpCreate, OpCreate2, OpCreateContainer, OpCreateTTL:
		b = AppendInt(AppendACLs(AppendBuffer(b, o.Data), o.ACL), o.Flags)
		if o.Op == OpCreateTTL {
			b = AppendLong(b, o.TTL)
		}
	case OpDelete, OpCheck:
		b = AppendInt(b, o.Version)
	case OpSetData:
		b = AppendInt(AppendBuffer(b, o.Data), o.Version)
	case OpSetACL:
		b = AppendInt(AppendACLs(b, o.ACL), o.Version)
	case OpExists, OpGetData, OpGetChildren, OpGetChildren2:
		b = AppendBool(b, o.Watch)
	}
	return b
}

// MultiHeader stands before each part of a multi, in both directions, and once more, Done, at the end.
type MultiHeader struct {
	Op   Opcode
	Done bool
	Code Code
}

func (h *MultiHeader) Append(b []byte) []byte {
	return AppendInt(AppendBool(AppendInt(b, int32(h.Op)), h.Done), int32(h.Code))
}

func (h *MultiHeader) Decode(d *Decoder) error {
	h.Op, h.Done, h.Code = Opcode(d.Int()), d.Bool(), Code(d.Int())
	return d.err
}

// MultiEnd is the header after the last part.
var MultiEnd = MultiHeader{Op: OpError, Done: true, Code: -1}

// Multi reads the parts of a multi, which may only be of the allowed ops.
func (d *Decoder) Multi(allowed func(Opcode) bool) ([]NodeOp, error) {
	var ops []NodeOp
	for {
		var h MultiHeader
		switch h.Decode(d); {
		case d.err != nil:
			return nil, d.err
		case h.Done:
			return ops, nil
		case !allowed(h.Op):
			d.fail(ErrOp)
			return nil, d.err
		}
		op := NodeOp{Op: h.Op}
		if len(d.b) >= 4 && int32(binary.BigEndian.Uint32(d.b)) == -1 {
			d.fail(ErrNull) // a path: here it spoils the whole request
		}
		if err := op.Decode(d); err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
}

// AppendMulti appends the parts of a multi.
func AppendMulti(b []byte, ops []NodeOp) []byte {
	for i := range ops {
		h := MultiHeader{Op: ops[i].Op, Code: -1}
		b = ops[i].Append(h.Append(b))
	}
	return MultiEnd.Append(b)
}

// MultiWrites are the ops of a multi, MultiReads those of a multiRead.
func MultiWrites(o Opcode) bool {
	switch o {
	case OpCreate, OpCreate2, OpCreateContainer, OpCreateTTL, OpDelete, OpSetData, OpCheck:
		return true
	}
	return false
}

// MultiReads tells whether o may be part of a multiRead.
func MultiReads(o Opcode) bool { return o == OpGetData || o == OpGetChildren }

// AuthRequest adds a credential to the connection.
type AuthRequest struct {
	Type   int32  // ignored
	Scheme string // empty for null
	Auth   []byte
}

func (r *AuthRequest) Decode(d *Decoder) error {
	r.Type, r.Scheme, r.Auth = d.Int(), d.NullString().S, d.Buffer()
	return d.err
}

func (r *AuthRequest) Append(b []byte) []byte {
	return AppendBuffer(AppendString(AppendInt(b, r.Type), r.Scheme), r.Auth)
}

// SetWatches arms a reconnected client's watches again. No list may be null.
type SetWatches struct {
	Since                 int64 // the last zxid that the client saw
	Data, Exist, Children []string
	// setWatches2 only
	Persistent, Recursive []string
}

// Decode reads the record of setWatches, or of setWatches2.
func (r *SetWatches) Decode(d *Decoder, two bool) error {
	r.Since = d.Long()
	lists := []*[]string{&r.Data, &r.Exist, &r.Children, &r.Persistent, &r.Recursive}
	if !two {
		lists = lists[:3]
	}
	for _, l := range lists {
		if *l = d.Strings(); *l == nil {
			d.fail(ErrNull)
		}
	}
	return d.err
}

// Append appends the record of setWatches, or of setWatches2.
func (r *SetWatches) Append(b []byte, two bool) []byte {
	b = AppendLong(b, r.Since)
	b = AppendStrings(AppendStrings(AppendStrings(b, r.Data), r.Exist), r.Children)
	if two {
		b = AppendStrings(AppendStrings(b, r.Persistent), r.Recursive)
	}
	return b
}

// The modes of addWatch.
const (
	AddPersistent int32 = 0
	AddRecursive  int32 = 1
)

// The types of watches in checkWatches and removeWatches.
const (
	WatchChildren   int32 = 1
	WatchData       int32 = 2
	WatchAny        int32 = 3
	WatchPersistent int32 = 4
	WatchRecursive  int32 = 5
)

// PathInt is the record of addWatch (a mode), and of checkWatches and removeWatches (a type).
type PathInt struct {
	Path  string
	Value int32
}

func (r *PathInt) Decode(d *Decoder) error {
	r.Path, r.Value = d.String(), d.Int()
	return d.err
}

func (r *PathInt) Append(b []byte) []byte { return AppendInt(AppendString(b, r.Path), r.Value) }

// ReconfigRequest asks for another membership. Members, unless null, is all of it; else Joining and Leaving change it.
type ReconfigRequest struct {
	Joining, Leaving, Members NullString
	Version                   int64 // of the configuration to be changed; -1: any
}

func (r *ReconfigRequest) Decode(d *Decoder) error {
	r.Joining, r.Leaving, r.Members, r.Version = d.NullString(), d.NullString(), d.NullString(), d.Long()
	return d.err
}

func (r *ReconfigRequest) Append(b []byte) []byte {
	b = AppendNullString(AppendNullString(AppendNullString(b, r.Joining), r.Leaving), r.Members)
	return AppendLong(b, r.Version)
}
