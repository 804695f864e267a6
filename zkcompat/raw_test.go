package zkcompat_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/tiertest/memtier"
	"github.com/strata-coord/strata/zkcompat"
	"github.com/strata-coord/strata/zkcompat/jute"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for what must come.
const patience = 20 * time.Second

// world is a server over a tree in memory.
type world struct {
	t        *testing.T
	tier     *memtier.Tier
	sessions *memtier.Sessions
	server   *zkcompat.Server
	log      *logBook
}

type option func(*zkcompat.Config)

func newWorld(t *testing.T, opts ...option) *world {
	tier := memtier.New(memtier.Options{})
	t.Cleanup(tier.Close)
	return newWorldOver(t, tier, tier, opts...)
}

// newWorldOver serves top, in which tier is what can be held up.
func newWorldOver(t *testing.T, tier *memtier.Tier, top tiers.Tier, opts ...option) *world {
	t.Helper()
	w := &world{t: t, tier: tier, log: new(logBook)}
	w.sessions = memtier.NewSessions(top, 50*time.Millisecond, time.Minute)
	t.Cleanup(w.sessions.Stop)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := zkcompat.Config{
		Listen: l, Tier: w.sessions.Tier(), Sessions: w.sessions, EachDataWatch: tier.EachDataWatch, Logger: slog.New(slog.NewTextHandler(w.log, nil)),
		Server: func() zkcompat.ServerInfo {
			s := tier.Stats()
			_, _, watches := tier.WatchStats()
			return zkcompat.ServerInfo{
				Mode: "standalone", Version: "0.1", Built: time.Unix(1735786999, 0), ID: 1, Zxid: tier.Zxid(), Znodes: s.Znodes, Ephemerals: s.Ephemerals,
				DataBytes: s.DataBytes, Sessions: s.Sessions, Watches: watches,
			}
		},
	}
	for _, o := range opts {
		o(&cfg)
	}
	if w.server, err = zkcompat.Listen(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := w.server.Close(ctx); err != nil {
			t.Error(err)
		}
		if n := w.server.Stats().Outstanding; n != 0 {
			t.Errorf("%d requests are outstanding after the end", n)
		}
		if watchers, _, _ := tier.WatchStats(); watchers != 0 {
			t.Errorf("%d watchers are left", watchers)
		}
	})
	return w
}

// logBook is what the server has logged.
type logBook struct {
	mu   sync.Mutex
	text []byte
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	return len(p), nil
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}

// raw is a client that shows every byte.
type raw struct {
	t   *testing.T
	nc  net.Conn
	xid int32
	jute.ConnectResponse
}

// dial opens a TCP connection.
func (w *world) dial() *raw {
	w.t.Helper()
	nc, err := net.Dial("tcp", w.server.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { nc.Close() })
	return &raw{t: w.t, nc: nc}
}

// connect opens a session.
func (w *world) connect() *raw {
	w.t.Helper()
	c := w.dial()
	c.greet(jute.ConnectRequest{Timeout: 30000, HasReadOnly: true})
	if c.SessionID == 0 {
		w.t.Fatal("no session")
	}
	return c
}

// greet sends a connect request and reads the response.
func (c *raw) greet(q jute.ConnectRequest) {
	c.t.Helper()
	if q.Password == nil {
		q.Password = make([]byte, 16)
	}
	c.frame(q.Append(nil))
	if err := c.ConnectResponse.Decode(jute.NewDecoder(c.body())); err != nil {
		c.t.Fatal(err)
	}
}

// resume attaches to the session of another connection.
func (w *world) resume(old *raw, seen int64) *raw {
	w.t.Helper()
	c := w.dial()
	c.greet(jute.ConnectRequest{Timeout: 30000, SessionID: old.SessionID, Password: old.Password[:], LastZxidSeen: seen})
	return c
}

func (c *raw) bytes(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *raw) frame(body []byte) {
	c.t.Helper()
	c.bytes(append(jute.AppendInt(nil, int32(len(body))), body...))
}

// send sends a request with the next xid and returns that.
func (c *raw) send(op jute.Opcode, record []byte) int32 {
	c.t.Helper()
	c.xid++
	c.sendAs(c.xid, op, record)
	return c.xid
}

func (c *raw) sendAs(xid int32, op jute.Opcode, record []byte) {
	c.t.Helper()
	h := jute.RequestHeader{Xid: xid, Op: op}
	c.frame(append(h.Append(nil), record...))
}

func (c *raw) node(q jute.NodeOp) int32 {
	c.t.Helper()
	return c.send(q.Op, q.Append(nil))
}

// body reads a frame.
func (c *raw) body() []byte {
	c.t.Helper()
	b, err := c.tryBody()
	if err != nil {
		c.t.Fatalf("reading a frame: %v", err)
	}
	return b
}

func (c *raw) tryBody() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.nc, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(c.nc, b)
	return b, err
}

// reply is one frame of the server.
type reply struct {
	jute.ReplyHeader
	*jute.Decoder
}

func (c *raw) recv() reply {
	c.t.Helper()
	var r reply
	r.Decoder = jute.NewDecoder(c.body())
	if err := r.ReplyHeader.Decode(r.Decoder); err != nil {
		c.t.Fatal(err)
	}
	if r.Code != jute.CodeOK && r.Decoder.Len() != 0 {
		c.t.Errorf("a reply with code %d has %d bytes behind the header", r.Code, r.Decoder.Len())
	}
	return r
}

// want reads the reply to that xid.
func (c *raw) want(xid int32, code jute.Code) reply {
	c.t.Helper()
	r := c.recv()
	if r.Xid != xid || r.Code != code {
		c.t.Fatalf("reply to %d with code %d, want %d with %d", r.Xid, r.Code, xid, code)
	}
	return r
}

// event reads a watch event.
func (c *raw) event(kind tiers.EventType, path string) reply {
	c.t.Helper()
	r := c.want(jute.XidEvent, jute.CodeOK)
	var e jute.WatcherEvent
	if err := e.Decode(r.Decoder); err != nil {
		c.t.Fatal(err)
	}
	if e.Type != int32(kind) || e.Path != path || e.State != jute.SyncConnected {
		c.t.Fatalf("event %v %s %d, want %v %s", tiers.EventType(e.Type), e.Path, e.State, kind, path)
	}
	return r
}

// closed expects the end of the connection, and nothing before it.
func (c *raw) closed() {
	c.t.Helper()
	b, err := c.tryBody()
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("%d bytes, %v; want the connection closed", len(b), err)
	}
}

func (r reply) stat() jute.Stat {
	var s jute.Stat
	_ = s.Decode(r.Decoder) // callers compare it
	return s
}

var openACL = []jute.ACL{{Perms: 31, Scheme: jute.NullString{S: "world", Valid: true}, ID: "anyone"}}

func create(path, data string) jute.NodeOp {
	return jute.NodeOp{Op: jute.OpCreate, Path: path, Data: []byte(data), ACL: openACL}
}

func set(path, data string) jute.NodeOp {
	return jute.NodeOp{Op: jute.OpSetData, Path: path, Data: []byte(data), Version: -1}
}

func get(path string, watch bool) jute.NodeOp {
	return jute.NodeOp{Op: jute.OpGetData, Path: path, Watch: watch}
}

func remove(path string) jute.NodeOp { return jute.NodeOp{Op: jute.OpDelete, Path: path, Version: -1} }

// do sends a request and reads its reply.
func (c *raw) do(q jute.NodeOp, code jute.Code) reply {
	c.t.Helper()
	return c.want(c.node(q), code)
}
