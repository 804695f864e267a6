// Package peernet is the one seam between members and the network.
//
// A [Network] is the operating system's or a simulated one (internal/simnet), so that whole clusters run on fake time. A [Port]
// is one address for everything that members say to each other: the first byte of a stream names its protocol. [Serve] and
// [Client] are calls over such streams.
package peernet

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Network opens sockets. Addresses are "host:port".
type Network interface {
	Listen(addr string) (net.Listener, error)
	ListenPacket(addr string) (net.PacketConn, error)
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// Protocol is the first byte of a stream between members. TLS begins with 0x16, so none is that.
type Protocol byte

const (
	Raft     Protocol = 'R'
	Gossip   Protocol = 'G'
	Strong   Protocol = 'S'
	Records  Protocol = 'E'
	Sessions Protocol = 'H'
	Hello    Protocol = 'J'
)

func (p Protocol) String() string { return fmt.Sprintf("%q", byte(p)) }

// System is the operating system's network.
func System() Network { return system{} }

type system struct{}

var (
	listenConfig = net.ListenConfig{KeepAliveConfig: keepAlive, Control: giveUpSoon}
	dialer       = net.Dialer{KeepAliveConfig: keepAlive, Control: giveUpSoon}
	keepAlive    = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}
)

func (system) Listen(addr string) (net.Listener, error) {
	return listenConfig.Listen(context.Background(), "tcp", addr)
}

func (system) ListenPacket(addr string) (net.PacketConn, error) {
	return listenConfig.ListenPacket(context.Background(), "udp", addr)
}

func (system) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return dialer.DialContext(ctx, "tcp", addr)
}
