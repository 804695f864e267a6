package zkcompat_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/strata-coord/strata/zkcompat"
)

// authority signs certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = a.newKey()
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

// pool is what trusts the authority.
func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// sign makes a certificate for servers at 127.0.0.1 and for clients, and returns it and its key as PEM.
func (a *authority) sign(serial int64, who pkix.Name) (cert, key []byte) {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: who, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	k := a.newKey()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

func (a *authority) pair(serial int64, who pkix.Name) tls.Certificate {
	a.t.Helper()
	p, err := tls.X509KeyPair(a.sign(serial, who))
	if err != nil {
		a.t.Fatal(err)
	}
	return p
}

// files are a server's, in a directory of the test.
type files struct {
	t testing.TB
	zkcompat.CertificateFiles
}

func newFiles(t testing.TB, a *authority, clients *authority) *files {
	t.Helper()
	dir := t.TempDir()
	f := &files{t: t, CertificateFiles: zkcompat.CertificateFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}}
	f.replace(a.sign(100, pkix.Name{CommonName: "server"}))
	if clients != nil {
		f.CA = filepath.Join(dir, "ca.pem")
		f.write(f.CA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: clients.cert.Raw}))
	}
	return f
}

func (f *files) write(name string, b []byte) {
	f.t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *files) replace(cert, key []byte) {
	f.t.Helper()
	f.write(f.Cert, cert)
	f.write(f.Key, key)
}

func (f *files) load() *zkcompat.Certificates {
	f.t.Helper()
	c, err := zkcompat.LoadCertificates(f.CertificateFiles, slog.New(slog.DiscardHandler))
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}
