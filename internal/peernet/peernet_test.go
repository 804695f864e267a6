package peernet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/internal/simnet"
)

func open(t *testing.T, n peernet.Network, addr string) *peernet.Port {
	t.Helper()
	p, err := peernet.Open(n, addr, peernet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestPortSortsByProtocol(t *testing.T) {
	defer goleak.VerifyNone(t)
	p, err := peernet.Open(peernet.System(), "127.0.0.1:0", peernet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	addr := p.Addr().String()
	for _, proto := range []peernet.Protocol{peernet.Raft, peernet.Hello} {
		c, err := p.Dial(t.Context(), proto, addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(c, "over %v", proto); err != nil {
			t.Fatal(err)
		}
		// The listener is asked for after the stream came.
		s, err := p.Listener(proto).Accept()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 8)
		if n, err := s.Read(b); err != nil || string(b[:n]) != fmt.Sprintf("over %v", proto) {
			t.Errorf("%q, %v", b[:n], err)
		}
		s.Close()
		c.Close()
	}
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Write([]byte("GET / HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	// 'G' is gossip: nobody accepts it here, and Close lets go of it.
	accepted := make(chan error)
	go func() {
		_, err := p.Listener(peernet.Records).Accept()
		accepted <- err
	}()
	if _, err := peernet.Open(peernet.System(), addr, peernet.Options{}); err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "another") {
		t.Errorf("a taken address: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
}

// echo answers with what it got; "fail" fails.
func echo(_ context.Context, _ net.Addr, body []byte) ([]byte, error) {
	if string(body) == "fail" {
		return nil, &peernet.RemoteError{Text: "as asked", Code: 7}
	}
	return body, nil
}

func TestCalls(t *testing.T) {
	defer goleak.VerifyNone(t)
	p, err := peernet.Open(peernet.System(), "127.0.0.1:0", peernet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s := peernet.Serve(p.Listener(peernet.Hello), map[byte]peernet.Method{1: {Handle: echo}, 2: {Handle: echo, Ordered: true}}, nil)
	defer s.Close()
	c := peernet.NewClient(func(ctx context.Context) (net.Conn, error) { return p.Dial(ctx, peernet.Hello, p.Addr().String()) })
	defer c.Close()

	var work sync.WaitGroup
	for i := range 200 {
		work.Go(func() {
			want := bytes.Repeat([]byte{byte(i)}, i*37)
			if got, err := c.Call(t.Context(), 1+byte(i%2), want); err != nil || !bytes.Equal(got, want) {
				t.Errorf("call %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	work.Wait()
	var remote *peernet.RemoteError
	if _, err := c.Call(t.Context(), 1, []byte("fail")); !errors.As(err, &remote) || remote.Code != 7 || remote.Text != "as asked" {
		t.Errorf("%v", err)
	}
	if _, err := c.Call(t.Context(), 9, nil); !errors.As(err, &remote) || remote.Code != peernet.CodeUnknownMethod {
		t.Errorf("an unknown method: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Call(ctx, 1, nil); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

// Ordered calls are handled in the order in which they were made; unordered ones do not wait for each other.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		n.SetDelay(time.Millisecond, 5*time.Millisecond)
		p, q := open(t, n.Host("10.0.0.1"), "10.0.0.1:1"), open(t, n.Host("10.0.0.2"), "10.0.0.2:1")
		var got []byte
		block := make(chan struct{})
		s := peernet.Serve(p.Listener(peernet.Hello), map[byte]peernet.Method{
			1: {Ordered: true, Handle: func(_ context.Context, _ net.Addr, b []byte) ([]byte, error) {
				got = append(got, b...)
				return nil, nil
			}},
			2: {Handle: func(context.Context, net.Addr, []byte) ([]byte, error) { <-block; return nil, nil }},
		}, nil)
		defer s.Close()
		c := peernet.NewClient(func(ctx context.Context) (net.Conn, error) { return q.Dial(ctx, peernet.Hello, "10.0.0.1:1") })
		defer c.Close()
		answers := make(chan error, 101)
		c.Go(2, nil, func(_ []byte, err error) { answers <- err })
		var want []byte
		for i := range 100 {
			want = append(want, byte(i))
			c.Go(1, []byte{byte(i)}, func(_ []byte, err error) { answers <- err })
		}
		for range 100 {
			if err := <-answers; err != nil {
				t.Fatal(err)
			}
		}
		close(block)
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("handled as %v", got)
		}
	})
}

// What a broken connection takes with it is answered once, with an error, and the next call dials.
func TestBrokenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		p, q := open(t, n.Host("10.0.0.1"), "10.0.0.1:1"), open(t, n.Host("10.0.0.2"), "10.0.0.2:1")
		stall := make(chan struct{})
		s := peernet.Serve(p.Listener(peernet.Hello), map[byte]peernet.Method{1: {Handle: echo},
			2: {Handle: func(ctx context.Context, _ net.Addr, _ []byte) ([]byte, error) {
				select {
				case <-stall:
				case <-ctx.Done():
				}
				return nil, nil
			}}}, nil)
		defer s.Close()
		dials := 0
		c := peernet.NewClient(func(ctx context.Context) (net.Conn, error) {
			dials++
			return q.Dial(ctx, peernet.Hello, "10.0.0.1:1")
		})
		defer c.Close()
		answers := make(chan error, 10)
		for range 10 {
			c.Go(2, nil, func(_ []byte, err error) { answers <- err })
		}
		synctest.Wait()
		n.Reset("10.0.0.1", "10.0.0.2")
		for range 10 {
			if err := <-answers; err == nil {
				t.Error("a call without an answer succeeded")
			}
		}
		if _, err := c.Call(t.Context(), 1, []byte("x")); err != nil || dials != 2 {
			t.Errorf("after %d dials: %v", dials, err)
		}
		// Across a cut a call waits for its context; when the way is open again it works.
		n.Partition([]string{"10.0.0.1"}, []string{"10.0.0.2"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if _, err := c.Call(ctx, 1, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		n.Heal()
		if _, err := c.Call(t.Context(), 1, []byte("y")); err != nil {
			t.Error(err)
		}
		n.Down("10.0.0.1")
		if _, err := c.Call(t.Context(), 1, nil); err == nil {
			t.Error("a host that is down answers")
		}
		n.Up("10.0.0.1")
		if _, err := c.Call(t.Context(), 1, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestClientCloses(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := peernet.NewClient(func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	answers := make(chan error, 2)
	c.Go(1, nil, func(_ []byte, err error) { answers <- err })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c.Go(1, nil, func(_ []byte, err error) { answers <- err })
	for range 2 {
		if err := <-answers; err == nil {
			t.Error("a closed client answers")
		}
	}
}
