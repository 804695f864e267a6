package peernet

import (
	"errors"
	"net"
	"sync"
)

// Conns is the open connections of an owner who hands them to a library that does not close them all. Methods may be called
// concurrently.
type Conns struct {
	mu     sync.Mutex
	open   map[*trackedConn]struct{} // guarded by mu
	closed bool                      // guarded by mu
}

type trackedConn struct {
	net.Conn
	of *Conns
}

func (c *trackedConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// Add passes on what a dial or an accept returned; a connection is closed with the owner's others. After CloseAll it is refused with
// net.ErrClosed.
func (s *Conns) Add(c net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	t := &trackedConn{Conn: c, of: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	if s.open == nil {
		s.open = make(map[*trackedConn]struct{})
	}
	s.open[t] = struct{}{}
	return t, nil
}

// CloseAll closes what is open, and all that comes.
func (s *Conns) CloseAll() {
	s.mu.Lock()
	open := s.open
	s.open, s.closed = nil, true
	s.mu.Unlock()
	for c := range open {
		c.Conn.Close()
	}
}
