package jute_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/strata-coord/strata/zkcompat/jute"
)

func TestPrimitives(t *testing.T) {
	b := jute.AppendInt(nil, -2)
	b = jute.AppendLong(b, math.MinInt64)
	b = jute.AppendBool(jute.AppendBool(b, true), false)
	b = jute.AppendBuffer(jute.AppendBuffer(jute.AppendBuffer(b, nil), []byte{}), []byte{1, 2})
	b = jute.AppendString(jute.AppendString(b, ""), "ü")
	b = jute.AppendNullString(jute.AppendNullString(b, jute.NullString{}), jute.NullString{Valid: true})
	b = jute.AppendStrings(jute.AppendStrings(jute.AppendStrings(b, nil), []string{}), []string{"a", ""})
	want := "\xff\xff\xff\xfe" + "\x80\x00\x00\x00\x00\x00\x00\x00" + "\x01\x00" +
		"\xff\xff\xff\xff" + "\x00\x00\x00\x00" + "\x00\x00\x00\x02\x01\x02" +
		"\x00\x00\x00\x00" + "\x00\x00\x00\x02\xc3\xbc" + "\xff\xff\xff\xff" + "\x00\x00\x00\x00" +
		"\xff\xff\xff\xff" + "\x00\x00\x00\x00" + "\x00\x00\x00\x02\x00\x00\x00\x01a\x00\x00\x00\x00"
	if string(b) != want {
		t.Fatalf("encoded %q\nwant    %q", b, want)
	}
	d := jute.NewDecoder(b)
	if d.Int() != -2 || d.Long() != math.MinInt64 || !d.Bool() || d.Bool() {
		t.Error("numbers")
	}
	if a, e, x := d.Buffer(), d.Buffer(), d.Buffer(); a != nil || e == nil || len(e) != 0 || !bytes.Equal(x, []byte{1, 2}) {
		t.Error("buffers")
	}
	if d.String() != "" || d.String() != "ü" || d.NullString().Valid || !d.NullString().Valid {
		t.Error("strings")
	}
	if a, e, x := d.Strings(), d.Strings(), d.Strings(); a != nil || e == nil || len(e) != 0 || strings.Join(x, ",") != "a," {
		t.Error("vectors")
	}
	if d.Err() != nil || d.Len() != 0 {
		t.Errorf("%v, %d bytes left", d.Err(), d.Len())
	}
}

func TestBadLengths(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		read func(*jute.Decoder)
		want error
	}{
		"short int":           {[]byte{1, 2, 3}, func(d *jute.Decoder) { d.Int() }, jute.ErrShort},
		"short long":          {make([]byte, 7), func(d *jute.Decoder) { d.Long() }, jute.ErrShort},
		"no bool":             {nil, func(d *jute.Decoder) { d.Bool() }, jute.ErrShort},
		"negative buffer":     {jute.AppendInt(nil, -2), func(d *jute.Decoder) { d.Buffer() }, jute.ErrLength},
		"long buffer":         {jute.AppendInt(nil, 1), func(d *jute.Decoder) { d.Buffer() }, jute.ErrLength},
		"huge buffer":         {jute.AppendInt(nil, math.MaxInt32), func(d *jute.Decoder) { d.Buffer() }, jute.ErrLength},
		"null string":         {jute.AppendInt(nil, -1), func(d *jute.Decoder) { _ = d.String() }, jute.ErrNull},
		"huge vector":         {append(jute.AppendInt(nil, math.MaxInt32), make([]byte, 100)...), func(d *jute.Decoder) { d.Strings() }, jute.ErrLength},
		"null in a vector":    {[]byte{0, 0, 0, 1, 255, 255, 255, 255}, func(d *jute.Decoder) { d.Strings() }, jute.ErrNull},
		"a null id":           {[]byte{0, 0, 0, 1, 0, 0, 0, 31, 0, 0, 0, 0, 255, 255, 255, 255}, func(d *jute.Decoder) { d.ACLs() }, jute.ErrNull},
		"a null in a multi":   {append((&jute.MultiHeader{Op: jute.OpSetData}).Append(nil), 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0), func(d *jute.Decoder) { _, _ = d.Multi(jute.MultiWrites) }, jute.ErrNull},
		"huge ACL":            {append(jute.AppendInt(nil, 10), make([]byte, 100)...), func(d *jute.Decoder) { d.ACLs() }, jute.ErrLength},
		"a password too long": {jute.AppendBuffer(make([]byte, 16), make([]byte, 17)), func(d *jute.Decoder) { _ = new(jute.ConnectResponse).Decode(d) }, jute.ErrLength},
		"a multi without end": {jute.AppendMulti(nil, []jute.NodeOp{{Op: jute.OpDelete}})[:20], func(d *jute.Decoder) { _, _ = d.Multi(jute.MultiWrites) }, jute.ErrShort},
		"a read in a multi":   {jute.AppendMulti(nil, []jute.NodeOp{{Op: jute.OpGetData}}), func(d *jute.Decoder) { _, _ = d.Multi(jute.MultiWrites) }, jute.ErrOp},
		"no op with a record": {jute.AppendString(nil, "/"), func(d *jute.Decoder) { _ = (&jute.NodeOp{Op: jute.OpPing}).Decode(d) }, jute.ErrOp},
		"a null list":         {(&jute.SetWatches{Data: []string{}}).Append(nil, false), func(d *jute.Decoder) { _ = new(jute.SetWatches).Decode(d, false) }, jute.ErrNull},
		"setWatches2 is longer": {
			(&jute.SetWatches{Data: []string{}, Exist: []string{}, Children: []string{}}).Append(nil, false),
			func(d *jute.Decoder) { _ = new(jute.SetWatches).Decode(d, true) }, jute.ErrShort,
		},
	} {
		d := jute.NewDecoder(c.b)
		c.read(d)
		if !errors.Is(d.Err(), c.want) {
			t.Errorf("%s: %v, want %v", name, d.Err(), c.want)
		}
		if d.Int() != 0 || d.Buffer() != nil || d.Len() != 0 {
			t.Errorf("%s: something is read after the error", name)
		}
	}
}

// Lengths on the wire that clients count on.
func TestLengths(t *testing.T) {
	for name, c := range map[string]struct{ got, want int }{
		"connect request":       {len((&jute.ConnectRequest{Password: make([]byte, 16)}).Append(nil)), 44},
		"with readOnly":         {len((&jute.ConnectRequest{Password: make([]byte, 16), HasReadOnly: true}).Append(nil)), 45},
		"connect response":      {len((&jute.ConnectResponse{}).Append(nil)), 36},
		"its one with readOnly": {len((&jute.ConnectResponse{HasReadOnly: true}).Append(nil)), 37},
		"request header":        {len((&jute.RequestHeader{}).Append(nil)), jute.RequestHeaderLen},
		"reply header":          {len((&jute.ReplyHeader{}).Append(nil)), 16},
		"stat":                  {len((&jute.Stat{}).Append(nil)), 68},
		"multi header":          {len(jute.MultiEnd.Append(nil)), 9},
	} {
		if c.got != c.want {
			t.Errorf("%s has %d bytes, want %d", name, c.got, c.want)
		}
	}
	b := jute.BeginFrame([]byte("before"))
	if got := jute.EndFrame(append(b, "body"...), 6); string(got) != "before\x00\x00\x00\x04body" {
		t.Errorf("frame %q", got)
	}
}

// samples are one record of every request.
func samples() map[jute.Opcode][]byte {
	acl := []jute.ACL{{Perms: 31, Scheme: jute.NullString{S: "world", Valid: true}, ID: "anyone"}, {}}
	m := map[jute.Opcode][]byte{
		jute.OpMulti: jute.AppendMulti(nil, []jute.NodeOp{
			{Op: jute.OpCreate, Path: "/a", Data: []byte("x"), ACL: acl}, {Op: jute.OpCheck, Path: "/a", Version: 3}, {Op: jute.OpCreateTTL, ACL: acl, TTL: 5},
		}),
		jute.OpMultiRead:     jute.AppendMulti(nil, []jute.NodeOp{{Op: jute.OpGetData, Path: "/a"}, {Op: jute.OpGetChildren, Path: "/", Watch: true}}),
		jute.OpAuth:          (&jute.AuthRequest{Scheme: "digest", Auth: []byte("a:b")}).Append(nil),
		jute.OpGetEphemerals: jute.AppendNullString(nil, jute.NullString{S: "/a", Valid: true}),
		jute.OpSync:          jute.AppendNullString(nil, jute.NullString{}),
		jute.OpSetWatches:    (&jute.SetWatches{Since: 7, Data: []string{"/a", "/b"}, Exist: []string{}, Children: []string{""}}).Append(nil, false),
		jute.OpSetWatches2:   (&jute.SetWatches{Data: []string{}, Exist: []string{}, Children: []string{}, Persistent: []string{"/"}, Recursive: []string{"/x"}}).Append(nil, true),
		jute.OpAddWatch:      (&jute.PathInt{Path: "/a", Value: jute.AddRecursive}).Append(nil),
		jute.OpCheckWatches:  (&jute.PathInt{Path: "/a", Value: jute.WatchAny}).Append(nil),
		jute.OpRemoveWatches: (&jute.PathInt{Path: "/a", Value: 9}).Append(nil),
		jute.OpReconfig:      (&jute.ReconfigRequest{Joining: jute.NullString{S: "server.1=h:1:1;2", Valid: true}, Members: jute.NullString{Valid: true}, Version: -1}).Append(nil),
		jute.OpPing:          nil,
		jute.OpCloseSession:  nil,
	}
	for _, op := range nodeOps {
		q := jute.NodeOp{Op: op, Path: "/a", Data: []byte{}, ACL: acl, Flags: 5, TTL: 99, Version: -1, Watch: true}
		m[op] = q.Append(nil)
	}
	return m
}

var nodeOps = []jute.Opcode{
	jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL, jute.OpDelete, jute.OpExists, jute.OpGetData, jute.OpSetData,
	jute.OpGetACL, jute.OpSetACL, jute.OpGetChildren, jute.OpGetChildren2, jute.OpCheck, jute.OpGetAllChildrenNumber,
}

// decode reads a request as a server does, and encodes what it read.
func decode(op jute.Opcode, b []byte) ([]byte, error) {
	d := jute.NewDecoder(b)
	switch op {
	case jute.OpMulti:
		ops, err := d.Multi(jute.MultiWrites)
		return jute.AppendMulti(nil, ops), err
	case jute.OpMultiRead:
		ops, err := d.Multi(jute.MultiReads)
		return jute.AppendMulti(nil, ops), err
	case jute.OpAuth:
		var q jute.AuthRequest
		err := q.Decode(d)
		return q.Append(nil), err
	case jute.OpSync, jute.OpGetEphemerals:
		q := d.NullString()
		return jute.AppendNullString(nil, q), d.Err()
	case jute.OpSetWatches, jute.OpSetWatches2:
		var q jute.SetWatches
		err := q.Decode(d, op == jute.OpSetWatches2)
		return q.Append(nil, op == jute.OpSetWatches2), err
	case jute.OpAddWatch, jute.OpCheckWatches, jute.OpRemoveWatches:
		var q jute.PathInt
		err := q.Decode(d)
		return q.Append(nil), err
	case jute.OpReconfig:
		var q jute.ReconfigRequest
		err := q.Decode(d)
		return q.Append(nil), err
	case jute.OpPing, jute.OpCloseSession:
		return nil, nil
	}
	q := jute.NodeOp{Op: op}
	err := q.Decode(d)
	return q.Append(nil), err
}

// Every record survives the round trip, and none is complete a byte earlier.
func TestRequests(t *testing.T) {
	for op, b := range samples() {
		got, err := decode(op, b)
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%v: %v\n%q\n%q", op, err, got, b)
		}
		for n := range b {
			if _, err := decode(op, b[:n]); err == nil {
				t.Errorf("%v is complete with %d of %d bytes", op, n, len(b))
			}
		}
	}
	if jute.OpMulti.String() != "multi" || jute.Opcode(77).String() != "opcode 77" {
		t.Error("names of opcodes")
	}
}

func TestRecords(t *testing.T) {
	stat := jute.Stat{Czxid: 1, Mzxid: 2, Ctime: 3, Mtime: 4, Version: 5, Cversion: 6, Aversion: 7, EphemeralOwner: 8, DataLength: 9, NumChildren: 10, Pzxid: 11}
	var stat2 jute.Stat
	if err := stat2.Decode(jute.NewDecoder(stat.Append(nil))); err != nil || stat2 != stat {
		t.Errorf("%+v, %v", stat2, err)
	}
	for _, q := range []jute.ConnectRequest{
		{ProtocolVersion: 1, LastZxidSeen: 2, Timeout: 3, SessionID: 4, Password: []byte("p")},
		{Password: []byte{}, HasReadOnly: true, ReadOnly: true}, {HasReadOnly: true},
	} {
		var got jute.ConnectRequest
		if err := got.Decode(jute.NewDecoder(q.Append(nil))); err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("%+v, %v; want %+v", got, err, q)
		}
	}
	for _, a := range []jute.ConnectResponse{{Timeout: 1, SessionID: 2, Password: [16]byte{15: 3}}, {HasReadOnly: true, ReadOnly: true}} {
		var got jute.ConnectResponse
		if err := got.Decode(jute.NewDecoder(a.Append(nil))); err != nil || got != a {
			t.Errorf("%+v, %v; want %+v", got, err, a)
		}
	}
	e := jute.WatcherEvent{Type: 4, State: jute.SyncConnected, Path: "/a"}
	var e2 jute.WatcherEvent
	if err := e2.Decode(jute.NewDecoder(e.Append(nil))); err != nil || e2 != e {
		t.Errorf("%+v, %v", e2, err)
	}
	h := jute.ReplyHeader{Xid: -1, Zxid: 1 << 40, Code: jute.CodeNoNode}
	var h2 jute.ReplyHeader
	if err := h2.Decode(jute.NewDecoder(h.Append(nil))); err != nil || h2 != h {
		t.Errorf("%+v, %v", h2, err)
	}
}

// FuzzRequest: whatever the bytes are, decoding ends without a panic, allocates in proportion, and what it accepts it can encode again.
func FuzzRequest(f *testing.F) {
	for op, b := range samples() {
		h := jute.RequestHeader{Xid: 1, Op: op}
		f.Add(append(h.Append(nil), b...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := jute.NewDecoder(b)
		var h jute.RequestHeader
		if h.Decode(d) != nil {
			return
		}
		record := b[len(b)-d.Len():]
		again, err := decode(h.Op, record)
		if err != nil {
			return
		}
		third, err := decode(h.Op, again)
		if err != nil || !bytes.Equal(again, third) {
			t.Errorf("%v %q: accepted, but its encoding %q reads as %q, %v", h.Op, record, again, third, err)
		}
	})
}

// FuzzConnect does the same for the first frame of a client.
func FuzzConnect(f *testing.F) {
	f.Add((&jute.ConnectRequest{LastZxidSeen: 1, Timeout: 4000, Password: make([]byte, 16), HasReadOnly: true}).Append(nil))
	f.Add((&jute.ConnectRequest{}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var q, q2 jute.ConnectRequest
		if q.Decode(jute.NewDecoder(b)) != nil {
			return
		}
		if err := q2.Decode(jute.NewDecoder(q.Append(nil))); err != nil || !reflect.DeepEqual(q, q2) {
			t.Errorf("%+v reads as %+v, %v", q, q2, err)
		}
	})
}

// TestNullPath: ZooKeeper looks at the path of some ops before it trips over a null, and answers bad arguments.
func TestNullPath(t *testing.T) {
	null := append(jute.AppendInt(nil, -1), make([]byte, 16)...)
	for op, want := range map[jute.Opcode]error{
		jute.OpSetData: nil, jute.OpCheck: nil, jute.OpSetACL: nil, jute.OpCreate: jute.ErrNull, jute.OpDelete: jute.ErrNull, jute.OpExists: jute.ErrNull,
	} {
		q := jute.NodeOp{Op: op}
		if err := q.Decode(jute.NewDecoder(null)); !errors.Is(err, want) || q.Path != "" {
			t.Errorf("%v of null: %v, path %q, want %v", op, err, q.Path, want)
		}
	}
}

// TestLenientLengths: vectors of a negative length, and ids that nobody looks at, are taken as ZooKeeper takes them.
func TestLenientLengths(t *testing.T) {
	d := jute.NewDecoder(jute.AppendInt(jute.AppendInt(jute.AppendInt(nil, -2), math.MinInt32), -1))
	if a, b, c := d.Strings(), d.ACLs(), d.Strings(); a == nil || b == nil || len(a)+len(b) != 0 || c != nil || d.Err() != nil {
		t.Errorf("%v, %v, %v, %v", a, b, c, d.Err())
	}
	auth := jute.NullString{S: "auth", Valid: true}
	b := jute.AppendNullString(jute.AppendNullString(jute.AppendInt(jute.AppendInt(nil, 1), 31), auth), jute.NullString{})
	d = jute.NewDecoder(b)
	if acl := d.ACLs(); len(acl) != 1 || acl[0] != (jute.ACL{Perms: 31, Scheme: auth}) || d.Err() != nil {
		t.Errorf("auth with a null id: %v, %v", acl, d.Err())
	}
}
