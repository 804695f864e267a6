package zkcompat_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// withTLS serves TLS on a port of its own.
func withTLS(t *testing.T, config *tls.Config) option {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return func(c *zkcompat.Config) { c.TLS = &zkcompat.TLS{Listen: l, Config: config} }
}

func unify(config *tls.Config) option {
	return func(c *zkcompat.Config) { c.TLS = &zkcompat.TLS{Unify: true, Config: config} }
}

// dialTLS opens a TLS connection to the port for that.
func (w *world) dialTLS(config *tls.Config) *raw {
	w.t.Helper()
	return w.dialAt(w.server.SecureAddr(), config)
}

func (w *world) dialAt(addr net.Addr, config *tls.Config) *raw {
	w.t.Helper()
	tcp, err := net.Dial("tcp", addr.String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { tcp.Close() })
	nc := tls.Client(tcp, config)
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	return &raw{t: w.t, nc: nc}
}

// greeted opens a session on the connection.
func (c *raw) greeted() *raw {
	c.t.Helper()
	c.greet(jute.ConnectRequest{Timeout: 30000, HasReadOnly: true})
	if c.SessionID == 0 {
		c.t.Fatal("no session")
	}
	return c
}

// refused expects that no session can be had on the connection.
func (c *raw) refused() {
	c.t.Helper()
	q := jute.ConnectRequest{Timeout: 30000, Password: make([]byte, 16)}
	body := q.Append(nil)
	if _, err := c.nc.Write(append(jute.AppendInt(nil, int32(len(body))), body...)); err != nil {
		return
	}
	c.closed()
}

// serial is that of the certificate that the server shows.
func (c *raw) serial() int64 {
	c.t.Helper()
	nc := c.nc.(*tls.Conn)
	if err := nc.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	return nc.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// whoAmI is the connection's identities but for the address, as scheme:id.
func (c *raw) whoAmI() string {
	c.t.Helper()
	r := c.want(c.send(jute.OpWhoAmI, nil), 0)
	var all []string
	for range r.Int() {
		if scheme, id := r.String(), r.String(); scheme != "ip" {
			all = append(all, scheme+":"+id)
		} else if id != "127.0.0.1" {
			c.t.Errorf("the address is %s", id)
		}
	}
	return strings.Join(all, " ")
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t, "ca")
	w := newWorld(t, withTLS(t, newFiles(t, ca, nil).load().Config()))
	trusting := &tls.Config{RootCAs: ca.pool(), ServerName: "127.0.0.1"}

	c := w.dialTLS(trusting).greeted()
	c.do(create("/a", strings.Repeat("x", 100_000)), 0)
	if got := c.do(get("/a", true), 0).Buffer(); len(got) != 100_000 {
		t.Errorf("%d bytes", len(got))
	}
	if who := c.whoAmI(); who != "" {
		t.Errorf("identities: %s", who)
	}
	plain := w.connect() // the other port stays as it is
	plain.do(set("/a", "2"), 0)
	c.event(tiers.NodeDataChanged, "/a")
	c.want(c.send(jute.OpCloseSession, nil), 0)
	if b, err := io.ReadAll(c.nc); err != nil || len(b) > 0 { // a TLS end, not a cut
		t.Errorf("at the end: %q, %v", b, err)
	}

	word := w.dialTLS(trusting)
	word.bytes([]byte("conf"))
	_, securePort, _ := net.SplitHostPort(w.server.SecureAddr().String())
	_, port, _ := net.SplitHostPort(w.server.Addr().String())
	if b, err := io.ReadAll(word.nc); err != nil || !strings.HasPrefix(string(b), "clientPort="+port+"\nsecureClientPort="+securePort+"\n") {
		t.Errorf("conf: %q, %v", b, err)
	}

	// Plain text on the port for TLS, and TLS on the plain port.
	lost, err := net.Dial("tcp", w.server.SecureAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	w.t.Cleanup(func() { lost.Close() })
	stray := &raw{t: t, nc: lost}
	if err := lost.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	stray.bytes([]byte("ruok\n"))
	if b, err := io.ReadAll(lost); err == nil && bytes.Contains(b, []byte("imok")) {
		t.Errorf("plain text is answered: %q", b)
	}
	w.dialAt(w.server.Addr(), trusting).refused()
}

func TestPortUnification(t *testing.T) {
	ca := newAuthority(t, "ca")
	w := newWorld(t, unify(newFiles(t, ca, ca).load().Config()))
	if w.server.SecureAddr() != nil {
		t.Errorf("a TLS port: %v", w.server.SecureAddr())
	}
	bob := &tls.Config{RootCAs: ca.pool(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{ca.pair(2, pkix.Name{CommonName: "bob"})}}
	c := w.dialAt(w.server.Addr(), bob).greeted()
	if who := c.whoAmI(); who != "x509:CN=bob" {
		t.Errorf("by TLS: %q", who)
	}
	c.do(create("/a", "1"), 0)
	plain := w.connect()
	if who := plain.whoAmI(); who != "" {
		t.Errorf("without TLS: %q", who)
	}
	plain.do(get("/a", false), 0)
	if got := w.ask("ruok"); got != "imok" {
		t.Errorf("ruok: %q", got)
	}
	w.dialAt(w.server.Addr(), &tls.Config{RootCAs: ca.pool(), ServerName: "127.0.0.1"}).refused() // no certificate

	conn, _ := w.client(func(network, addr string, timeout time.Duration) (net.Conn, error) {
		return tls.DialWithDialer(&net.Dialer{Timeout: timeout}, network, addr, bob)
	})
	if data, _, err := conn.Get("/a"); err != nil || string(data) != "1" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := conn.SetACL("/a", zk.AuthACL(zk.PermAll), -1); err != nil {
		t.Error(err)
	}
	plain.do(get("/a", false), jute.CodeNoAuth)
	c.do(get("/a", false), 0)
}

func TestClientCertificates(t *testing.T) {
	ca, stranger := newAuthority(t, "ca"), newAuthority(t, "stranger")
	bob := pkix.Name{CommonName: "bob", Organization: []string{"Strata, Inc."}, Country: []string{"DE"}}
	const name = `CN=bob,O=Strata\, Inc.,C=DE`
	config := func(certs ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: ca.pool(), ServerName: "127.0.0.1", Certificates: certs}
	}
	known, unknown := ca.pair(2, bob), stranger.pair(3, bob)
	super := func(c *zkcompat.Config) { c.TLS.SuperUser = name }
	for what, row := range map[string]struct {
		auth                 zkcompat.ClientAuth
		opts                 []option
		with, without, wrong string // identities; "-" for no session
	}{
		"need":  {zkcompat.NeedCertificate, nil, "x509:" + name, "-", "-"},
		"want":  {zkcompat.WantCertificate, nil, "x509:" + name, "", "-"},
		"none":  {zkcompat.NoCertificate, nil, "", "", ""},
		"super": {zkcompat.NeedCertificate, []option{super}, "x509:" + name + " super:", "-", "-"},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFiles(t, ca, ca)
			f.ClientAuth = row.auth
			w := newWorld(t, append([]option{withTLS(t, f.load().Config())}, row.opts...)...)
			for _, c := range []struct {
				certs []tls.Certificate
				want  string
			}{{[]tls.Certificate{known}, row.with}, {nil, row.without}, {[]tls.Certificate{unknown}, row.wrong}} {
				// A client that sends its certificate whatever CAs the server names.
				tc := config(c.certs...)
				if len(c.certs) > 0 {
					tc.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.certs[0], nil }
				}
				conn := w.dialTLS(tc)
				if c.want == "-" {
					conn.refused()
				} else if got := conn.greeted().whoAmI(); got != c.want {
					t.Errorf("%q, want %q", got, c.want)
				}
			}
		})
	}
}

// Handshakes that don't come to an end hold nobody up, and are over in time.
func TestSlowTLSHandshakes(t *testing.T) {
	ca := newAuthority(t, "ca")
	w := newWorld(t, withTLS(t, newFiles(t, ca, nil).load().Config()), func(c *zkcompat.Config) { c.HandshakeTimeout = 3 * time.Second })
	var slow []net.Conn
	for i := range 20 {
		nc, err := net.Dial("tcp", w.server.SecureAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := nc.Write([]byte{0x16, 0x03, 0x01, 0x02, 0x00}[:i%6]); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, nc)
	}
	w.dialTLS(&tls.Config{RootCAs: ca.pool(), ServerName: "127.0.0.1"}).greeted()
	for _, nc := range slow {
		if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		c := &raw{t: t, nc: nc}
		c.closed()
	}
}

// A server that closes does not wait for handshakes.
func TestCloseInTLSHandshake(t *testing.T) {
	ca := newAuthority(t, "ca")
	w := newWorld(t, withTLS(t, newFiles(t, ca, nil).load().Config()), func(c *zkcompat.Config) { c.HandshakeTimeout = time.Hour })
	nc, err := net.Dial("tcp", w.server.SecureAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	w.until(func() bool { return w.server.Stats().Connections == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.server.Close(ctx); err != nil {
		t.Error(err)
	}
	c := &raw{t: t, nc: nc}
	c.closed()
}

func TestCertificatesAreReloaded(t *testing.T) {
	ca, next := newAuthority(t, "ca"), newAuthority(t, "next")
	f := newFiles(t, ca, ca)
	certs := f.load()
	w := newWorld(t, withTLS(t, certs.Config()))
	client := func(server, signer *authority) *raw {
		return w.dialTLS(&tls.Config{RootCAs: server.pool(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{signer.pair(7, pkix.Name{CommonName: "bob"})}})
	}
	old := client(ca, ca).greeted()
	if n := client(ca, ca).serial(); n != 100 {
		t.Errorf("certificate %d", n)
	}

	f.replace(ca.sign(101, pkix.Name{CommonName: "server"}))
	if err := certs.Reload(); err != nil {
		t.Fatal(err)
	}
	if n := client(ca, ca).serial(); n != 101 {
		t.Errorf("certificate %d after the change", n)
	}

	f.write(f.Key, []byte("broken"))
	if err := certs.Reload(); err == nil || !strings.Contains(err.Error(), f.Key) {
		t.Errorf("a broken key: %v", err)
	}
	if n := client(ca, ca).serial(); n != 101 {
		t.Errorf("certificate %d after a broken change", n)
	}

	f.replace(next.sign(102, pkix.Name{CommonName: "server"}))
	f.write(f.CA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: next.cert.Raw}))
	if err := certs.Reload(); err != nil {
		t.Fatal(err)
	}
	client(next, ca).refused() // its CA is no longer the one
	if who := client(next, next).greeted().whoAmI(); who != "x509:CN=bob" {
		t.Errorf("%q", who)
	}
	old.do(create("/a", ""), 0) // who is connected stays so
}

func TestCertificateFilesThatFail(t *testing.T) {
	ca := newAuthority(t, "ca")
	for what, spoil := range map[string]func(*files){
		"no such file": func(f *files) { f.Cert += "x" },
		"private key": func(f *files) { // of another certificate
			_, key := ca.sign(1, pkix.Name{CommonName: "other"})
			f.write(f.Key, key)
		},
		"no certificate in PEM form": func(f *files) { f.write(f.CA, []byte("nothing")) },
		"the CA of clients":          func(f *files) { f.CA += "x" },
	} {
		f := newFiles(t, ca, ca)
		spoil(f)
		if _, err := zkcompat.LoadCertificates(f.CertificateFiles, nil); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %q", err, what)
		}
	}
}

func TestTLSThatIsNotComplete(t *testing.T) {
	for what, cfg := range map[string]*zkcompat.TLS{
		"certificate": {Unify: true}, "listener": {Config: &tls.Config{}}, "super user": {Unify: true, Config: &tls.Config{}, SuperUser: "CN=x"},
	} {
		w := newWorld(t)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, err = zkcompat.Listen(zkcompat.Config{Listen: l, Tier: w.sessions.Tier(), Sessions: w.sessions, TLS: cfg})
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %q", err, what)
		}
	}
}

// A client's address is its identity, behind TLS too, whatever its family.
func TestAddressesOfBothFamilies(t *testing.T) {
	ca := newAuthority(t, "ca")
	named := &named{}
	w := newWorld(t, unify(newFiles(t, ca, nil).load().Config()), func(c *zkcompat.Config) { named.Listener, c.Listen = c.Listen, named })
	from := func(addr string) *raw {
		t.Helper()
		named.remote.Store(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
		return w.dialAt(w.server.Addr(), &tls.Config{RootCAs: ca.pool(), ServerName: "127.0.0.1"}).greeted()
	}
	owner := from("[2001:db8::1]:5000")
	q := create("/p", "")
	q.ACL = []jute.ACL{{Perms: 31, Scheme: scheme("ip"), ID: "2001:db8::/32"}, {Perms: 1, Scheme: scheme("ip"), ID: "10.0.0.0/8"}, {Perms: 1, Scheme: scheme("ip"), ID: "fe80::1"}}
	owner.do(q, 0)
	for addr, code := range map[string]jute.Code{
		"[2001:db8:ffff::2]:1": 0, "10.1.2.3:1": 0, "[::ffff:10.1.2.3]:1": 0, "[fe80::1%eth0]:1": 0,
		"[2001:db9::1]:1": jute.CodeNoAuth, "11.1.2.3:1": jute.CodeNoAuth, "[::1]:1": jute.CodeNoAuth, "[::10.1.2.3]:1": jute.CodeNoAuth,
	} {
		if got := w.recvOf(from(addr), get("/p", false)); got != code {
			t.Errorf("%s: %d, want %d", addr, got, code)
		}
	}
}

func (w *world) recvOf(c *raw, q jute.NodeOp) jute.Code {
	w.t.Helper()
	return c.recvFor(c.node(q)).Code
}

// named is a listener whose clients say where they are.
type named struct {
	net.Listener
	remote atomic.Pointer[net.TCPAddr]
}

func (l *named) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &namedConn{nc, l.remote.Load()}, nil
}

type namedConn struct {
	net.Conn
	remote net.Addr
}

func (c *namedConn) RemoteAddr() net.Addr { return c.remote }
