package zkcompat

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/strata-coord/strata/zkcompat/reload"
)

// CertificateFiles names the PEM files of a server.
type CertificateFiles struct {
	Cert string // the server's certificate, followed by those that lead from it to a CA that clients know
	Key  string // its private key
	CA   string // the certificates that sign clients' certificates; empty: clients are not asked for any
	// ClientAuth says whether clients must show a certificate. It counts with a CA only: without one there is nothing to hold them against.
	ClientAuth ClientAuth
}

// ClientAuth is ZooKeeper's ssl.clientAuth.
type ClientAuth int

const (
	NeedCertificate ClientAuth = iota // a client without a certificate of the CA is refused
	WantCertificate                   // a certificate is verified if the client has one
	NoCertificate                     // clients are not asked for certificates
)

// Certificates are a server's files of TLS, read again when they have changed. Connections that are open keep what they began with.
type Certificates struct {
	value *reload.Value[*tls.Config]
}

// LoadCertificates reads the files. Later a handshake looks whether they have changed, at most once a second; what can't be loaded
// then is logged, and the old certificates stay in use. A nil log is slog.Default().
func LoadCertificates(f CertificateFiles, log *slog.Logger) (*Certificates, error) {
	if log == nil {
		log = slog.Default()
	}
	names := []string{f.Cert, f.Key}
	if f.CA != "" {
		names = append(names, f.CA)
	}
	v, err := reload.New(names, f.load, log)
	if err != nil {
		return nil, err
	}
	return &Certificates{value: v}, nil
}

// Config is for a [TLS]: its handshakes use the files as they are then.
func (c *Certificates) Config() *tls.Config {
	config := c.value.Get().Clone() // what is asked of clients can be seen in it
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.value.Get(), nil }
	return config
}

// Reload reads the files now. After an error, the old ones stay in use.
func (c *Certificates) Reload() error { return c.value.Reload() }

func (f *CertificateFiles) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("the certificate %s with the key %s: %w", f.Cert, f.Key, err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if f.CA == "" || f.ClientAuth == NoCertificate {
		return config, nil
	}
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("the CA of clients: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the CA of clients: %s: %w", f.CA, errNoPEM)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	if f.ClientAuth == WantCertificate {
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	// A ticket from before a change of the CA would admit who is no longer admitted.
	config.SessionTicketsDisabled = true
	return config, nil
}

var errNoPEM = errors.New("it has no certificate in PEM form")
