package compare

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/strata-coord/strata/zkcompat/jute"
)

// verbs are the requests of the language.
var verbs = map[string]jute.Opcode{
	"create": jute.OpCreate, "create2": jute.OpCreate2, "createContainer": jute.OpCreateContainer, "createTTL": jute.OpCreateTTL,
	"delete": jute.OpDelete, "exists": jute.OpExists, "get": jute.OpGetData, "set": jute.OpSetData, "getACL": jute.OpGetACL,
	"setACL": jute.OpSetACL, "ls": jute.OpGetChildren, "ls2": jute.OpGetChildren2, "sync": jute.OpSync, "check": jute.OpCheck,
	"multi": jute.OpMulti, "multiRead": jute.OpMultiRead, "addWatch": jute.OpAddWatch, "checkWatches": jute.OpCheckWatches,
	"removeWatches": jute.OpRemoveWatches, "setWatches": jute.OpSetWatches, "setWatches2": jute.OpSetWatches2, "auth": jute.OpAuth,
	"sasl": jute.OpSASL, "reconfig": jute.OpReconfig, "whoami": jute.OpWhoAmI, "ping": jute.OpPing, "close": jute.OpCloseSession,
	"ephemerals": jute.OpGetEphemerals, "count": jute.OpGetAllChildrenNumber, "deleteContainer": jute.OpDeleteContainer,
}

// scene is what a line's words may refer to.
type scene struct {
	root  string           // of $
	marks map[string]int64 // zxids of replies
}

// request is one that was encoded.
type request struct {
	xid  int32
	op   jute.Opcode
	body []byte
}

// encode makes the request of l. xid is its ordinary one.
func (sc *scene) encode(l *Line, xid int32) (request, error) {
	q := request{xid: xid}
	e := encoder{scene: sc, line: l}
	if l.Verb == "op" {
		q.op = jute.Opcode(e.integer(e.arg(0), 0))
		if len(l.Args) > 1 {
			e.hex(l.Args[1])
		}
	} else {
		var ok bool
		if q.op, ok = verbs[l.Verb]; !ok {
			return q, fmt.Errorf("%q is no verb", l.Verb)
		}
		e.record(q.op)
	}
	e.line = l
	if n := int(e.number("cut", 0)); n > 0 {
		e.b = e.b[:max(0, len(e.b)-n)]
	}
	e.hex(l.Keys["pad"])
	q.xid = int32(e.number("xid", int64(xid)))
	h := jute.RequestHeader{Xid: q.xid, Op: q.op}
	q.body = append(h.Append(nil), e.b...)
	return q, e.err
}

// encoder appends records. The first error sticks.
type encoder struct {
	*scene
	line *Line
	b    []byte
	err  error
}

func (e *encoder) fail(err error) {
	if e.err == nil && err != nil {
		e.err = err
	}
}

func (e *encoder) arg(n int) string {
	if n < len(e.line.Args) {
		return e.line.Args[n]
	}
	e.fail(fmt.Errorf("%s wants %d arguments", e.line.Verb, n+1))
	return ""
}

func (e *encoder) integer(s string, otherwise int64) int64 {
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(s, 0, 64)
	e.fail(err)
	return n
}

// number is a key's value: a number, or the zxid kept under @name.
func (e *encoder) number(key string, otherwise int64) int64 {
	v := e.line.Keys[key]
	if strings.HasPrefix(v, "@") {
		return e.marks[v]
	}
	return e.integer(v, otherwise)
}

func (e *encoder) int(key string, otherwise int64) {
	e.b = jute.AppendInt(e.b, int32(e.number(key, otherwise)))
}

func (e *encoder) hex(s string) {
	b, err := hex.DecodeString(s)
	e.fail(err)
	e.b = append(e.b, b...)
}

// string appends s; ~ is null, and $ at its beginning the story's znode.
func (e *encoder) string(s string) {
	e.b = jute.AppendNullString(e.b, jute.NullString{S: e.path(s), Valid: s != "~"})
}

// path is s with the story's znode in the place of $.
func (sc *scene) path(s string) string {
	if strings.HasPrefix(s, "$") {
		return sc.root + s[1:]
	}
	return strings.ReplaceAll(s, "{$}", sc.root)
}

func (e *encoder) buffer(key string) {
	v, ok := e.line.Keys[key]
	switch {
	case v == "~":
		e.b = jute.AppendBuffer(e.b, nil)
	case strings.HasPrefix(v, "*"): // so many bytes
		e.b = jute.AppendBuffer(e.b, make([]byte, e.integer(v[1:], 0)))
	case ok:
		e.b = jute.AppendBuffer(e.b, []byte(v))
	default:
		e.b = jute.AppendBuffer(e.b, []byte{})
	}
}

func (e *encoder) watch() { e.b = jute.AppendBool(e.b, e.line.Keys["w"] != "") }

// acl appends the list of the key acl; everybody may do everything if there is none.
func (e *encoder) acl() {
	v, ok := e.line.Keys["acl"]
	switch {
	case !ok:
		v = "31:world:anyone"
	case v == "~":
		e.b = jute.AppendInt(e.b, -1)
		return
	case v == "none":
		e.b = jute.AppendInt(e.b, 0)
		return
	}
	list := strings.Split(v, ",")
	e.b = jute.AppendInt(e.b, int32(len(list)))
	for _, a := range list {
		p := strings.SplitN(a, ":", 3)
		if len(p) != 3 {
			e.fail(fmt.Errorf("ACL %q: want PERMS:SCHEME:ID", a))
			return
		}
		e.b = jute.AppendInt(e.b, int32(e.integer(p[0], 0)))
		e.string(p[1])
		e.string(p[2])
	}
}

// strings appends a list of paths.
func (e *encoder) strings(key string) {
	v := e.line.Keys[key]
	switch v {
	case "~":
		e.b = jute.AppendInt(e.b, -1)
	case "":
		e.b = jute.AppendInt(e.b, 0)
	default:
		list := strings.Split(v, ",")
		e.b = jute.AppendInt(e.b, int32(len(list)))
		for _, s := range list {
			e.string(s)
		}
	}
}

// optional appends a string that is null if the key is not there.
func (e *encoder) optional(key string) {
	v, ok := e.line.Keys[key]
	if !ok {
		v = "~"
	}
	e.string(v)
}

func (e *encoder) record(op jute.Opcode) {
	switch op {
	case jute.OpPing, jute.OpCloseSession, jute.OpWhoAmI:
		return
	case jute.OpMulti, jute.OpMultiRead:
		e.multi()
		return
	case jute.OpSetWatches, jute.OpSetWatches2:
		e.b = jute.AppendLong(e.b, e.number("since", 0))
		for _, k := range []string{"data", "exist", "child"} {
			e.strings(k)
		}
		if op == jute.OpSetWatches2 {
			e.strings("persistent")
			e.strings("recursive")
		}
		return
	case jute.OpAuth:
		e.int("type", 0)
		e.string(e.line.Keys["scheme"])
		e.buffer("auth")
		return
	case jute.OpSASL:
		e.buffer("token")
		return
	case jute.OpReconfig:
		for _, k := range []string{"join", "leave", "members"} {
			e.optional(k)
		}
		e.b = jute.AppendLong(e.b, e.number("from", -1))
		return
	}
	e.string(e.arg(0))
	switch op {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
		e.buffer("data")
		e.acl()
		flags := map[jute.Opcode]int64{jute.OpCreateContainer: 4, jute.OpCreateTTL: 5}
		e.int("flags", flags[op])
		if op == jute.OpCreateTTL {
			e.b = jute.AppendLong(e.b, e.number("ttl", 60000))
		}
	case jute.OpDelete, jute.OpCheck:
		e.int("v", -1)
	case jute.OpSetData:
		e.buffer("data")
		e.int("v", -1)
	case jute.OpSetACL:
		e.acl()
		e.int("v", -1)
	case jute.OpExists, jute.OpGetData, jute.OpGetChildren, jute.OpGetChildren2:
		e.watch()
	case jute.OpAddWatch:
		e.int("mode", 0)
	case jute.OpCheckWatches, jute.OpRemoveWatches:
		e.int("type", int64(jute.WatchAny))
	}
}

func (e *encoder) multi() {
	whole := e.line
	for i := range whole.Parts {
		e.line = &whole.Parts[i]
		op, ok := verbs[e.line.Verb]
		if !ok && e.line.Verb == "op" {
			op = jute.Opcode(e.integer(e.arg(0), 0))
		} else if !ok {
			e.fail(fmt.Errorf("%q is no verb", e.line.Verb))
			return
		}
		h := jute.MultiHeader{Op: op, Code: -1}
		e.b = h.Append(e.b)
		if ok {
			e.record(op)
		}
	}
	e.b = jute.MultiEnd.Append(e.b)
}
