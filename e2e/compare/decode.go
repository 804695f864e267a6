package compare

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/strata-coord/strata/zkcompat/jute"
)

// Kind says how a field's value is compared.
type Kind uint8

const (
	Exact   Kind = iota
	Zxid         // of a change: by its rank among those of the story
	Seen         // what a server had applied: by the last change that it covers
	Time         // of the change Of
	Session      // by the connection that opened it
	Secret       // likewise
	Ping         // what a server had applied at about that time: not compared
	Path         // below the story's znode
)

// Field is one value of a frame.
type Field struct {
	Name string
	Kind Kind
	Num  int64
	Text string // Exact, Secret, Path
	Of   int64  // Time: the zxid of the change
}

// Frame is one thing that a connection heard.
type Frame struct {
	Kind   string // reply, event, connect, closed, silent, unanswered, text
	Fields []Field
	wrote  bool // a reply that tells of a change
	ping   bool
}

func exact(name string, v any) Field { return Field{Name: name, Text: fmt.Sprint(v)} }

// decoder makes fields of records.
type decoder struct {
	*jute.Decoder
	fields []Field
}

func (d *decoder) add(f Field) { d.fields = append(d.fields, f) }

func (d *decoder) int(name string) int32 {
	v := d.Int()
	d.add(exact(name, v))
	return v
}

func (d *decoder) string(name string) {
	s := d.NullString()
	if !s.Valid {
		d.add(exact(name, "null"))
		return
	}
	d.add(Field{Name: name, Kind: Path, Text: s.S})
}

func (d *decoder) buffer(name string) {
	b := d.Buffer()
	switch {
	case b == nil:
		d.add(exact(name, "null"))
	case len(b) > 200:
		d.add(exact(name, fmt.Sprintf("%d bytes", len(b))))
	default:
		d.add(Field{Name: name, Kind: Path, Text: string(b)})
	}
}

// token is what SASL answers, but for the server's chance.
func (d *decoder) token() {
	b := d.Buffer()
	if b == nil {
		d.add(exact("token", "null"))
		return
	}
	d.add(exact("token", choice.ReplaceAllString(nonce.ReplaceAllString(string(b), "nonce=N"), "")))
}

var (
	nonce  = regexp.MustCompile(`nonce="[^"]*"`)
	choice = regexp.MustCompile(`qop="auth",`) // the only one: some JDKs say it, some don't
)

// set is a list whose order means nothing.
func (d *decoder) set(name string) {
	list := d.Strings()
	slices.Sort(list)
	d.add(Field{Name: name, Kind: Path, Text: strings.Join(list, " ")})
	d.add(exact(name+" count", len(list)))
}

func (d *decoder) stat(prefix string) {
	var s jute.Stat
	if s.Decode(d.Decoder) != nil {
		return
	}
	for _, f := range []Field{
		{Name: "czxid", Kind: Zxid, Num: s.Czxid}, {Name: "mzxid", Kind: Zxid, Num: s.Mzxid},
		{Name: "ctime", Kind: Time, Num: s.Ctime, Of: s.Czxid}, {Name: "mtime", Kind: Time, Num: s.Mtime, Of: s.Mzxid},
		exact("version", s.Version), exact("cversion", s.Cversion), exact("aversion", s.Aversion),
		{Name: "ephemeralOwner", Kind: Session, Num: s.EphemeralOwner},
		exact("dataLength", s.DataLength), exact("numChildren", s.NumChildren), {Name: "pzxid", Kind: Zxid, Num: s.Pzxid},
	} {
		f.Name = prefix + f.Name
		d.add(f)
	}
}

func (d *decoder) acl() {
	list := d.ACLs()
	var out []string
	for _, a := range list {
		out = append(out, fmt.Sprintf("%d:%s:%s", a.Perms, a.Scheme.S, a.ID))
	}
	d.add(exact("acl", strings.Join(out, ",")))
}

// writes tells whether a successful reply to op has the zxid of a change.
func writes(op jute.Opcode) bool {
	switch op {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL, jute.OpDelete, jute.OpSetData, jute.OpSetACL, jute.OpMulti:
		return true
	}
	return false
}

// decodeReply reads the frame that answers op. zxid is that of its header.
func decodeReply(body []byte, op jute.Opcode) (f Frame, zxid int64) {
	d := decoder{Decoder: jute.NewDecoder(body)}
	var h jute.ReplyHeader
	_ = h.Decode(d.Decoder) // d remembers
	d.add(exact("xid", h.Xid))
	d.add(exact("err", int32(h.Code)))
	f = Frame{Kind: "reply", ping: op == jute.OpPing, wrote: writes(op) && h.Code == 0}
	if h.Code == 0 {
		f.wrote = d.record(op) && f.wrote
	}
	kind := Seen
	switch {
	case f.wrote:
		kind = Zxid
	case f.ping:
		kind = Ping
	}
	d.add(Field{Name: "zxid", Kind: kind, Num: h.Zxid})
	f.Fields = d.finish()
	return f, h.Zxid
}

// finish tells what is wrong with the frame, and what is left of it.
func (d *decoder) finish() []Field {
	if err := d.Err(); err != nil {
		d.add(exact("garbled", err))
	} else if d.Len() > 0 {
		d.add(exact("rest", d.Len()))
	}
	return d.fields
}

// record reads what follows the header of a successful reply. It tells false of a multi that failed.
func (d *decoder) record(op jute.Opcode) bool {
	switch op {
	case jute.OpCreate, jute.OpSync:
		d.string("path")
	case jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
		d.string("path")
		d.stat("")
	case jute.OpSetData, jute.OpSetACL, jute.OpExists:
		d.stat("")
	case jute.OpGetData, jute.OpReconfig:
		d.buffer("data")
		d.stat("")
	case jute.OpSASL:
		d.token()
	case jute.OpGetChildren:
		d.set("children")
	case jute.OpGetEphemerals:
		d.set("paths")
	case jute.OpGetChildren2:
		d.set("children")
		d.stat("")
	case jute.OpGetACL:
		d.acl()
		d.stat("")
	case jute.OpGetAllChildrenNumber:
		d.int("count")
	case jute.OpAddWatch:
		d.int("result")
	case jute.OpWhoAmI:
		var who []string
		for range d.Int() {
			who = append(who, d.NullString().S+":"+d.NullString().S)
			if d.Err() != nil {
				break
			}
		}
		slices.Sort(who)
		d.add(exact("who", strings.Join(who, " ")))
	case jute.OpMulti, jute.OpMultiRead:
		return d.multi()
	}
	return true
}

func (d *decoder) multi() (ok bool) {
	ok = true
	for i := 0; d.Err() == nil; i++ {
		var h jute.MultiHeader
		if h.Decode(d.Decoder) != nil {
			return false
		}
		p := strconv.Itoa(i) + "."
		d.add(exact(p+"type", int32(h.Op)))
		d.add(exact(p+"code", int32(h.Code)))
		if h.Done {
			d.add(exact(p+"done", true))
			return ok
		}
		switch h.Op {
		case jute.OpError:
			d.int(p + "err")
			ok = false
		case jute.OpCreate:
			d.string(p + "path")
		case jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
			d.string(p + "path")
			d.stat(p)
		case jute.OpSetData:
			d.stat(p)
		case jute.OpGetData:
			d.buffer(p + "data")
			d.stat(p)
		case jute.OpGetChildren:
			d.set(p + "children")
		}
	}
	return false
}

func decodeEvent(body []byte) Frame {
	d := decoder{Decoder: jute.NewDecoder(body)}
	d.int("xid")
	d.add(Field{Name: "zxid", Kind: Seen, Num: d.Long()})
	d.int("err")
	d.int("type")
	d.int("state")
	d.string("path")
	return Frame{Kind: "event", Fields: d.finish()}
}

func decodeConnect(body []byte) (Frame, jute.ConnectResponse) {
	d := decoder{Decoder: jute.NewDecoder(body)}
	var r jute.ConnectResponse
	_ = r.Decode(d.Decoder) // d remembers
	d.add(exact("length", len(body)))
	d.add(exact("version", r.ProtocolVersion))
	d.add(exact("timeout", r.Timeout))
	d.add(Field{Name: "session", Kind: Session, Num: r.SessionID})
	d.add(Field{Name: "password", Kind: Secret, Text: string(r.Password[:])})
	d.add(exact("readOnly", r.ReadOnly))
	return Frame{Kind: "connect", Fields: d.finish()}, r
}
