package zkcompat

import (
	"crypto/sha1" // the digest scheme is defined by it
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/digestmd5"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// SASL lets clients prove by DIGEST-MD5 who they are in the ACL scheme sasl.
type SASL struct {
	// Users tells a user's password. It is called for every authentication, by many connections at once.
	Users func(user string) (password string, ok bool)
	// SuperUser is the user who passes every ACL check; empty: nobody does. Besides, as in ZooKeeper, the user "super" passes for
	// every id of this scheme.
	SuperUser string
}

// maxIdentities bounds the credentials of a connection.
const maxIdentities = 256

// offers tells whether the scheme may be named in ACLs; what else is wrong with it, the tiers say.
func (c *Config) offers(scheme string) bool {
	switch scheme {
	case "sasl":
		return c.SASL != nil
	case "x509":
		return c.TLS.verifies()
	}
	return true
}

// checkEnforced tells what is wrong with EnforceAuth.
func (c *Config) checkEnforced() error {
	for _, scheme := range c.EnforceAuth {
		switch {
		case scheme != "digest" && scheme != "sasl" && scheme != "x509":
			return fmt.Errorf("zkcompat: clients can't be made to authenticate by %q: there are digest, sasl and x509", scheme)
		case !c.offers(scheme):
			return fmt.Errorf("zkcompat: clients have to authenticate by %s, which is not offered", scheme)
		}
	}
	return nil
}

// addIdentity adds a credential. It returns false if the connection has too many.
func (c *conn) addIdentity(id tiers.Identity) bool {
	switch {
	case slices.Contains(c.caller, id):
	case len(c.caller) >= maxIdentities:
		return false
	default:
		c.caller = append(slices.Clip(c.caller), id)
		c.out.setCaller(c.caller)
	}
	return true
}

// known tells whether the client is somebody whom the server deals with.
func (c *conn) known() bool {
	enforced := c.srv.cfg.EnforceAuth
	return len(enforced) == 0 || slices.ContainsFunc(c.caller, func(id tiers.Identity) bool { return slices.Contains(enforced, id.Scheme) })
}

// auth adds a credential, for the requests from here on.
func (c *conn) auth(s *slot, d *jute.Decoder) error {
	var q jute.AuthRequest
	if err := q.Decode(d); err != nil {
		return garbledAuth(err)
	}
	ok := false
	switch q.Scheme {
	case "digest":
		if ok = q.Auth != nil; ok {
			id := digestOf(q.Auth)
			ok = c.addIdentity(id)
			if super := c.srv.cfg.SuperDigest; super != "" && id.ID == super {
				ok = c.addIdentity(tiers.Identity{Scheme: "super"}) && ok
			}
		}
	case "ip": // the address is an identity already
		ok = true
	case "x509": // so is the certificate's subject, if there is one
		ok = slices.ContainsFunc(c.caller, func(id tiers.Identity) bool { return id.Scheme == "x509" })
	}
	if !ok {
		return c.refuseAuth(s, jute.CodeAuthFailed, q.Scheme, "no such scheme here, or nothing in it: digest and ip are served, and x509 to who has a client certificate")
	}
	s.zxid = zxidNone
	return c.reply(s, jute.CodeOK)
}

// sasl takes a token of DIGEST-MD5: the first of a connection, whatever is in it, asks for a challenge; the second answers that.
func (c *conn) sasl(s *slot, d *jute.Decoder) error {
	token := d.Buffer()
	switch {
	case d.Err() != nil:
		return garbledAuth(d.Err())
	case token == nil:
		return garbledAuth(jute.ErrNull)
	}
	cfg := c.srv.cfg.SASL
	failed := jute.CodeAuthFailed
	if slices.Contains(c.srv.cfg.EnforceAuth, "sasl") {
		failed = jute.CodeRequireAuth
	}
	if cfg == nil {
		return c.refuseAuth(s, failed, "sasl", "SASL is not configured here")
	}
	if c.exchange == nil {
		c.exchange = digestmd5.Begin(cfg.Users)
		s.token = c.exchange.Challenge()
	} else {
		answer, user, err := c.exchange.Answer(token)
		if err != nil {
			return c.refuseAuth(s, failed, "sasl", err.Error())
		}
		ok := c.addIdentity(tiers.Identity{Scheme: "sasl", ID: user})
		if cfg.SuperUser != "" && user == cfg.SuperUser {
			ok = c.addIdentity(tiers.Identity{Scheme: "super"}) && ok
		}
		if !ok {
			return c.refuseAuth(s, failed, "sasl", "the connection has too many credentials")
		}
		s.token = answer
	}
	s.zxid = zxidNone
	return c.reply(s, jute.CodeOK)
}

// garbledAuth ends the connection after a credential that can't be decoded: the one request without an answer then, as in ZooKeeper.
func garbledAuth(err error) error { return fmt.Errorf("%w: a garbled credential: %w", errOrderly, err) }

// refuseUnknown answers a request of a client that has to say first who it is, and ends the connection.
func (c *conn) refuseUnknown(s *slot) error {
	return c.refuseAuth(s, jute.CodeRequireAuth, "", "the client has to authenticate before its first request, by one of these schemes: "+strings.Join(c.srv.cfg.EnforceAuth, ", "))
}

// refuseAuth answers that the client is not who it says, or does not say who it is, and ends the connection.
func (c *conn) refuseAuth(s *slot, code jute.Code, scheme, why string) error {
	c.srv.totals.authFailures.Add(1)
	if len(scheme) > 32 {
		scheme = scheme[:32]
	}
	if c.srv.notes.due("auth", scheme) {
		c.srv.cfg.Logger.Warn("closing the connection after an authentication that failed",
			"scheme", scheme, "why", why, "client", c.from(), "session", c.session().String())
	}
	s.zxid = zxidNone
	if err := c.reply(s, code); err != nil {
		return err
	}
	return errOrderly
}

// CheckSuperDigest tells what is wrong with a [Config.SuperDigest].
func CheckSuperDigest(s string) error {
	sum, ok := strings.CutPrefix(s, "super:")
	if b, err := base64.StdEncoding.DecodeString(sum); !ok || err != nil || len(b) != sha1.Size {
		return fmt.Errorf("%q: want super:BASE64, where BASE64 is of the SHA-1 of \"super:PASSWORD\"; printf super:PASSWORD | openssl sha1 -binary | base64 makes it", s)
	}
	return nil
}

// digestOf is the identity that "user:password" proves in the scheme digest.
func digestOf(credential []byte) tiers.Identity {
	user, _, _ := strings.Cut(string(credential), ":")
	sum := sha1.Sum(credential)
	return tiers.Identity{Scheme: "digest", ID: user + ":" + base64.StdEncoding.EncodeToString(sum[:])}
}
