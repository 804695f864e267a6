package digestmd5

import (
	"crypto/md5" // the mechanism is defined by it
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// What ZooKeeper's clients expect.
const (
	Realm   = "zk-sasl-md5" // also the host that clients say they talk to
	Service = "zookeeper"
)

// ErrRefused is why an exchange fails. It does not tell who failed it: an unknown user looks like a wrong password.
var ErrRefused = errors.New("refused")

// Users tells the password of a user; ok is false for a user that is not there.
type Users func(user string) (password string, ok bool)

// Exchange is one authentication: a challenge, a response, an answer. Not for concurrent use. The zero value can't be used; see [Begin].
type Exchange struct {
	nonce string
	users Users
	over  bool
}

// Begin starts an exchange with a nonce of its own.
func Begin(users Users) *Exchange {
	return &Exchange{nonce: rand.Text(), users: users}
}

// Challenge is what the client is sent first.
func (e *Exchange) Challenge() []byte {
	return []byte(`realm=` + quote(Realm) + `,nonce=` + quote(e.nonce) + `,qop="auth",charset=utf-8,algorithm=md5-sess`)
}

// Answer checks the client's response. It may be called once: the nonce counts for nothing afterwards. It returns what the client is
// sent, by which it sees that the server knows the password too, and the user. Errors wrap [ErrRefused].
func (e *Exchange) Answer(response []byte) (answer []byte, user string, err error) {
	if e.over {
		return nil, "", fmt.Errorf("%w: the exchange is over", ErrRefused)
	}
	e.over = true
	r, err := e.read(response)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrRefused, err)
	}
	password, known := e.users(r.user)
	proof, right := r.check(password)
	if !known || !right {
		return nil, "", fmt.Errorf("%w: no such user, or another password", ErrRefused)
	}
	return []byte("rspauth=" + proof), r.user, nil
}

// response is what a client has sent, valid in itself.
type response struct {
	user                     string // in UTF-8
	realm, nonce, cnonce, nc string
	uri, authzid             string
	digest                   string
}

func (e *Exchange) read(b []byte) (*response, error) {
	d, err := directives(b)
	if err != nil {
		return nil, err
	}
	r := &response{
		user: d["username"], realm: d["realm"], nonce: d["nonce"], cnonce: d["cnonce"], nc: d["nc"],
		uri: d["digest-uri"], authzid: d["authzid"], digest: strings.ToLower(d["response"]),
	}
	charset, unicode := d["charset"]
	if !unicode && !utf8.ValidString(r.user) { // some clients send UTF-8 without saying so
		r.user = fromLatin1(r.user)
	}
	service, host, _ := strings.Cut(r.uri, "/")
	qop, asked := d["qop"]
	switch {
	case unicode && !strings.EqualFold(charset, "utf-8"):
		return nil, fmt.Errorf("charset %q", charset)
	case r.user == "" || !utf8.ValidString(r.user):
		return nil, errors.New("no user name")
	case r.realm != Realm && r.realm != "":
		return nil, fmt.Errorf("realm %q", r.realm)
	case subtle.ConstantTimeCompare([]byte(r.nonce), []byte(e.nonce)) != 1:
		return nil, errors.New("another nonce")
	case r.cnonce == "":
		return nil, errors.New("no nonce of the client")
	case r.nc != "00000001":
		return nil, fmt.Errorf("nonce count %q: each nonce counts once", r.nc)
	case asked && qop != "auth":
		return nil, fmt.Errorf("qop %q", qop)
	case !strings.EqualFold(service, Service) || !strings.EqualFold(host, Realm):
		return nil, fmt.Errorf("digest-uri %q", r.uri)
	case r.authzid != "" && r.authzid != r.user:
		return nil, fmt.Errorf("a request to be %q", r.authzid)
	case len(r.digest) != 2*md5.Size:
		return nil, errors.New("no response")
	}
	return r, nil
}

// check tells whether the client knows the password, and what proves to it that we do.
func (r *response) check(password string) (proof string, right bool) {
	// Names and passwords of ISO 8859-1 alone are hashed as such, says the RFC. Not every client does so.
	for _, encode := range []func(string) string{toLatin1, func(s string) string { return s }} {
		secret := md5.Sum([]byte(encode(r.user) + ":" + r.realm + ":" + encode(password)))
		if subtle.ConstantTimeCompare([]byte(r.value(secret, "AUTHENTICATE:")), []byte(r.digest)) == 1 && !right {
			proof, right = r.value(secret, ":"), true
		}
	}
	return proof, right
}

// value is the RFC's response-value: of the client with the method AUTHENTICATE, of the server without.
func (r *response) value(secret [md5.Size]byte, method string) string {
	a1 := string(secret[:]) + ":" + r.nonce + ":" + r.cnonce
	if r.authzid != "" {
		a1 += ":" + r.authzid
	}
	return hash(hash(a1) + ":" + r.nonce + ":" + r.nc + ":" + r.cnonce + ":auth:" + hash(method+r.uri))
}

func hash(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// toLatin1 is s in ISO 8859-1, or s itself if there is no such.
func toLatin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return s
		}
		b = append(b, byte(r))
	}
	return string(b)
}

func fromLatin1(s string) string {
	rs := make([]rune, len(s))
	for i := range len(s) {
		rs[i] = rune(s[i])
	}
	return string(rs)
}
