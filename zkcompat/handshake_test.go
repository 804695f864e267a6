package zkcompat_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// Clients count on the exact lengths: old ones send no readOnly byte and want none.
func TestHandshakeSizes(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		readOnly  bool
		sent, got int
	}{{false, 44, 36}, {true, 45, 37}} {
		conn := w.dial()
		q := jute.ConnectRequest{ProtocolVersion: 7, Timeout: 4000, Password: make([]byte, 16), HasReadOnly: c.readOnly}
		b := q.Append(nil)
		if len(b) != c.sent {
			t.Fatalf("the request has %d bytes", len(b))
		}
		conn.frame(b)
		got := conn.body()
		var a jute.ConnectResponse
		if err := a.Decode(jute.NewDecoder(got)); err != nil || len(got) != c.got {
			t.Fatalf("%d bytes, %v; want %d", len(got), err, c.got)
		}
		if a.ProtocolVersion != 0 || a.SessionID == 0 || a.Timeout != 4000 || a.Password == [16]byte{} || a.ReadOnly {
			t.Errorf("%+v", a)
		}
	}
	for _, password := range [][]byte{nil, {}, []byte("any length at all, it is a new session")} {
		conn := w.dial()
		q := jute.ConnectRequest{Timeout: 4000, Password: password}
		conn.frame(q.Append(nil))
		if n := len(conn.body()); n != 36 {
			t.Errorf("%d bytes", n)
		}
	}
	short := w.dial()
	short.frame(make([]byte, 20))
	short.closed()
}

func TestResumeASession(t *testing.T) {
	w := newWorld(t)
	first := w.connect()
	e := create("/e", "")
	e.Flags = int32(tiers.Ephemeral)
	first.do(e, 0)

	thief := w.dial()
	thief.greet(jute.ConnectRequest{Timeout: 4000, SessionID: first.SessionID, Password: []byte("0123456789abcdef")})
	if thief.SessionID != 0 || thief.Timeout != 0 || thief.Password != [16]byte{} {
		t.Errorf("a wrong password: %+v", thief.ConnectResponse)
	}
	thief.closed()
	first.do(get("/e", false), 0) // not disturbed by the wrong password

	second := w.resume(first, 0)
	if second.SessionID != first.SessionID || second.Password != first.Password || second.Timeout != 30000 {
		t.Errorf("%+v, want %+v", second.ConnectResponse, first.ConnectResponse)
	}
	first.closed()
	if s := second.do(get("/e", false), 0); s.Buffer() == nil || s.stat().EphemeralOwner != first.SessionID {
		t.Error("the ephemeral is not this session's")
	}

	second.nc.Close() // without closing the session
	third := w.resume(first, 0)
	third.do(get("/e", false), 0)
	third.want(third.send(jute.OpCloseSession, nil), 0)
	third.closed()
	gone := w.resume(first, 0)
	if gone.SessionID != 0 || gone.Timeout != 0 {
		t.Errorf("after the session's end: %+v", gone.ConnectResponse)
	}
	gone.closed()
	w.connect().do(get("/e", false), jute.CodeNoNode)
}

// A client that has seen more than this member waits a moment for it, and is then sent away without a word.
func TestLastZxidSeen(t *testing.T) {
	w := newWorld(t)
	first := w.connect()
	z := first.do(create("/a", ""), 0).Zxid
	ahead := w.dial()
	q := jute.ConnectRequest{Timeout: 4000, LastZxidSeen: z + 1, Password: make([]byte, 16)}
	ahead.frame(q.Append(nil))
	first.do(create("/b", ""), 0)
	if n := len(ahead.body()); n != 36 {
		t.Errorf("%d bytes", n)
	}
	far := w.dial()
	q.LastZxidSeen = z + 1000
	far.frame(q.Append(nil))
	far.closed()
}

func TestNotReady(t *testing.T) {
	w := newWorld(t, func(c *zkcompat.Config) { c.Ready = func() error { return errors.New("no leader") } })
	c := w.dial()
	q := jute.ConnectRequest{Timeout: 4000, Password: make([]byte, 16)}
	c.frame(q.Append(nil))
	c.closed()
	for word, want := range map[string]string{
		"ruok": "imok", "isro": "null", "srvr": "This ZooKeeper instance is not currently serving requests\n",
		"mntr": "This ZooKeeper instance is not currently serving requests\n",
	} {
		if got := w.ask(word); got != want {
			t.Errorf("%s: %q", word, got)
		}
	}
}

func TestExpiryCutsTheConnection(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	w.sessions.End(tiers.SessionID(c.SessionID))
	c.closed()
}

func TestSilentConnections(t *testing.T) {
	w := newWorld(t, func(c *zkcompat.Config) { c.HandshakeTimeout = 10 * time.Millisecond })
	w.dial().closed()
	c := w.dial()
	c.bytes([]byte("ru")) // never completed
	c.closed()
}

func TestLimitPerAddress(t *testing.T) {
	w := newWorld(t, func(c *zkcompat.Config) { c.MaxPerAddress = 2 })
	a := w.connect()
	w.connect()
	w.dial().closed()
	if !strings.Contains(w.log.String(), "raise the limit") {
		t.Errorf("log: %s", w.log)
	}
	a.want(a.send(jute.OpCloseSession, nil), 0)
	a.closed()
	w.until(func() bool { return w.server.Stats().Connections == 1 })
	w.connect()
}

func TestFrameLengths(t *testing.T) {
	w := newWorld(t)
	for _, n := range []int32{-1, 0, 7, 0x100000, 1 << 30} {
		c := w.connect()
		h := jute.RequestHeader{Xid: 1, Op: jute.OpSetData}
		c.bytes(h.Append(jute.AppendInt(nil, n)))
		c.closed()
	}
	c := w.connect()
	q := create("/big", "")
	room := 0xfffff - 8 - len(q.Append(nil))
	q.Data = bytes.Repeat([]byte{'x'}, room)
	c.do(q, 0)
	if got := c.do(get("/big", false), 0).Buffer(); len(got) != room {
		t.Errorf("%d bytes are stored, want %d", len(got), room)
	}
	after := w.resume(c, 0)
	after.do(get("/big", false), 0)
	for _, n := range []int32{-1, 0x100000} {
		c := w.dial()
		c.bytes(jute.AppendInt(nil, n))
		c.closed()
	}
}

// Who comes back with many watches may say so in one request.
func TestSetWatchesLongerThanAFrame(t *testing.T) {
	const znodes = 20_000
	w := newWorld(t, func(c *zkcompat.Config) { c.MaxFrame = 64 << 10 })
	c := w.connect()
	q := jute.SetWatches{Data: []string{}, Exist: []string{}, Children: []string{}, Since: 1 << 40}
	for i := range znodes {
		q.Exist = append(q.Exist, fmt.Sprintf("/a-path-of-some-length-%020d", i))
	}
	x := c.send(jute.OpSetWatches, q.Append(nil, false))
	c.want(x, 0)
	if _, _, watches := w.tier.WatchStats(); watches != znodes {
		t.Errorf("%d watches are armed, want %d", watches, znodes)
	}
	x = c.node(create(q.Exist[znodes-1], ""))
	c.event(created, q.Exist[znodes-1])
	c.want(x, 0)

	c = w.connect() // any other request has the ordinary limit
	h := jute.RequestHeader{Xid: 1, Op: jute.OpMulti}
	c.bytes(h.Append(jute.AppendInt(nil, 64<<10+1)))
	c.closed()
	c = w.connect() // and even this one has a limit
	h.Op = jute.OpSetWatches2
	c.bytes(h.Append(jute.AppendInt(nil, 64<<10*zkcompat.WatchesFactor+1)))
	c.closed()
}

// ask sends a four-letter word and reads all of the answer.
func (w *world) ask(word string) string {
	w.t.Helper()
	others := w.server.Stats().Connections
	c := w.dial()
	c.bytes([]byte(word))
	b, err := io.ReadAll(c.nc)
	c.nc.Close()
	w.until(func() bool { return w.server.Stats().Connections <= others })
	var reset *net.OpError
	if err != nil && !errors.As(err, &reset) {
		w.t.Fatal(err)
	}
	return string(b)
}

// until waits for a condition.
func (w *world) until(holds func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); runtime.Gosched() {
		if time.Now().After(deadline) {
			w.t.Fatal("it never came to that")
		}
	}
}

// A frame is a frame however it arrives.
func TestSplitFrames(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	q := jute.ConnectRequest{Timeout: 4000, Password: make([]byte, 16)}
	body := q.Append(nil)
	whole := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	whole = append(whole, body...)
	for _, b := range whole {
		c.bytes([]byte{b})
	}
	if n := len(c.body()); n != 36 {
		t.Errorf("%d bytes", n)
	}
}
