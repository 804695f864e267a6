package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/spf13/pflag"

	"github.com/strata-coord/strata/zkcompat"
	"github.com/strata-coord/strata/zkcompat/reload"
)

// guardSettings are those of TLS and of who clients are.
type guardSettings struct {
	tlsListen     string
	tlsCert       string
	tlsKey        string
	tlsCA         string
	tlsClientAuth string // empty: need with a CA, else none
	unify         bool
	superDigest   string
	x509Super     string
	saslUsers     string
	saslSuper     string
	enforce       []string
}

func (g *guardSettings) register(f *pflag.FlagSet) {
	f.StringVar(&g.tlsListen, "zk-tls-listen", "", "where ZooKeeper clients connect with TLS, `HOST:PORT` (secureClientPort); empty for none")
	f.StringVar(&g.tlsCert, "tls-cert", "", "the certificate for clients' TLS, a PEM `FILE` with its chain; a changed file is taken over without a restart")
	f.StringVar(&g.tlsKey, "tls-key", "", "the key of --tls-cert, a PEM `FILE`")
	f.StringVar(&g.tlsCA, "tls-ca", "", "who signs clients' certificates, a PEM `FILE`; with it clients need one on TLS (see --tls-client-auth),\nand its subject is who they are in the ACL scheme x509")
	f.StringVar(&g.tlsClientAuth, "tls-client-auth", "", "`need`, want or none: whether clients show a certificate (default: need with --tls-ca, else none)")
	f.BoolVar(&g.unify, "zk-port-unification", false, "take TLS on --zk-listen too: the first byte of a connection decides (client.portUnification)")
	f.StringVar(&g.superDigest, "super-digest", "", "who passes every ACL check, `super:BASE64` of the SHA-1 of \"super:PASSWORD\" (superDigest)")
	f.StringVar(&g.x509Super, "x509-super-user", "", "the subject of a certificate that passes every ACL check, a `DN` in RFC 2253 form: CN=admin,O=Org,C=DE")
	f.StringVar(&g.saslUsers, "sasl-users", "", "who may authenticate by SASL DIGEST-MD5, a YAML `FILE` of lines USER: PASSWORD; a changed file is taken over without a restart")
	f.StringVar(&g.saslSuper, "sasl-super-user", "", "the `USER` of --sasl-users who passes every ACL check (zookeeper.superUser)")
	f.StringSliceVar(&g.enforce, "enforce-auth-schemes", nil, "serve only clients that authenticate by one of these schemes, `LIST` of digest, sasl, x509 (enforce.auth.schemes)")
}

// encrypts tells whether some listener takes TLS.
func (g *guardSettings) encrypts() bool { return g.tlsListen != "" || g.unify }

// complete fills in what follows from other flags, and refuses what can't work.
func (g *guardSettings) complete(plainListen string) error {
	if g.tlsClientAuth == "" {
		if g.tlsClientAuth = "none"; g.tlsCA != "" {
			g.tlsClientAuth = "need"
		}
	}
	_, known := clientAuths[g.tlsClientAuth]
	switch {
	case g.encrypts() && (g.tlsCert == "" || g.tlsKey == ""):
		return errors.New("--zk-tls-listen and --zk-port-unification need --tls-cert and --tls-key")
	case !g.encrypts() && (g.tlsCert != "" || g.tlsKey != "" || g.tlsCA != ""):
		return errors.New("--tls-cert, --tls-key and --tls-ca are for TLS: say where with --zk-tls-listen or --zk-port-unification")
	case g.unify && plainListen == "":
		return errors.New("--zk-port-unification needs --zk-listen: it is that port which takes TLS too")
	case !known:
		return fmt.Errorf("--tls-client-auth %q: want need, want or none", g.tlsClientAuth)
	case g.tlsClientAuth != "none" && g.tlsCA == "":
		return fmt.Errorf("--tls-client-auth %s needs --tls-ca: clients' certificates are held against it", g.tlsClientAuth)
	case g.x509Super != "" && g.tlsClientAuth == "none":
		return errors.New("--x509-super-user needs certificates of clients: set --tls-ca")
	}
	for _, scheme := range g.enforce {
		switch {
		case scheme != "digest" && scheme != "sasl" && scheme != "x509":
			return fmt.Errorf("--enforce-auth-schemes %q: there are digest, sasl and x509", scheme)
		case scheme == "sasl" && g.saslUsers == "":
			return errors.New("--enforce-auth-schemes sasl needs --sasl-users")
		case scheme == "x509" && g.tlsClientAuth == "none":
			return errors.New("--enforce-auth-schemes x509 needs --tls-ca")
		}
	}
	if g.saslSuper != "" && g.saslUsers == "" {
		return errors.New("--sasl-super-user needs --sasl-users")
	}
	if g.superDigest != "" {
		if err := zkcompat.CheckSuperDigest(g.superDigest); err != nil {
			return fmt.Errorf("--super-digest: %w", err)
		}
	}
	return nil
}

var clientAuths = map[string]zkcompat.ClientAuth{
	"need": zkcompat.NeedCertificate, "want": zkcompat.WantCertificate, "none": zkcompat.NoCertificate,
}

// guard is what the member has read from the files of its guardSettings.
type guard struct {
	settings *guardSettings
	certs    *zkcompat.Certificates           // nil: no TLS
	users    *reload.Value[map[string]string] // nil: no SASL
}

// newGuard reads the files, so that what is wrong with them is known before anything is opened.
func newGuard(g *guardSettings, log *slog.Logger) (*guard, error) {
	v := &guard{settings: g}
	if g.encrypts() {
		var err error
		v.certs, err = zkcompat.LoadCertificates(zkcompat.CertificateFiles{
			Cert: g.tlsCert, Key: g.tlsKey, CA: g.tlsCA, ClientAuth: clientAuths[g.tlsClientAuth],
		}, log)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert, --tls-key, --tls-ca: %w", err)
		}
	}
	if g.saslUsers != "" {
		var err error
		v.users, err = reload.New([]string{g.saslUsers}, func() (map[string]string, error) { return readUsers(g.saslUsers) }, log)
		if err != nil {
			return nil, fmt.Errorf("--sasl-users: %w", err)
		}
	}
	return v, nil
}

// reload reads the files again. What can't be read stays as it was.
func (v *guard) reload() error {
	var errs []error
	if v.certs != nil {
		errs = append(errs, v.certs.Reload())
	}
	if v.users != nil {
		errs = append(errs, v.users.Reload())
	}
	return errors.Join(errs...)
}

// apply sets what clients are served with; l is the listener for TLS alone, or nil.
func (v *guard) apply(c *zkcompat.Config, l net.Listener) {
	c.SuperDigest, c.EnforceAuth = v.settings.superDigest, v.settings.enforce
	if v.users != nil {
		c.SASL = &zkcompat.SASL{SuperUser: v.settings.saslSuper, Users: func(user string) (password string, ok bool) {
			password, ok = v.users.Get()[user]
			return password, ok
		}}
	}
	if v.certs != nil {
		c.TLS = &zkcompat.TLS{Listen: l, Unify: v.settings.unify, Config: v.certs.Config(), SuperUser: v.settings.x509Super}
	}
}
