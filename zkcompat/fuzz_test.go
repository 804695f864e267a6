package zkcompat_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers/tiertest/memtier"
	"github.com/strata-coord/strata/zkcompat"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// pipes is a listener without a network.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2181} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// script is a stream of requests for the fuzzer to begin with.
func script(qs ...[]byte) []byte {
	var b []byte
	for _, q := range qs {
		b = append(jute.AppendInt(b, int32(len(q))), q...)
	}
	return b
}

func request(xid int32, op jute.Opcode, record []byte) []byte {
	h := jute.RequestHeader{Xid: xid, Op: op}
	return append(h.Append(nil), record...)
}

// FuzzListener sends a listener anything, and expects whole frames or the end; and that the next client is served as ever.
func FuzzListener(f *testing.F) {
	hello := (&jute.ConnectRequest{Timeout: 30000, Password: make([]byte, 16), HasReadOnly: true}).Append(nil)
	mk, rd, wr, rm := create("/f", "x"), get("/f", true), set("/f", "y"), remove("/f")
	node := func(xid int32, q jute.NodeOp) []byte { return request(xid, q.Op, q.Append(nil)) }
	watches := jute.SetWatches{Data: []string{"/f"}, Exist: []string{"/g"}, Children: []string{"/"}, Persistent: []string{"/"}, Recursive: []string{"/"}}
	end := jute.MultiEnd.Append(nil)
	part := jute.MultiHeader{Op: jute.OpCreate, Code: -1}
	multi := append(append(part.Append(nil), mk.Append(nil)...), end...)
	auth := append(jute.AppendInt(nil, 0), jute.AppendBuffer(jute.AppendString(nil, "digest"), []byte("a:b"))...)
	for _, seed := range [][]byte{
		{}, []byte("ruok"), []byte("mntr\n"), []byte("dump"), []byte("wchp"), []byte("cons"), {0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0},
		script(hello), script(hello, hello),
		script(hello, node(1, mk), node(2, rd), node(3, wr), node(4, rm), request(5, jute.OpCloseSession, nil)),
		script(hello, request(1, jute.OpMulti, multi), request(2, jute.OpMultiRead, end), request(-2, jute.OpPing, nil)),
		script(hello, request(-8, jute.OpSetWatches, watches.Append(nil, false)), request(-8, jute.OpSetWatches2, watches.Append(nil, true)), node(1, mk)),
		script(hello, request(-4, jute.OpAuth, auth), request(1, jute.OpWhoAmI, nil), request(2, jute.OpSASL, jute.AppendBuffer(nil, nil))),
		script(hello, request(1, jute.OpAddWatch, jute.AppendInt(jute.AppendString(nil, "/"), 1)), request(2, jute.OpSync, jute.AppendString(nil, "/"))),
		script(hello, request(1, jute.OpReconfig, append(jute.AppendString(jute.AppendString(jute.AppendString(nil, "server.4=h:1:2:participant;3"), "4"), ""), make([]byte, 8)...))),
		script(hello, request(1, 1000, nil)),
		script(hello, request(1, jute.OpSASL, jute.AppendBuffer(nil, nil)), request(2, jute.OpSASL, jute.AppendBuffer(nil, []byte(`username="bob",nonce="x",response=1`))), request(3, jute.OpPing, nil)),
	} {
		f.Add(seed, uint16(7))
	}

	tier := memtier.New(memtier.Options{})
	sessions := memtier.NewSessions(tier, 50*time.Millisecond, time.Minute)
	l := newPipes()
	cfg := zkcompat.Config{
		Listen: l, Tier: sessions.Tier(), Sessions: sessions, MaxFrame: 64 << 10,
		Logger: slog.New(slog.DiscardHandler),
	}
	withSASL(&cfg)
	server, err := zkcompat.Listen(cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(server.Close(ctx), l.Close()); err != nil {
			f.Error(err)
		}
		sessions.Stop()
		tier.Close()
	})

	f.Fuzz(func(t *testing.T, stream []byte, piece uint16) {
		if seen := 4 + 4; len(stream) >= seen+8 {
			stream = slices.Clone(stream)
			clear(stream[seen : seen+8]) // the server would wait for what such a client has seen
		}
		nc := l.dial()
		// Whoever takes all the time is wrong.
		if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		answered := make(chan error, 1)
		go func() { answered <- frames(nc, stream) }()
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), int(piece)+1)
			if _, err := nc.Write(rest[:n]); err != nil {
				break // it has been closed
			}
			rest = rest[n:]
		}
		nc.Close()
		if err := <-answered; err != nil {
			t.Error(err)
		}
		for deadline := time.Now().Add(patience); server.Stats().Connections > 0; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("the connection is still there: %+v", server.Stats())
			}
		}
		if n := server.Stats().Outstanding; n != 0 {
			t.Errorf("%d requests are outstanding after the end", n)
		}
		next := &raw{t: t, nc: l.dial()}
		next.greet(jute.ConnectRequest{Timeout: 30000})
		next.do(jute.NodeOp{Op: jute.OpExists, Path: "/"}, 0)
		next.want(next.send(jute.OpCloseSession, nil), 0)
		next.nc.Close()
		for server.Stats().Connections > 0 {
			runtime.Gosched()
		}
	})
}

// frames reads replies until the end: they are whole, and have a header. Text answers a four-letter word.
func frames(nc net.Conn, stream []byte) error {
	word := len(stream) >= 4 && stream[0] >= 'a' && stream[0] <= 'z'
	for first := true; ; first = false {
		var head [4]byte
		if _, err := io.ReadFull(nc, head[:]); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) && !word {
				return err
			}
			return nil
		}
		if word {
			_, _ = io.Copy(io.Discard, nc) // whatever it says
			return nil
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > 8<<20 || n < 16 && !first {
			return errors.New("a reply of an impossible length")
		}
		if _, err := io.CopyN(io.Discard, nc, int64(n)); err != nil {
			return nil // the client has hung up
		}
	}
}
