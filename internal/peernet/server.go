package peernet

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
)

// concurrency bounds the unordered calls of one connection that are handled at once; then its reader waits.
const concurrency = 64

// Handler answers a call. An error travels as a RemoteError.
type Handler func(ctx context.Context, from net.Addr, body []byte) ([]byte, error)

// Method is how calls are handled: Ordered ones of a connection one after the other, as they arrive, in the goroutine that
// reads it, so they must not block; others concurrently.
type Method struct {
	Handle  Handler
	Ordered bool
}

// Server answers calls until Close.
type Server struct {
	l       net.Listener
	methods map[byte]Method
	log     *slog.Logger
	ctx     context.Context
	stop    context.CancelFunc
	work    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // guarded by mu; nil after Close
}

// Serve answers the calls of l's connections.
func Serve(l net.Listener, methods map[byte]Method, log *slog.Logger) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{l: l, methods: methods, log: log, conns: make(map[net.Conn]struct{})}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if !s.track(c) {
				c.Close()
				return
			}
			s.work.Go(func() { s.serve(c) })
		}
	})
	return s
}

func (s *Server) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

// Close closes the listener and the connections, and waits for the handlers, whose contexts end.
func (s *Server) Close() error {
	s.stop()
	err := s.l.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.work.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (s *Server) serve(c net.Conn) {
	ctx, cancel := context.WithCancel(s.ctx)
	out := newWriter(c)
	var calls sync.WaitGroup
	defer func() {
		cancel()
		c.Close()
		calls.Wait()
		out.close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	slots := make(chan struct{}, concurrency)
	in := bufio.NewReaderSize(c, 64<<10)
	for {
		f, err := readFrame(in)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				s.log.Debug("a member's connection ended", "from", c.RemoteAddr(), "err", err)
			}
			return
		}
		m, ok := s.methods[f.method]
		switch {
		case !ok:
			out.send(failure(f.call, &RemoteError{Text: "unknown method", Code: CodeUnknownMethod}))
		case m.Ordered:
			out.send(s.answer(ctx, c, m, f))
		default:
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			calls.Go(func() {
				out.send(s.answer(ctx, c, m, f))
				<-slots
			})
		}
	}
}

func (s *Server) answer(ctx context.Context, c net.Conn, m Method, f frame) frame {
	body, err := m.Handle(ctx, c.RemoteAddr(), f.body)
	if err != nil {
		var re *RemoteError
		if !errors.As(err, &re) {
			re = &RemoteError{Text: err.Error()}
		}
		return failure(f.call, re)
	}
	return frame{call: f.call, method: replyOK, body: body}
}
