package zkcompat

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/strata-coord/strata/tiers"
)

// TLS says how clients are served with encryption. Inside, everything is as without, four-letter words included.
type TLS struct {
	// Listen is a port of its own where TLS begins with the first byte, ZooKeeper's secureClientPort; owned by the Server from
	// [Listen] on. Nil: there is none.
	Listen net.Listener
	// Unify lets [Config.Listen] take TLS too: a connection whose first byte begins a TLS handshake gets one, every other is plain.
	Unify bool
	// Config has the server's certificate. If it asks clients for theirs, and verifies them, their subjects are identities of the
	// ACL scheme x509. See [LoadCertificates] for one that follows its files.
	Config *tls.Config
	// SuperUser is the subject, in RFC 2253 form, who passes every ACL check. Empty: nobody does.
	SuperUser string
}

// verifies tells whether clients may prove who they are by a certificate.
func (t *TLS) verifies() bool {
	return t != nil && (t.Config.ClientAuth == tls.RequireAndVerifyClientCert || t.Config.ClientAuth == tls.VerifyClientCertIfGiven)
}

func (t *TLS) check() error {
	switch {
	case t == nil:
		return nil
	case t.Config == nil:
		return errors.New("zkcompat: TLS without a certificate: set its Config")
	case t.Listen == nil && !t.Unify:
		return errors.New("zkcompat: TLS that no listener has: set its Listen, or Unify")
	case t.SuperUser != "" && !t.verifies():
		return errors.New("zkcompat: an x509 super user needs certificates of clients that are verified: set Config.ClientAuth")
	}
	return nil
}

// wrapping says what a listener's connections are wrapped in.
type wrapping int

const (
	plain   wrapping = iota
	secure           // TLS
	unified          // plain, or TLS if it begins so
)

// handshakeByte is the first byte of every TLS connection: a record of the type handshake. It is neither a letter, nor the first
// byte of a length that a first frame may have.
const handshakeByte = 0x16

// wrap is the reader's first act: it makes the connection what its first bytes and its listener say. The caller has set a deadline.
func (c *conn) wrap() error {
	switch c.wrapping {
	case plain:
		return nil
	case unified:
		if first, err := c.r.Peek(1); err != nil || first[0] != handshakeByte {
			return err
		}
	}
	c.srv.totals.handshakes.Add(1)
	defer c.srv.totals.handshakes.Add(-1)
	t := tls.Server(&buffered{Conn: c.nc, r: c.r}, c.srv.cfg.TLS.Config)
	if err := t.Handshake(); err != nil {
		if c.srv.ctx.Err() == nil && c.srv.notes.due("tls", c.remote.String()) {
			c.srv.cfg.Logger.Warn("a client's TLS handshake failed", "client", c.from(), "err", err)
		}
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.tls, c.rw = t, t
	c.encrypted.Store(true)
	c.r = bufio.NewReaderSize(t, 8<<10)
	return c.knowCertificate(t.ConnectionState())
}

// knowCertificate gives the connection the identity that its client has proved.
func (c *conn) knowCertificate(s tls.ConnectionState) error {
	if len(s.VerifiedChains) == 0 {
		return nil
	}
	name, err := subject(s.PeerCertificates[0].RawSubject)
	if err != nil {
		return fmt.Errorf("the subject of the client's certificate: %w", err)
	}
	c.addIdentity(tiers.Identity{Scheme: "x509", ID: name}) // there is room: the connection is new
	if super := c.srv.cfg.TLS.SuperUser; super != "" && name == super {
		c.addIdentity(tiers.Identity{Scheme: "super"})
	}
	return nil
}

// buffered is a connection some of whose bytes a reader has taken already. It is read through the reader alone.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// closeWrite says goodbye: the client has got everything.
func (c *conn) closeWrite() error {
	if c.tls != nil {
		if err := c.tls.CloseWrite(); err != nil {
			return err
		}
	}
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
