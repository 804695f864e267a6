package tree

import (
	"time"

	"github.com/strata-coord/strata/tiers"
)

// Txns as they travel in entries and batches. Durations are whole milliseconds: what is finer is cut off.

func appendTxn(b []byte, t *tiers.Txn) []byte {
	b = appendUint(appendInt(appendArray(b, 4), int64(t.Session)), uint64(t.Request))
	b = appendArray(b, len(t.Caller))
	for _, c := range t.Caller {
		b = appendString(appendString(appendArray(b, 2), c.Scheme), c.ID)
	}
	b = appendArray(b, len(t.Ops))
	for i := range t.Ops {
		b = appendOp(b, &t.Ops[i])
	}
	return b
}

func (r *reader) txn(t *tiers.Txn) {
	r.fields(4)
	t.Session = tiers.SessionID(r.int())
	t.Request = tiers.RequestID(r.uint())
	if n := r.array(leastIdentity); n > 0 {
		t.Caller = make([]tiers.Identity, n)
		for i := range t.Caller {
			r.fields(2)
			t.Caller[i] = tiers.Identity{Scheme: r.string(), ID: r.string()}
		}
	}
	if n := r.array(leastOp); n > 0 {
		t.Ops = make([]tiers.Op, n)
		for i := range t.Ops {
			r.op(&t.Ops[i])
		}
	}
}

func appendOp(b []byte, o *tiers.Op) []byte {
	b = appendUint(appendArray(b, 8), uint64(o.Kind))
	b = appendBytes(appendString(b, o.Path), o.Data)
	b = appendInt(appendInt(b, int64(o.Mode)), o.TTL.Milliseconds())
	b = appendInt(appendACL(b, o.ACL), int64(o.Version))
	return appendInt(b, o.Timeout.Milliseconds())
}

func (r *reader) op(o *tiers.Op) {
	r.fields(8)
	o.Kind = tiers.OpKind(r.small())
	o.Path = r.string()
	o.Data = r.bytes()
	o.Mode = tiers.CreateMode(r.int32())
	o.TTL = r.milliseconds()
	o.ACL = r.acl()
	o.Version = r.int32()
	o.Timeout = r.milliseconds()
}

func (r *reader) milliseconds() time.Duration {
	ms := r.int()
	d := time.Duration(ms) * time.Millisecond
	if d.Milliseconds() != ms {
		r.fail("duration out of range")
		return 0
	}
	return d
}

func appendACL(b []byte, list []tiers.ACL) []byte {
	b = appendArray(b, len(list))
	for _, a := range list {
		b = appendString(appendString(appendInt(appendArray(b, 3), int64(a.Perms)), a.Who.Scheme), a.Who.ID)
	}
	return b
}

func (r *reader) acl() []tiers.ACL {
	n := r.array(leastACL)
	if n == 0 {
		return nil
	}
	list := make([]tiers.ACL, n)
	for i := range list {
		r.fields(3)
		list[i] = tiers.ACL{Perms: tiers.Perm(r.int32()), Who: tiers.Identity{Scheme: r.string(), ID: r.string()}}
	}
	return list
}
