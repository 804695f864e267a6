package zkcompat_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat"
	"github.com/strata-coord/strata/zkcompat/jute"
)

func withSASL(c *zkcompat.Config) {
	users := map[string]string{"bob": "secret", "alice": "geheim", "super": "most secret", "admin": "adm"}
	c.SASL = &zkcompat.SASL{SuperUser: "admin", Users: func(u string) (string, bool) { p, ok := users[u]; return p, ok }}
}

func enforce(schemes ...string) option {
	return func(c *zkcompat.Config) { c.EnforceAuth = schemes }
}

// saslToken sends a token and reads the reply to it.
func (c *raw) saslToken(token []byte) (code jute.Code, answer []byte) {
	c.t.Helper()
	xid := c.send(jute.OpSASL, jute.AppendBuffer(nil, token))
	d := jute.NewDecoder(c.body())
	var h jute.ReplyHeader
	if err := h.Decode(d); err != nil || h.Xid != xid || h.Zxid != 0 {
		c.t.Fatalf("%+v, %v", h, err)
	}
	answer = d.Buffer()
	if d.Err() != nil || d.Len() != 0 || (answer == nil) != (h.Code != 0) {
		c.t.Fatalf("code %d with the token %q, %v", h.Code, answer, d.Err())
	}
	return h.Code, answer
}

var quotedNonce = regexp.MustCompile(`nonce="([^"]+)"`)

// response is a client's to a challenge (RFC 2831), and rspauth what it expects then.
func response(t *testing.T, challenge []byte, user, password string) (sent, rspauth []byte) {
	t.Helper()
	m := quotedNonce.FindSubmatch(challenge)
	if m == nil {
		t.Fatalf("no nonce in %q", challenge)
	}
	hash := func(s string) string {
		sum := md5.Sum([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	nonce := string(m[1])
	secret := md5.Sum([]byte(user + ":zk-sasl-md5:" + password))
	ha1 := hash(string(secret[:]) + ":" + nonce + ":cn")
	value := func(method string) string {
		return hash(ha1 + ":" + nonce + ":00000001:cn:auth:" + hash(method+"zookeeper/zk-sasl-md5"))
	}
	sent = fmt.Appendf(nil, `charset=utf-8,username="%s",realm="zk-sasl-md5",nonce="%s",nc=00000001,cnonce="cn",digest-uri="zookeeper/zk-sasl-md5",maxbuf=65536,response=%s,qop=auth`,
		user, nonce, value("AUTHENTICATE:"))
	return sent, []byte("rspauth=" + value(":"))
}

// sasl authenticates.
func (c *raw) sasl(first []byte, user, password string) {
	c.t.Helper()
	code, challenge := c.saslToken(first)
	if code != 0 || !strings.Contains(string(challenge), `realm="zk-sasl-md5"`) {
		c.t.Fatalf("code %d, challenge %q", code, challenge)
	}
	sent, want := response(c.t, challenge, user, password)
	if code, got := c.saslToken(sent); code != 0 || string(got) != string(want) {
		c.t.Fatalf("code %d, %q, want %q", code, got, want)
	}
}

func TestSASL(t *testing.T) {
	w := newWorld(t, withSASL)
	bob := w.connect()
	bob.do(create("/before", ""), 0) // it may come at any time
	bob.sasl([]byte{}, "bob", "secret")
	if who := bob.whoAmI(); who != "sasl:bob" {
		t.Errorf("%q", who)
	}
	w.connect().sasl([]byte("garbage, of another mechanism"), "bob", "secret")
	null := w.connect()
	null.send(jute.OpSASL, jute.AppendBuffer(nil, nil))
	null.closed() // without an answer, as in ZooKeeper

	wrong := w.connect()
	_, challenge := wrong.saslToken([]byte{})
	sent, _ := response(t, challenge, "bob", "wrong")
	if code, _ := wrong.saslToken(sent); code != jute.CodeAuthFailed {
		t.Errorf("a wrong password: %d", code)
	}
	wrong.closed()
	again := w.resume(wrong, 0) // the session lives on
	_, challenge = again.saslToken([]byte{})
	sent, _ = response(t, challenge, "bob", "secret")
	if code, _ := again.saslToken(sent); code != 0 {
		t.Errorf("code %d", code)
	}
	if code, _ := again.saslToken(sent); code != jute.CodeAuthFailed { // a nonce counts once
		t.Errorf("a replay: %d", code)
	}
	again.closed()
	elsewhere := w.connect()
	elsewhere.saslToken([]byte{})
	if code, _ := elsewhere.saslToken(sent); code != jute.CodeAuthFailed {
		t.Errorf("a replay on another connection: %d", code)
	}
	elsewhere.closed()
	if log := w.log.String(); strings.Contains(log, "secret") || !strings.Contains(log, "no such user, or another password") {
		t.Errorf("log: %s", log)
	}

	mine := create("/mine", "1")
	mine.ACL = []jute.ACL{{Perms: 31, Scheme: scheme("auth")}}
	bob.do(mine, 0)
	if got := bob.do(jute.NodeOp{Op: jute.OpGetACL, Path: "/mine"}, 0).ACLs(); !slices.Equal(got, []jute.ACL{{Perms: 31, Scheme: scheme("sasl"), ID: "bob"}}) {
		t.Errorf("auth is %+v", got)
	}
	hers := create("/hers", "1")
	hers.ACL = []jute.ACL{{Perms: 31, Scheme: scheme("sasl"), ID: "alice"}}
	bob.do(hers, 0)
	bob.do(get("/hers", false), jute.CodeNoAuth)
	closed := create("/closed", "1")
	closed.ACL = []jute.ACL{{Perms: 31, Scheme: scheme("digest"), ID: "x:y"}}
	bob.do(closed, 0)
	super := w.connect() // passes where a name of sasl is admitted
	super.sasl([]byte{}, "super", "most secret")
	super.do(get("/hers", false), 0)
	super.do(get("/closed", false), jute.CodeNoAuth)
	admin := w.connect() // passes everywhere
	admin.sasl([]byte{}, "admin", "adm")
	admin.do(get("/closed", false), 0)
	if who := admin.whoAmI(); who != "sasl:admin super:" {
		t.Errorf("%q", who)
	}
	bob.do(get("/mine", false), 0)
}

func TestSASLIsNotConfigured(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	if code, _ := c.saslToken([]byte{}); code != jute.CodeAuthFailed {
		t.Errorf("code %d", code)
	}
	c.closed()
}

func scheme(s string) jute.NullString { return jute.NullString{S: s, Valid: true} }

// What ZooKeeper 3.8.0 answers to auth packets.
func TestAuthSchemes(t *testing.T) {
	w := newWorld(t, withSASL)
	for _, row := range []struct {
		scheme jute.NullString
		auth   []byte
		ok     bool
	}{
		{scheme("digest"), []byte("a:b"), true},
		{scheme("digest"), []byte{}, true},
		{scheme("digest"), nil, false},
		{scheme("ip"), []byte{}, true},
		{scheme("ip"), nil, true},
		{scheme("world"), []byte{}, false},
		{scheme("auth"), []byte{}, false},
		{scheme("x509"), []byte{}, false},
		{scheme("sasl"), []byte("bob"), false},
		{scheme("super"), []byte{}, false},
		{scheme("Digest"), []byte("a:b"), false},
		{scheme(""), []byte{}, false},
		{jute.NullString{}, []byte{}, false},
	} {
		c := w.connect()
		c.sendAs(-4, jute.OpAuth, jute.AppendBuffer(jute.AppendNullString(jute.AppendInt(nil, 7), row.scheme), row.auth))
		if row.ok {
			if r := c.want(-4, 0); r.Zxid != 0 {
				t.Errorf("%v: zxid %d", row.scheme, r.Zxid)
			}
			c.whoAmI()
			continue
		}
		if r := c.want(-4, jute.CodeAuthFailed); r.Zxid != 0 {
			t.Errorf("%v: zxid %d", row.scheme, r.Zxid)
		}
		c.closed()
	}
}

func TestTooManyCredentials(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	for i := range 255 {
		c.auth(fmt.Sprint("user", i, ":x"))
	}
	c.auth("user0:x") // it is there already
	q := jute.AuthRequest{Scheme: "digest", Auth: []byte("one:more")}
	c.want(c.send(jute.OpAuth, q.Append(nil)), jute.CodeAuthFailed)
	c.closed()
}

func TestEnforcedAuthentication(t *testing.T) {
	w := newWorld(t, withSASL, enforce("digest", "sasl"))
	for name, ask := range map[string]func(*raw) int32{
		"ping":         func(c *raw) int32 { return c.send(jute.OpPing, nil) },
		"get":          func(c *raw) int32 { return c.node(get("/", false)) },
		"closeSession": func(c *raw) int32 { return c.send(jute.OpCloseSession, nil) },
		"ip": func(c *raw) int32 {
			q := jute.AuthRequest{Scheme: "ip"}
			c.want(c.send(jute.OpAuth, q.Append(nil)), 0)
			return c.node(create("/ip", ""))
		},
	} {
		c := w.connect()
		if r := c.want(ask(c), jute.CodeRequireAuth); r.Zxid != 0 {
			t.Errorf("%s: zxid %d", name, r.Zxid)
		}
		c.closed()
		if again := w.resume(c, 0); again.SessionID != c.SessionID {
			t.Errorf("%s: the session is gone", name)
		}
	}
	bob := w.connect()
	bob.auth("bob:pw")
	bob.do(get("/ip", false), jute.CodeNoNode)
	alice := w.connect()
	alice.sasl([]byte{}, "alice", "geheim")
	alice.do(get("/", false), 0)
	if !strings.Contains(w.log.String(), "digest, sasl") {
		t.Errorf("log: %s", w.log)
	}
	eve := w.connect()
	eve.saslToken([]byte{})
	if code, _ := eve.saslToken([]byte("x")); code != jute.CodeRequireAuth {
		t.Errorf("SASL that fails where it has to succeed: %d", code)
	}
	eve.closed()
	if got := w.ask("ruok"); got != "imok" {
		t.Errorf("ruok: %q", got)
	}
}

func TestAuthenticationThatIsNotComplete(t *testing.T) {
	for want, o := range map[string]option{
		`"ip"`: enforce("ip"), "sasl, which is not offered": enforce("digest", "sasl"), "x509, which is not offered": enforce("x509"),
		"its Users":        func(c *zkcompat.Config) { c.SASL = &zkcompat.SASL{} },
		"openssl":          func(c *zkcompat.Config) { c.SuperDigest = "super:admin" },
		"the super digest": func(c *zkcompat.Config) { c.SuperDigest = "xQJmxLMiHGwaqBvst5y6rkB6HQs=" },
	} {
		w := newWorld(t)
		cfg := zkcompat.Config{Listen: unused{}, Tier: w.sessions.Tier(), Sessions: w.sessions}
		o(&cfg)
		if _, err := zkcompat.Listen(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// aclOf sets one ACL entry besides an open one, and tells the code.
func (c *raw) aclOf(path string, s jute.NullString, id string) jute.Code {
	c.t.Helper()
	q := jute.NodeOp{Op: jute.OpSetACL, Path: path, Version: -1, ACL: []jute.ACL{openACL[0], {Perms: 1, Scheme: s, ID: id}}}
	return c.recvFor(c.node(q)).Code
}

// What ZooKeeper 3.8.0 answers to ACLs, but for IPv6, which came later.
func TestACLIds(t *testing.T) {
	ca := newAuthority(t, "ca")
	both := newWorld(t, withSASL, unify(newFiles(t, ca, ca).load().Config()))
	none := newWorld(t)
	for _, w := range []*world{both, none} {
		c := w.connect()
		c.do(create("/p", ""), 0)
		for _, row := range []struct {
			scheme jute.NullString
			id     string
			want   jute.Code // with all schemes
		}{
			{scheme("world"), "anyone", 0}, {scheme("world"), "Anyone", -114}, {scheme("world"), "", -114},
			{scheme("auth"), "", -114}, {scheme("auth"), "x", -114}, {scheme("super"), "", -114}, {scheme("super"), "x", -114},
			{scheme(""), "anyone", -114}, {scheme("Digest"), "a:b", -114}, {scheme("host"), "x", -114}, {jute.NullString{}, "x", -114},
			{scheme("digest"), "a:b", 0}, {scheme("digest"), ":x", 0}, {scheme("digest"), "a:", -114}, {scheme("digest"), ":", -114},
			{scheme("digest"), "a", -114}, {scheme("digest"), "a:b:c", -114}, {scheme("digest"), "a:b::", 0}, {scheme("digest"), "::x", -114},
			{scheme("ip"), "10.0.0.1", 0}, {scheme("ip"), "10.0.0.0/8", 0}, {scheme("ip"), "010.0.0.1", 0}, {scheme("ip"), "10.0.0.1/08", 0},
			{scheme("ip"), "10.0.0.1/", -114}, {scheme("ip"), "10.0.0.1/33", -114}, {scheme("ip"), "10.0.0", -114}, {scheme("ip"), "", -114},
			{scheme("ip"), "::1", 0}, {scheme("ip"), "fe80::/10", 0}, {scheme("ip"), "::1/129", -114},
			{scheme("sasl"), "bob", 0}, {scheme("sasl"), "svc/host@REALM", 0}, {scheme("sasl"), "a/b/c@d", -114}, {scheme("sasl"), "", 0},
			{scheme("x509"), "CN=bob,O=Example,C=DE", 0}, {scheme("x509"), "CN=a,", -114}, {scheme("x509"), "anyone", -114}, {scheme("x509"), "", 0},
		} {
			want := row.want
			if w == none && (row.scheme.S == "sasl" || row.scheme.S == "x509") {
				want = jute.CodeInvalidACL
			}
			if got := c.aclOf("/p", row.scheme, row.id); got != want {
				t.Errorf("%v:%q: %d, want %d", row.scheme, row.id, got, want)
			}
		}
		for _, list := range [][]jute.ACL{nil, {}} {
			c.do(jute.NodeOp{Op: jute.OpSetACL, Path: "/p", Version: -1, ACL: list}, jute.CodeInvalidACL)
		}
		// An id that is null can't be read.
		record := jute.AppendInt(jute.AppendInt(jute.AppendString(nil, "/p"), 1), 31)
		record = jute.AppendInt(jute.AppendNullString(jute.AppendString(record, "world"), jute.NullString{}), -1)
		c.want(c.send(jute.OpSetACL, record), jute.CodeMarshallingError)
	}
}

// A scheme that is not offered is refused at its place: behind what is wrong before it, and as the part of a multi that it is.
func TestSchemeThatIsNotOffered(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	q := create("/a", "")
	q.ACL = []jute.ACL{{Perms: 31, Scheme: scheme("sasl"), ID: "bob"}}
	c.do(q, jute.CodeInvalidACL)
	under := q
	under.Path = "/none/a"
	c.do(under, jute.CodeInvalidACL) // before the parent is looked for
	bad := q
	bad.Path = "a"
	c.do(bad, jute.CodeBadArguments) // after the path
	r := c.want(c.send(jute.OpMulti, jute.AppendMulti(nil, []jute.NodeOp{create("/b", ""), q, create("/c", "")})), 0)
	var codes []int32
	for range 3 {
		var h jute.MultiHeader
		if err := h.Decode(r.Decoder); err != nil {
			t.Fatal(err)
		}
		codes = append(codes, r.Int())
	}
	if !slices.Equal(codes, []int32{0, -114, -2}) {
		t.Errorf("the multi's codes: %v", codes)
	}
	c.do(get("/b", false), jute.CodeNoNode)
}

// Which permission each opcode needs, on which znode (zk-protocol 8.2).
func TestPermissionsOfOpcodes(t *testing.T) {
	w := newWorld(t, func(c *zkcompat.Config) { c.SuperDigest = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=" })
	root, super := w.connect(), w.connect()
	super.auth("super:admin")
	const read, write, add, del, admin = 1, 2, 4, 8, 16
	path := jute.NullString{S: "/p", Valid: true}
	multi := func(op jute.NodeOp) func(*raw) jute.Code {
		return func(c *raw) jute.Code {
			r := c.recvFor(c.send(jute.OpMulti, jute.AppendMulti(nil, []jute.NodeOp{op})))
			var h jute.MultiHeader
			if err := h.Decode(r.Decoder); r.Code != 0 || err != nil {
				t.Fatalf("%d, %v", r.Code, err)
			}
			return h.Code
		}
	}
	node := func(op jute.NodeOp) func(*raw) jute.Code {
		return func(c *raw) jute.Code { return c.recvFor(c.node(op)).Code }
	}
	record := func(op jute.Opcode, b []byte) func(*raw) jute.Code {
		return func(c *raw) jute.Code { return c.recvFor(c.send(op, b)).Code }
	}
	as := func(q jute.NodeOp, op jute.Opcode) jute.NodeOp { q.Op = op; return q }
	ttl := as(create("/p/x", ""), jute.OpCreateTTL)
	ttl.Flags, ttl.TTL = int32(tiers.PersistentTTL), 1000
	watches := jute.SetWatches{Data: []string{"/p"}, Exist: []string{}, Children: []string{"/p"}, Since: 1 << 40}
	watch := jute.PathInt{Path: "/p", Value: jute.AddRecursive}
	for name, row := range map[string]struct {
		perms int32 // any of these will do; 0: none is needed
		ask   func(*raw) jute.Code
	}{
		"create":               {add, node(create("/p/x", ""))},
		"create2":              {add, node(as(create("/p/x", ""), jute.OpCreate2))},
		"createContainer":      {add, node(as(create("/p/x", ""), jute.OpCreateContainer))},
		"createTTL":            {add, node(ttl)},
		"create in a multi":    {add, multi(create("/p/x", ""))},
		"delete":               {del, node(remove("/p/child"))},
		"delete in a multi":    {del, multi(remove("/p/child"))},
		"setData":              {write, node(set("/p", ""))},
		"setData in a multi":   {write, multi(set("/p", ""))},
		"setACL":               {admin, node(jute.NodeOp{Op: jute.OpSetACL, Path: "/p", Version: 99, ACL: openACL})},
		"check":                {read, node(jute.NodeOp{Op: jute.OpCheck, Path: "/p", Version: -1})},
		"check in a multi":     {read, multi(jute.NodeOp{Op: jute.OpCheck, Path: "/p", Version: -1})},
		"exists":               {read, node(jute.NodeOp{Op: jute.OpExists, Path: "/p"})},
		"getData":              {read, node(get("/p", false))},
		"getChildren":          {read, node(jute.NodeOp{Op: jute.OpGetChildren, Path: "/p"})},
		"getChildren2":         {read, node(jute.NodeOp{Op: jute.OpGetChildren2, Path: "/p"})},
		"getAllChildrenNumber": {read, node(jute.NodeOp{Op: jute.OpGetAllChildrenNumber, Path: "/p"})},
		"getACL":               {read | admin, node(jute.NodeOp{Op: jute.OpGetACL, Path: "/p"})},
		"multiRead": {read, func(c *raw) jute.Code {
			r := c.recvFor(c.send(jute.OpMultiRead, jute.AppendMulti(nil, []jute.NodeOp{get("/p", false)})))
			var h jute.MultiHeader
			if err := h.Decode(r.Decoder); r.Code != 0 || err != nil {
				t.Fatalf("%d, %v", r.Code, err)
			}
			return h.Code
		}},
		"sync":          {0, record(jute.OpSync, jute.AppendNullString(nil, path))},
		"addWatch":      {0, record(jute.OpAddWatch, watch.Append(nil))},
		"getEphemerals": {0, record(jute.OpGetEphemerals, jute.AppendNullString(nil, path))},
		"setWatches":    {0, record(jute.OpSetWatches, watches.Append(nil, false))},
	} {
		for _, perm := range []int32{0, read, write, add, del, admin} {
			// The znode is made anew, so that the asker's success leaves nothing behind; super passes whatever the ACL says.
			super.node(remove("/p/child"))
			super.recv()
			super.node(remove("/p/x"))
			super.recv()
			super.node(remove("/p"))
			super.recv()
			root.do(create("/p", ""), 0)
			root.do(create("/p/child", ""), 0)
			root.do(jute.NodeOp{Op: jute.OpSetACL, Path: "/p", Version: -1, ACL: []jute.ACL{{Perms: perm, Scheme: scheme("ip"), ID: "127.0.0.0/8"}}}, 0)
			code := row.ask(w.connect()) // with no watch of another row
			if may := row.perms == 0 || row.perms&perm != 0; may == (code == jute.CodeNoAuth) {
				t.Errorf("%s with permission %d: code %d", name, perm, code)
			}
			if perm == 0 {
				another := w.connect()
				another.auth("super:admin")
				if code := row.ask(another); code == jute.CodeNoAuth {
					t.Errorf("%s: super is refused", name)
				}
			}
		}
	}
}

// unused is a listener that no server gets as far as using.
type unused struct{}

func (unused) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (unused) Close() error              { return nil }
func (unused) Addr() net.Addr            { return &net.TCPAddr{} }
