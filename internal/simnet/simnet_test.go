package simnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pair is a stream between two hosts.
func pair(t *testing.T, n *Net) (here, far net.Conn) {
	t.Helper()
	l, err := n.Host("b").Listen("b:1")
	if err != nil {
		t.Fatal(err)
	}
	here, err = n.Host("a").Dial(t.Context(), "b:1")
	if err != nil {
		t.Fatal(err)
	}
	far, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		here.Close()
		far.Close()
		l.Close()
	})
	return here, far
}

func TestStreamKeepsOrderThroughDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		n.SetDelay(10*time.Millisecond, 50*time.Millisecond)
		begun := time.Now()
		here, far := pair(t, n)
		if d := time.Since(begun); d < 20*time.Millisecond {
			t.Errorf("dialled in %v", d)
		}
		var want []byte
		for i := range 500 {
			want = append(want, byte(i), byte(i>>8))
		}
		begun = time.Now()
		for i := 0; i < len(want); i += 2 {
			if _, err := here.Write(want[i : i+2]); err != nil {
				t.Fatal(err)
			}
		}
		here.Close()
		got, err := io.ReadAll(far)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
		}
		if d := time.Since(begun); d < 10*time.Millisecond || d > 60*time.Millisecond {
			t.Errorf("it took %v", d)
		}
	})
}

func TestPartitionStallsStreamsAndDropsPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		here, far := pair(t, n)
		p, err := n.Host("a").ListenPacket("a:0")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		q, err := n.Host("b").ListenPacket("b:0")
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()

		n.Partition([]string{"a"}, []string{"b"})
		if _, err := here.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := p.WriteTo([]byte("lost"), q.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 10)
		for _, r := range []func() (int, error){
			func() (int, error) { return far.Read(b) },
			func() (int, error) { k, _, err := q.ReadFrom(b); return k, err },
		} {
			far.SetReadDeadline(time.Now().Add(time.Minute))
			q.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := r(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("across a cut: %v", err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Host("a").Dial(ctx, "b:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a dial across a cut: %v", err)
		}
		n.Heal()
		far.SetReadDeadline(time.Time{})
		q.SetReadDeadline(time.Time{})
		if k, err := far.Read(b); err != nil || string(b[:k]) != "x" {
			t.Errorf("after healing: %q, %v", b[:k], err)
		}
		if _, err := p.WriteTo([]byte("kept"), q.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		if k, from, err := q.ReadFrom(b); err != nil || string(b[:k]) != "kept" || from.String() != p.LocalAddr().String() {
			t.Errorf("after healing: %q from %v, %v", b[:k], from, err)
		}
		// One way only.
		n.Cut("a", "b")
		if _, err := far.Write([]byte("back")); err != nil {
			t.Fatal(err)
		}
		if k, err := here.Read(b); err != nil || string(b[:k]) != "back" {
			t.Errorf("the other way: %q, %v", b[:k], err)
		}
	})
}

func TestResetDownAndLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		here, far := pair(t, n)
		failed := make(chan error)
		go func() { _, err := far.Read(make([]byte, 1)); failed <- err }()
		synctest.Wait()
		n.Reset("a", "b")
		if err := <-failed; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a reset stream: %v", err)
		}
		if _, err := here.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("writing to it: %v", err)
		}
		if _, err := n.Host("b").Listen("b:1"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a taken address: %v", err)
		}
		if _, err := n.Host("a").Dial(t.Context(), "b:2"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %v", err)
		}
		p, err := n.Host("a").ListenPacket("a:0")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		n.SetLoss(0.5)
		for range 1000 {
			if _, err := p.WriteTo([]byte("x"), p.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		got := 0
		p.SetReadDeadline(time.Now().Add(time.Second))
		for {
			if _, _, err := p.ReadFrom(make([]byte, 1)); err != nil {
				break
			}
			got++
		}
		if got < 400 || got > 600 {
			t.Errorf("%d of 1000 packets arrived at half loss", got)
		}
	})
}

func TestFreezeHoldsAndThawDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		here, far := pair(t, n)
		p, err := n.Host("a").ListenPacket("a:0")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		q, err := n.Host("b").ListenPacket("b:0")
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		n.Freeze("b")
		if _, err := here.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := p.WriteTo([]byte("p"), q.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4)
		far.SetReadDeadline(time.Now().Add(time.Second))
		q.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := far.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a frozen host reads: %v", err)
		}
		if _, _, err := q.ReadFrom(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a frozen host gets packets: %v", err)
		}
		n.Thaw("b")
		far.SetReadDeadline(time.Time{})
		q.SetReadDeadline(time.Time{})
		if k, err := far.Read(b); err != nil || string(b[:k]) != "x" {
			t.Errorf("after it: %q, %v", b[:k], err)
		}
		if k, _, err := q.ReadFrom(b); err != nil || string(b[:k]) != "p" {
			t.Errorf("after it: %q, %v", b[:k], err)
		}
	})
}

func TestLinkDelayDuplicateAndBridge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		n.SetLinkDelay("a", "b", 30*time.Millisecond, 30*time.Millisecond)
		n.SetDuplicate(1)
		p, err := n.Host("a").ListenPacket("a:0")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		q, err := n.Host("b").ListenPacket("b:0")
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		begun := time.Now()
		if _, err := p.WriteTo([]byte("x"), q.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, _, err := q.ReadFrom(make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begun); d != 30*time.Millisecond {
			t.Errorf("it took %v", d)
		}
		n.ClearLinkDelays()
		n.SetDuplicate(0)
		n.Bridge("b", []string{"a", "b"}, []string{"b", "c"})
		for way, want := range map[[2]string]bool{{"a", "b"}: true, {"b", "c"}: true, {"c", "b"}: true, {"a", "c"}: false, {"c", "a"}: false} {
			if open, _ := n.open(way[0], way[1]); open != want {
				t.Errorf("%v is open: %v", way, open)
			}
		}
	})
}
