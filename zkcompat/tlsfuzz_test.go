package zkcompat_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers/tiertest/memtier"
	"github.com/strata-coord/strata/zkcompat"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// FuzzUnifiedListener sends anything to a port for both, and expects that the connection ends with its client, and that the next
// clients are served, with TLS and without.
func FuzzUnifiedListener(f *testing.F) {
	ca := newAuthority(f, "ca")
	trusting := &tls.Config{RootCAs: ca.pool(), ServerName: "127.0.0.1"}
	f.Add([]byte{})
	f.Add([]byte("ruok"))
	f.Add([]byte{0x16})
	f.Add([]byte{0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0})
	f.Add([]byte{0x16, 3, 3, 0x40, 1, 1, 0, 0x40, 0})
	f.Add([]byte{0x15, 3, 3, 0, 2, 2, 40})
	f.Add(helloOf(f, trusting))

	tier := memtier.New(memtier.Options{})
	sessions := memtier.NewSessions(tier, 50*time.Millisecond, time.Minute)
	l := newPipes()
	cfg := zkcompat.Config{Listen: l, Tier: sessions.Tier(), Sessions: sessions, Logger: slog.New(slog.DiscardHandler)}
	unify(newFiles(f, ca, nil).load().Config())(&cfg)
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
	f.Fuzz(func(t *testing.T, stream []byte) {
		nc := l.dial()
		if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = nc.Write(stream) // it may be closed before it has taken all
			nc.Close()
		}()
		for b := make([]byte, 4096); ; {
			if _, err := nc.Read(b); err != nil {
				break
			}
		}
		for deadline := time.Now().Add(patience); server.Stats().Connections > 0; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("the connection is still there: %+v", server.Stats())
			}
		}
		for _, next := range []net.Conn{l.dial(), tls.Client(l.dial(), trusting)} {
			c := &raw{t: t, nc: next}
			c.greet(jute.ConnectRequest{Timeout: 30000})
			c.want(c.send(jute.OpCloseSession, nil), 0)
			c.closed()
			next.Close()
		}
		for server.Stats().Connections > 0 {
			runtime.Gosched()
		}
	})
}

// helloOf is what a client sends first.
func helloOf(f *testing.F, config *tls.Config) []byte {
	f.Helper()
	a, b := net.Pipe()
	defer b.Close()
	go func() {
		_ = tls.Client(a, config).Handshake() // it fails when the pipe is closed
		a.Close()
	}()
	hello := make([]byte, 4096)
	n, err := b.Read(hello)
	if err != nil {
		f.Fatal(err)
	}
	return hello[:n]
}
