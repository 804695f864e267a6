package zkcompat

import (
	"context"
	"net"
	"time"
)

// Server is a listener for ZooKeeper clients.
type Server struct{ cfg Config }

// Listen serves clients until Close.
func Listen(cfg Config) (*Server, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	return &Server{cfg: cfg}, nil
}

// Addr is where clients connect to.
func (s *Server) Addr() net.Addr { return s.cfg.Listen.Addr() }

// Stats are a server's figures.
type Stats struct {
	Connections int    // open now
	Outstanding int    // requests without an answer yet
	Received    uint64 // requests, since the start or the last srst
	Sent        uint64 // replies and events, likewise

	// From reading a request to handing its reply to the socket, likewise.
	MinLatency, AvgLatency, MaxLatency time.Duration
}

// Stats counts.
func (s *Server) Stats() Stats { return Stats{} }

// Close refuses new connections, lets what was asked be answered for a moment (at most until ctx ends), and closes the
// connections but not their sessions. It returns when nothing of the server is running any more.
func (s *Server) Close(context.Context) error { return s.cfg.Listen.Close() }
