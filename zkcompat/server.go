package zkcompat

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a listener for ZooKeeper clients, or a plain and a TLS one.
type Server struct {
	cfg    Config
	ctx    context.Context // ends when Close begins: no session is opened any more
	stop   context.CancelFunc
	work   sync.WaitGroup // the accept loops, and the goroutines of connections
	totals *totals
	notes  *notes
	trace  atomic.Int64 // see traceMask

	mu     sync.Mutex
	conns  map[*conn]struct{} // guarded by mu
	from   map[netip.Addr]int // how many of them an address has; guarded by mu
	closed bool               // guarded by mu
}

// Listen serves clients until Close.
func Listen(cfg Config) (*Server, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, totals: newTotals(), notes: &notes{log: cfg.Logger},
		conns: make(map[*conn]struct{}), from: make(map[netip.Addr]int),
	}
	s.trace.Store(defaultTraceMask)
	s.ctx, s.stop = context.WithCancel(context.Background())
	wrap := plain
	if cfg.TLS != nil && cfg.TLS.Unify {
		wrap = unified
	}
	if cfg.Listen != nil {
		s.work.Go(func() { s.accept(cfg.Listen, wrap) })
	}
	if cfg.TLS != nil && cfg.TLS.Listen != nil {
		s.work.Go(func() { s.accept(cfg.TLS.Listen, secure) })
	}
	if cfg.Gone != nil {
		s.work.Go(s.sendAway)
	}
	return s, nil
}

// Addr is where clients connect to: without TLS, if there is such a listener.
func (s *Server) Addr() net.Addr {
	if s.cfg.Listen == nil {
		return s.SecureAddr()
	}
	return s.cfg.Listen.Addr()
}

// SecureAddr is where clients connect to with TLS from the first byte; nil: nowhere.
func (s *Server) SecureAddr() net.Addr {
	if s.cfg.TLS == nil || s.cfg.TLS.Listen == nil {
		return nil
	}
	return s.cfg.TLS.Listen.Addr()
}

// Stats counts.
func (s *Server) Stats() Stats {
	st := s.totals.stats()
	s.mu.Lock()
	st.Connections = len(s.conns)
	s.mu.Unlock()
	return st
}

// Close refuses new connections, lets what was asked be answered for a moment (at most until ctx ends), and closes the
// connections but not their sessions. It returns when nothing of the server is running any more.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	for c := range s.conns {
		c.leave()
	}
	s.mu.Unlock()
	var err error
	if !again {
		s.stop()
		err = s.closeListeners()
	}
	late := context.AfterFunc(ctx, func() {
		for _, c := range s.connections() {
			c.abort(errLeaving)
			c.nc.Close()
		}
	})
	defer late()
	s.work.Wait()
	return err
}

func (s *Server) closeListeners() error {
	var errs []error
	if s.cfg.Listen != nil {
		errs = append(errs, s.cfg.Listen.Close())
	}
	if s.cfg.TLS != nil && s.cfg.TLS.Listen != nil {
		errs = append(errs, s.cfg.TLS.Listen.Close())
	}
	errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, net.ErrClosed) })
	return errors.Join(errs...)
}

// connections are those that are open now, the oldest first.
func (s *Server) connections() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	cs := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		cs = append(cs, c)
	}
	slices.SortFunc(cs, func(a, b *conn) int { return a.since.Compare(b.since) })
	return cs
}

// accept is the loop of a listener.
func (s *Server) accept(l net.Listener, w wrapping) {
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			s.welcome(nc, w)
		case s.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default:
			// Out of file descriptors, most likely: those who are connected go on.
			if s.notes.due("accept", l.Addr().String()) {
				s.cfg.Logger.Warn("cannot accept connections of clients", "listener", l.Addr().String(), "err", err)
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-s.ctx.Done():
				return
			}
		}
	}
}

// welcome serves a connection unless there are too many.
func (s *Server) welcome(nc net.Conn, w wrapping) {
	remote := addrOf(nc.RemoteAddr())
	c := newConn(s, nc, remote, w)
	if err := s.add(c); err != nil {
		if !errors.Is(err, errLeaving) && s.notes.due("limit", remote.String()) {
			s.cfg.Logger.Warn("refused a client's connection", "client", c.from(), "err", err)
		}
		nc.Close()
		return
	}
	s.work.Go(func() {
		defer s.remove(c)
		c.serve()
	})
}

func (s *Server) add(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errLeaving
	case s.cfg.MaxConnections > 0 && len(s.conns) >= s.cfg.MaxConnections:
		return fmt.Errorf("%d connections are open: raise the limit", len(s.conns))
	case s.cfg.MaxPerAddress > 0 && s.from[c.remote] >= s.cfg.MaxPerAddress:
		return fmt.Errorf("%d connections from %v are open: raise the limit for one address", s.from[c.remote], c.remote)
	}
	s.conns[c] = struct{}{}
	s.from[c.remote]++
	return nil
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.from[c.remote]--; s.from[c.remote] == 0 {
		delete(s.from, c.remote)
	}
}

// addrOf is the host part of an address; the zero Addr if it has none.
func addrOf(a net.Addr) netip.Addr {
	if ap, err := netip.ParseAddrPort(a.String()); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
