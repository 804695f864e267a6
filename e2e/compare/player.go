package compare

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strata-coord/strata/zkcompat/jute"
)

// Player plays stories to one server. It plays one at a time.
type Player struct {
	Addr string
	// Others are more members of the same cluster: connection B goes to the first of them, C to the second, and so on around.
	Others []string
	// Patience is how long a connection may say nothing before that is taken for its answer. Default: 8 s.
	Patience time.Duration
}

// Heard is what one connection heard at one line of a story.
type Heard struct {
	Step   int // the line, from 1 on; 0 before the first
	Conn   string
	Frames []Frame
}

// Transcript is what a story's connections heard, in the order of listening.
type Transcript struct {
	Root     string
	From, To int64 // wall clock before and after, ms
	Heard    []Heard
	// sessions and secrets name the connection that opened each.
	sessions map[int64]string
	secrets  map[string]string
}

// play is one performance.
type play struct {
	*Player
	scene
	Transcript
	conns map[string]*caller
	// opened is the last session of each connection, the lost ones too.
	opened map[string]jute.ConnectResponse
	probe  int32 // xid of the last question that only marks the end of what there is to hear
}

const firstProbe = 0x40000000

// Play plays s below the znode root, which it makes. An error says that the story could not be played at all.
func (p *Player) Play(s *Story, root string) (*Transcript, error) {
	pl := &play{Player: p, scene: scene{root: root, marks: map[string]int64{}}, conns: map[string]*caller{}, opened: map[string]jute.ConnectResponse{}, probe: firstProbe}
	pl.Transcript = Transcript{Root: root, From: time.Now().UnixMilli(), sessions: map[int64]string{0: "none"}, secrets: map[string]string{string(make([]byte, jute.PasswordLen)): "zeros"}}
	defer pl.leave()
	first, err := ParseLine("setup create2 $ data=root")
	if err != nil {
		return nil, err
	}
	if err := pl.line(0, &first); err != nil {
		return nil, err
	}
	pl.hangUp("setup")
	for i := range s.Lines {
		if err := pl.line(i+1, &s.Lines[i]); err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", i+1, s.Lines[i].String(), err)
		}
	}
	pl.To = time.Now().UnixMilli()
	return &pl.Transcript, nil
}

// leave closes the sessions, so that nothing of a story lives on into the next.
func (pl *play) leave() {
	for _, name := range slices.Sorted(maps.Keys(pl.conns)) {
		pl.hangUp(name)
	}
}

func (pl *play) hangUp(name string) {
	c := pl.conns[name]
	delete(pl.conns, name)
	if !c.over && !c.deaf {
		h := jute.RequestHeader{Xid: 1, Op: jute.OpCloseSession}
		c.queue(h.Append(nil))
		_ = c.flush() // the session may be over already
		timeout := time.After(farewell)
		for open := true; open; {
			select {
			case _, open = <-c.frames:
			case <-timeout:
				open = false
			}
		}
	}
	c.nc.Close()
	for range c.frames { // until the reader has ended
	}
}

func (pl *play) patience() time.Duration {
	if pl.Patience == 0 {
		return 8 * time.Second
	}
	return pl.Patience
}

// line does what l says, then listens on all connections, on that of l first.
func (pl *play) line(step int, l *Line) error {
	switch l.Verb {
	case "word":
		return pl.word(step, l)
	case "connect":
		if old := pl.conns[l.Conn]; old != nil {
			pl.lose(l.Conn)
		}
		if err := pl.connect(step, l); err != nil {
			return err
		}
	default:
		if pl.conns[l.Conn] == nil {
			if err := pl.connect(step, &Line{Conn: l.Conn, Keys: map[string]string{}}); err != nil {
				return err
			}
		}
	}
	c := pl.conns[l.Conn]
	alone := false
	switch l.Verb {
	case "connect":
	case "drop":
		pl.lose(l.Conn)
	case "send":
		b, err := hex.DecodeString(strings.Join(l.Args, ""))
		if err != nil {
			return err
		}
		c.unsent = append(c.unsent, b...)
		c.deaf = true
	case "listen":
		alone = true
	default:
		if c.over {
			pl.hear(step, l.Conn, Frame{Kind: "over"})
			return nil
		}
		c.xid++
		q, err := pl.encode(l, c.xid)
		if err != nil {
			return err
		}
		c.waiting = append(c.waiting, q)
		c.queue(q.body)
		if l.Mark != "" {
			defer func() { pl.marks[l.Mark] = c.last }()
		}
	}
	if l.More {
		return nil
	}
	switch c := pl.conns[l.Conn]; {
	case c == nil:
	case c.deaf && !alone:
		_ = c.flush() // the reader learns it too
	default:
		pl.listen(step, l.Conn, alone)
	}
	for _, name := range slices.Sorted(maps.Keys(pl.conns)) {
		if name != l.Conn && !pl.conns[name].deaf {
			pl.listen(step, name, false)
		}
	}
	return nil
}

// lose hangs up without a word.
func (pl *play) lose(name string) {
	c := pl.conns[name]
	delete(pl.conns, name)
	c.nc.Close()
	for range c.frames { // until the reader has ended
	}
}

func (pl *play) hear(step int, conn string, f Frame) {
	if n := len(pl.Heard); n == 0 || pl.Heard[n-1].Step != step || pl.Heard[n-1].Conn != conn {
		pl.Heard = append(pl.Heard, Heard{Step: step, Conn: conn})
	}
	h := &pl.Heard[len(pl.Heard)-1]
	h.Frames = append(h.Frames, f)
}

// addr is where a connection goes.
func (p *Player) addr(conn string) string {
	if n := (int(conn[0]) - 'A') % (len(p.Others) + 1); n > 0 {
		return p.Others[n-1]
	}
	return p.Addr
}

// connect opens a connection with its session.
func (pl *play) connect(step int, l *Line) error {
	nc, err := net.Dial("tcp", pl.addr(l.Conn))
	if err != nil {
		return err
	}
	c := &caller{nc: nc, frames: make(chan []byte, 64)}
	go c.read()
	pl.conns[l.Conn] = c
	if l.Keys["silent"] != "" { // no handshake
		c.deaf = true
		return nil
	}
	e := encoder{scene: &pl.scene, line: l}
	q := jute.ConnectRequest{
		ProtocolVersion: int32(e.number("version", 0)), LastZxidSeen: e.number("zxid", 0), Timeout: int32(e.number("timeout", 10000)),
		SessionID: e.number("session", 0), Password: make([]byte, jute.PasswordLen), HasReadOnly: e.number("len", 45) > 44, ReadOnly: l.Keys["ro"] != "",
	}
	if as := l.Keys["as"]; as != "" {
		id := pl.opened[as] // none: a new one
		q.SessionID, q.Password = id.SessionID, slices.Clone(id.Password[:])
	}
	switch l.Keys["pass"] {
	case "":
	case "bad":
		q.Password[3]++
	case "~":
		q.Password = nil
	default:
		q.Password = make([]byte, e.number("pass", 16))
	}
	body := q.Append(nil)
	if n := e.number("len", 45); int(n) < len(body) {
		body = body[:n]
	}
	e.hex(l.Keys["pad"])
	body = append(body, e.b...)
	if e.err != nil {
		return e.err
	}
	c.queue(body)
	_ = c.flush() // the reader learns it too
	switch body, ok := c.next(pl.patience()); {
	case !ok && c.over:
		pl.hear(step, l.Conn, Frame{Kind: "closed"})
	case !ok:
		pl.hear(step, l.Conn, Frame{Kind: "silent"})
		c.deaf = true
	default:
		f, r := decodeConnect(body)
		if _, known := pl.sessions[r.SessionID]; !known {
			pl.sessions[r.SessionID] = l.Conn
		}
		if _, known := pl.secrets[string(r.Password[:])]; !known {
			pl.secrets[string(r.Password[:])] = l.Conn
		}
		if r.SessionID != 0 {
			pl.opened[l.Conn] = r
		}
		defer func() {
			if len(pl.Others) > 0 && r.SessionID != 0 { // this member may not show yet what another one has answered
				pl.listen(step, l.Conn, false)
			}
		}()
		pl.hear(step, l.Conn, f)
	}
	return nil
}

// listen hears what there is for a connection, up to the answer to a question of its own. alone: up to the first frame that
// comes by itself, before that.
func (pl *play) listen(step int, name string, alone bool) {
	c := pl.conns[name]
	if c.over {
		return
	}
	if alone {
		body, ok := c.next(pl.patience() * 3)
		if !ok {
			pl.end(step, name)
			return
		}
		pl.take(step, name, body)
	}
	if n := len(c.waiting); n > 0 && mayEnd(c.waiting[n-1].op) && !pl.ends(step, name) {
		return
	}
	if !c.deaf {
		pl.probe++
		h := jute.RequestHeader{Xid: pl.probe, Op: jute.OpExists}
		c.queue(jute.AppendBool(jute.AppendString(h.Append(nil), "/zookeeper"), false))
	}
	_ = c.flush() // the reader learns it too
	for {
		body, ok := c.next(pl.patience())
		if !ok {
			pl.end(step, name)
			return
		}
		if xid := jute.NewDecoder(body).Int(); xid == pl.probe {
			pl.skipped(step, name, len(c.waiting))
			return
		}
		pl.take(step, name, body)
	}
}

// mayEnd tells of requests whose answer may be the end of the connection.
func mayEnd(op jute.Opcode) bool {
	switch op {
	case jute.OpCloseSession, jute.OpAuth, jute.OpSASL:
		return true
	}
	return !slices.Contains(slices.Collect(maps.Values(verbs)), op)
}

// farewell is how long a server may take to hang up after an answer that says so.
const farewell = time.Second

// ends hears the answers to all that was asked and, after one that ends the connection, that end: a question would be one too
// many. It returns whether the connection goes on.
func (pl *play) ends(step int, name string) bool {
	c := pl.conns[name]
	_ = c.flush() // the reader learns it too
	for len(c.waiting) > 0 {
		body, ok := c.next(pl.patience())
		if !ok {
			pl.end(step, name)
			return false
		}
		pl.take(step, name, body)
	}
	if !c.ending {
		return true
	}
	for {
		body, ok := c.next(farewell)
		switch {
		case ok:
			pl.take(step, name, body)
		case c.over:
			pl.end(step, name)
			return false
		default:
			return true
		}
	}
}

// end notes that a connection says nothing any more.
func (pl *play) end(step int, name string) {
	c := pl.conns[name]
	f := Frame{Kind: "closed"}
	if !c.over {
		f.Kind = "silent"
		c.over = true
	}
	var ops []string
	for _, q := range c.waiting {
		ops = append(ops, q.op.String())
	}
	f.Fields = []Field{exact("unanswered", strings.Join(ops, " "))}
	pl.hear(step, name, f)
}

// skipped notes that the first n of the waiting requests were not answered.
func (pl *play) skipped(step int, name string, n int) {
	c := pl.conns[name]
	for _, q := range c.waiting[:n] {
		pl.hear(step, name, Frame{Kind: "unanswered", Fields: []Field{exact("op", q.op)}})
	}
	c.waiting = c.waiting[n:]
}

// take decodes one frame.
func (pl *play) take(step int, name string, body []byte) {
	c := pl.conns[name]
	xid := jute.NewDecoder(body).Int()
	n := slices.IndexFunc(c.waiting, func(q request) bool {
		if q.op == jute.OpPing {
			return xid == jute.XidPing
		}
		return q.xid == xid
	})
	switch {
	case n < 0 && xid == jute.XidEvent:
		pl.hear(step, name, decodeEvent(body))
		return
	case n < 0:
		pl.hear(step, name, Frame{Kind: "stray", Fields: []Field{exact("xid", xid), exact("length", len(body))}})
		return
	}
	q := c.waiting[n]
	if q.op == jute.OpPing { // may overtake
		c.waiting = slices.Delete(c.waiting, n, n+1)
	} else {
		pl.skipped(step, name, n)
		c.waiting = c.waiting[1:]
	}
	f, zxid := decodeReply(body, q.op)
	c.ending = q.op == jute.OpCloseSession || mayEnd(q.op) && f.Fields[1].Text != "0"
	c.last = max(c.last, zxid)
	pl.hear(step, name, f)
}

// word asks a four-letter word.
func (pl *play) word(step int, l *Line) error {
	nc, err := net.Dial("tcp", pl.Addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(pl.patience())); err != nil {
		return err
	}
	w := l.Args[0]
	if l.Keys["newline"] != "" {
		w += "\n"
	}
	pieces := []string{w}
	if l.Keys["split"] != "" {
		pieces = []string{w[:2], w[2:]}
	}
	for _, s := range pieces {
		if _, err := io.WriteString(nc, s); err != nil {
			return err
		}
	}
	if l.Keys["half"] != "" {
		if err := nc.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
	}
	text, err := io.ReadAll(nc)
	f := Frame{Kind: "text"}
	if err != nil && len(text) == 0 {
		f.Fields = append(f.Fields, exact("end", endOf(err)))
	}
	for i, s := range wordShape(l.Args[0][:4], string(text)) {
		f.Fields = append(f.Fields, exact(strconv.Itoa(i), s))
	}
	pl.hear(step, l.Conn, f)
	return nil
}

// endOf tells a silent server from one that hangs up.
func endOf(err error) string {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return "silent"
	}
	return "closed"
}
