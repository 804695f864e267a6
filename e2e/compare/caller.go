package compare

import (
	"io"
	"net"
	"time"

	"github.com/strata-coord/strata/zkcompat/jute"
)

// caller is one connection of a story.
type caller struct {
	nc      net.Conn
	frames  chan []byte // closed at the end of the connection
	waiting []request   // without a reply
	unsent  []byte
	over    bool
	ending  bool // the last reply is one that ends a connection
	deaf    bool // a part of a frame was sent: nobody can ask anything any more
	xid     int32
	last    int64 // greatest zxid of a reply
}

func (c *caller) queue(body []byte) {
	start := len(c.unsent)
	c.unsent = jute.EndFrame(append(jute.BeginFrame(c.unsent), body...), start)
}

func (c *caller) flush() error {
	b := c.unsent
	c.unsent = nil
	_, err := c.nc.Write(b)
	return err
}

// next is the next frame; not ok: none came, or the connection is over.
func (c *caller) next(patience time.Duration) (body []byte, ok bool) {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case body, ok = <-c.frames:
		c.over = c.over || !ok
	case <-t.C:
	}
	return body, ok
}

// read takes frames off the connection, until it is closed from either side.
func (c *caller) read() {
	defer close(c.frames)
	for {
		var head [4]byte
		if _, err := io.ReadFull(c.nc, head[:]); err != nil {
			return
		}
		n := jute.NewDecoder(head[:]).Int()
		if n < 0 || n > 8<<20 {
			return
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(c.nc, body); err != nil {
			return
		}
		c.frames <- body
	}
}
