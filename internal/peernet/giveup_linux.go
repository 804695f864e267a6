package peernet

import (
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unacknowledged is how long sent bytes may wait for the other host's acknowledgement before the connection breaks. TCP repeats
// them at growing distances, so that after a cut of a minute a connection would stay silent for up to another one.
const unacknowledged = 2 * time.Second

// giveUpSoon is a Control of net.Dialer and net.ListenConfig; accepted connections inherit it.
func giveUpSoon(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unacknowledged/time.Millisecond))
	}); e != nil {
		return e
	}
	return err
}
