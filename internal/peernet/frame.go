package peernet

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// A frame is: length of what follows (4 bytes), call id (8 bytes), method or kind of reply (1 byte), body; numbers are big-endian.
type frame struct {
	call   uint64
	method byte
	body   []byte
}

const (
	frameHeader = 9
	// MaxFrame bounds a frame's length.
	MaxFrame = 64 << 20

	replyOK    = 0xf0
	replyError = 0xf1 // body: code, text
)

// CodeUnknownMethod is the code of a call whose method the other side does not know.
const CodeUnknownMethod = 0xff

// RemoteError is what the other side's handler returned.
type RemoteError struct {
	Text string
	Code byte // the handler's choice
}

func (e *RemoteError) Error() string { return e.Text }

// ErrFrame: the other side sends what is no frame.
var ErrFrame = errors.New("malformed frame")

func failure(call uint64, e *RemoteError) frame {
	return frame{call: call, method: replyError, body: append([]byte{e.Code}, e.Text...)}
}

func (f frame) remoteError() error {
	if len(f.body) == 0 {
		return fmt.Errorf("%w: an empty error", ErrFrame)
	}
	return &RemoteError{Code: f.body[0], Text: string(f.body[1:])}
}

func readFrame(r *bufio.Reader) (frame, error) {
	var head [4 + frameHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < frameHeader || n > MaxFrame {
		return frame{}, fmt.Errorf("%w: %d bytes", ErrFrame, n)
	}
	f := frame{call: binary.BigEndian.Uint64(head[4:]), method: head[12]}
	switch n -= frameHeader; {
	case n == 0:
	case n <= 1<<20:
		f.body = make([]byte, n)
		if _, err := io.ReadFull(r, f.body); err != nil {
			return frame{}, err
		}
	default: // grows with what is there, not with what the length claims
		var b bytes.Buffer
		if _, err := io.CopyN(&b, r, int64(n)); err != nil {
			return frame{}, err
		}
		f.body = b.Bytes()
	}
	return f, nil
}

// writer sends frames in order from a goroutine of its own, many with one write.
type writer struct {
	c    net.Conn
	done chan struct{}

	mu     sync.Mutex
	cond   sync.Cond // of mu: something to write, or closed
	room   sync.Cond // of mu: the queue has shrunk, or closed
	queue  []byte    // guarded by mu
	closed bool      // guarded by mu
}

// maxUnsent bounds a connection's unsent bytes: then senders wait.
const maxUnsent = 32 << 20

func newWriter(c net.Conn) *writer {
	w := &writer{c: c, done: make(chan struct{})}
	w.cond.L, w.room.L = &w.mu, &w.mu
	go w.run()
	return w
}

func (w *writer) send(f frame) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) > maxUnsent && !w.closed {
		w.room.Wait()
	}
	if w.closed {
		return false
	}
	w.queue = binary.BigEndian.AppendUint32(w.queue, uint32(frameHeader+len(f.body)))
	w.queue = binary.BigEndian.AppendUint64(w.queue, f.call)
	w.queue = append(append(w.queue, f.method), f.body...)
	w.cond.Signal()
	return true
}

func (w *writer) run() {
	defer close(w.done)
	var out []byte
	for {
		w.mu.Lock()
		for len(w.queue) == 0 && !w.closed {
			w.cond.Wait()
		}
		if w.closed {
			w.mu.Unlock()
			return
		}
		out, w.queue = w.queue, out[:0]
		w.room.Broadcast()
		w.mu.Unlock()
		if _, err := w.c.Write(out); err != nil {
			w.shut()
			w.c.Close() // the reader notices
			return
		}
		if cap(out) > 1<<20 {
			out = nil
		}
	}
}

func (w *writer) shut() {
	w.mu.Lock()
	w.closed = true
	w.cond.Broadcast()
	w.room.Broadcast()
	w.mu.Unlock()
}

// close stops the goroutine and waits for it; the connection must be closed already.
func (w *writer) close() {
	w.shut()
	<-w.done
}
