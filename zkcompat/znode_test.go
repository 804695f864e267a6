package zkcompat_test

import (
	"bytes"
	"slices"
	"strconv"
	"testing"

	"github.com/strata-coord/strata/tiers/tiertest/memtier"
	"github.com/strata-coord/strata/zkcompat"
	"github.com/strata-coord/strata/zkcompat/jute"
)

func TestCreateModes(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	n := 0
	try := func(op jute.Opcode, flags int32, ttl int64, code jute.Code) {
		t.Helper()
		n++
		q := create("/m"+strconv.Itoa(n), "d")
		q.Op, q.Flags, q.TTL = op, flags, ttl
		r := c.do(q, code)
		if code != 0 {
			return
		}
		path := r.String()
		if op == jute.OpCreate {
			if r.Decoder.Len() != 0 {
				t.Errorf("create: %d bytes behind the path", r.Decoder.Len())
			}
		} else if s := r.stat(); r.Err() != nil || s.DataLength != 1 || s.Czxid != r.Zxid {
			t.Errorf("%v: %v, %+v", op, r.Err(), s)
		}
		s := c.do(exists(path, false), 0).stat()
		if ephemeral := op != jute.OpCreateContainer && (flags == 1 || flags == 3); (s.EphemeralOwner == c.SessionID) != ephemeral || !ephemeral && s.EphemeralOwner != 0 {
			t.Errorf("%v %d: owner %x", op, flags, s.EphemeralOwner)
		}
		if sequential := flags == 2 || flags == 3 || flags == 6; sequential != (len(path) > 10) {
			t.Errorf("%v %d made %s", op, flags, path)
		}
	}
	for _, op := range []jute.Opcode{jute.OpCreate, jute.OpCreate2} {
		for flags := int32(0); flags <= 4; flags++ {
			try(op, flags, 0, 0)
		}
		for _, flags := range []int32{-1, 5, 6, 7, 1 << 30} {
			try(op, flags, 0, jute.CodeBadArguments)
		}
	}
	for flags := int32(0); flags <= 4; flags++ {
		try(jute.OpCreateContainer, flags, 0, 0)
	}
	try(jute.OpCreateContainer, 7, 0, jute.CodeBadArguments)
	try(jute.OpCreateContainer, 5, 0, jute.CodeBadArguments)
	for _, ttl := range []int64{1, 1<<40 - 1} {
		try(jute.OpCreateTTL, 5, ttl, 0)
		try(jute.OpCreateTTL, 6, ttl, 0)
	}
	for _, ttl := range []int64{0, -1, 1 << 40, 1<<63 - 1} {
		try(jute.OpCreateTTL, 5, ttl, jute.CodeBadArguments)
	}
	for flags := int32(0); flags <= 4; flags++ {
		try(jute.OpCreateTTL, flags, -1, jute.CodeBadArguments)
		try(jute.OpCreateTTL, flags, 0, jute.CodeBadArguments)
		try(jute.OpCreateTTL, flags, 1000, jute.CodeBadArguments)
	}
	c.want(c.send(jute.OpDeleteContainer, jute.AppendString(nil, "/x")), jute.CodeBadArguments)
	c.want(c.send(jute.OpReconfig, (&jute.ReconfigRequest{}).Append(nil)), jute.CodeReconfigDisabled)
}

func TestNullAndEmptyData(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	for i, data := range [][]byte{nil, {}, []byte("x")} {
		q := create("/"+string(rune('a'+i)), "")
		q.Data = data
		c.do(q, 0)
		r := c.do(get(q.Path, false), 0)
		if got := r.Buffer(); !bytes.Equal(got, data) || (got == nil) != (data == nil) {
			t.Errorf("read %v, want %v", got, data)
		}
		if s := r.stat(); s.DataLength != int32(len(data)) || s.NumChildren != 0 || r.Decoder.Len() != 0 {
			t.Errorf("%+v", s)
		}
	}
}

func TestReads(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	for _, p := range []string{"/a", "/a/z", "/a/b"} {
		c.do(create(p, p), 0)
	}
	r := c.do(list("/a", false), 0)
	if got := r.Strings(); !slices.Equal(got, []string{"b", "z"}) || r.Decoder.Len() != 0 {
		t.Errorf("children %q", got)
	}
	r = c.do(jute.NodeOp{Op: jute.OpGetChildren2, Path: "/a"}, 0)
	if got, s := r.Strings(), r.stat(); !slices.Equal(got, []string{"b", "z"}) || s.NumChildren != 2 || s.Cversion != 2 {
		t.Errorf("children %q, %+v", got, s)
	}
	if r := c.do(list("/a/b", false), 0); r.Strings() == nil || r.Err() != nil {
		t.Error("an empty list is not null")
	}
	for _, op := range []jute.Opcode{jute.OpGetData, jute.OpExists, jute.OpGetChildren, jute.OpGetACL} {
		c.do(jute.NodeOp{Op: op, Path: ""}, 0) // the root
		c.do(jute.NodeOp{Op: op, Path: "/missing"}, jute.CodeNoNode)
		c.do(jute.NodeOp{Op: op, Path: "relative"}, jute.CodeNoNode)
	}
	for _, path := range []jute.NullString{{S: "/a", Valid: true}, {S: "zzz", Valid: true}, {Valid: true}, {}} {
		r := c.want(c.send(jute.OpSync, jute.AppendNullString(nil, path)), 0)
		if got := r.NullString(); got != path || r.Err() != nil {
			t.Errorf("sync of %+v echoes %+v", path, got)
		}
	}
	c.do(jute.NodeOp{Op: jute.OpCheck, Path: "/a", Version: 0}, 0)
	c.do(jute.NodeOp{Op: jute.OpCheck, Path: "/a", Version: 1}, jute.CodeBadVersion)
	r = c.want(c.send(jute.OpMultiRead, jute.AppendMulti(nil, []jute.NodeOp{get("/a", true), get("/no", false), list("/a", false)})), 0)
	var h jute.MultiHeader
	if _ = h.Decode(r.Decoder); h.Op != jute.OpGetData || string(r.Buffer()) != "/a" || r.stat().NumChildren != 2 {
		t.Errorf("part 0: %+v", h)
	}
	if _ = h.Decode(r.Decoder); h.Op != jute.OpError || h.Code != jute.CodeNoNode || r.Int() != int32(jute.CodeNoNode) {
		t.Errorf("part 1: %+v", h)
	}
	if _ = h.Decode(r.Decoder); h.Op != jute.OpGetChildren || len(r.Strings()) != 2 {
		t.Errorf("part 2: %+v", h)
	}
	if _ = h.Decode(r.Decoder); h != jute.MultiEnd || r.Err() != nil || r.Decoder.Len() != 0 {
		t.Errorf("end: %+v, %v", h, r.Err())
	}
	empty := c.want(c.send(jute.OpMultiRead, jute.AppendMulti(nil, nil)), 0)
	if _ = h.Decode(empty.Decoder); h != jute.MultiEnd {
		t.Errorf("end: %+v", h)
	}
}

func (c *raw) multi(ops ...jute.NodeOp) reply {
	c.t.Helper()
	return c.want(c.send(jute.OpMulti, jute.AppendMulti(nil, ops)), 0)
}

func TestMultiResults(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	with := func(q jute.NodeOp, op jute.Opcode, flags int32, ttl int64) jute.NodeOp {
		q.Op, q.Flags, q.TTL = op, flags, ttl
		return q
	}
	set1 := set("/a", "new")
	set1.Version = 0
	r := c.multi(
		create("/a", ""), with(create("/a/b", ""), jute.OpCreate2, 0, 0), with(create("/a/c", ""), jute.OpCreateContainer, 4, 0),
		with(create("/a/t", ""), jute.OpCreateTTL, 5, 1000), with(create("/a/s-", ""), jute.OpCreate, 2, 0),
		set1, jute.NodeOp{Op: jute.OpCheck, Path: "/a", Version: 1}, remove("/a/b"),
	)
	part := func(op jute.Opcode) {
		t.Helper()
		var h jute.MultiHeader
		if err := h.Decode(r.Decoder); err != nil || h.Op != op || h.Done || h.Code != 0 {
			t.Fatalf("%+v, %v; want %v", h, err, op)
		}
	}
	path := func(want string) {
		t.Helper()
		if got := r.String(); got != want {
			t.Errorf("path %q, want %q", got, want)
		}
	}
	part(jute.OpCreate)
	path("/a")
	for _, p := range []string{"/a/b", "/a/c", "/a/t"} {
		part(jute.OpCreate2)
		path(p)
		if s := r.stat(); s.Czxid != r.Zxid {
			t.Errorf("%+v", s)
		}
	}
	part(jute.OpCreate)
	path("/a/s-0000000003")
	part(jute.OpSetData)
	if s := r.stat(); s.Version != 1 || s.NumChildren != 4 {
		t.Errorf("%+v", s)
	}
	part(jute.OpCheck)
	part(jute.OpDelete)
	c.multiEnds(r)

	c.multiEnds(c.multi())
}

func (c *raw) multiEnds(r reply) {
	c.t.Helper()
	var h jute.MultiHeader
	if err := h.Decode(r.Decoder); err != nil || h != jute.MultiEnd || r.Decoder.Len() != 0 {
		c.t.Errorf("%+v, %v, %d bytes left", h, err, r.Decoder.Len())
	}
}

// A failed multi is a reply without error whose parts tell what was wrong.
func TestFailedMulti(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	c.do(create("/a", ""), 0)
	bad := set("/a", "")
	bad.Version = 7
	flags := create("/f", "")
	flags.Flags = 9
	ttl := flags
	ttl.Op, ttl.Flags = jute.OpCreateTTL, 0
	for _, x := range []struct {
		ops   []jute.NodeOp
		codes []jute.Code
	}{
		{[]jute.NodeOp{create("/x", ""), bad, create("/y", "")}, []jute.Code{0, -103, -2}},
		{[]jute.NodeOp{remove("/no"), create("/y", "")}, []jute.Code{-101, -2}},
		{[]jute.NodeOp{create("/x", ""), create("/x", "")}, []jute.Code{0, -110}},
		{[]jute.NodeOp{create("/x", ""), flags}, []jute.Code{0, -8}},
		{[]jute.NodeOp{create("/x", ""), ttl}, []jute.Code{0, -8}},
		{[]jute.NodeOp{create("no", ""), create("/y", "")}, []jute.Code{-8, -2}},
	} {
		r := c.multi(x.ops...)
		for i, code := range x.codes {
			var h jute.MultiHeader
			if err := h.Decode(r.Decoder); err != nil || h.Op != jute.OpError || h.Done || h.Code != code || r.Int() != int32(code) {
				t.Errorf("part %d: %+v, %v; want %d", i, h, err, code)
			}
		}
		c.multiEnds(r)
	}
	c.do(get("/x", false), jute.CodeNoNode)
	c.do(get("/y", false), jute.CodeNoNode)
}

func TestCodes(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	c.do(create("/a", ""), 0)
	c.do(create("/a/b", ""), 0)
	e := create("/e", "")
	e.Flags = 1
	c.do(e, 0)
	wrong := func(q jute.NodeOp) jute.NodeOp {
		q.Version = 9
		return q
	}
	noACL, nullACL, nobody := create("/x", ""), create("/x", ""), create("/x", "")
	noACL.ACL, nullACL.ACL = []jute.ACL{}, nil
	nobody.ACL = []jute.ACL{{Perms: 31, ID: "x"}} // a null scheme
	for _, x := range []struct {
		q    jute.NodeOp
		code jute.Code
	}{
		{create("/a", ""), jute.CodeNodeExists},
		{create("/", ""), jute.CodeNodeExists},
		{create("/no/x", ""), jute.CodeNoNode},
		{create("/a/", ""), jute.CodeBadArguments},
		{create("", ""), jute.CodeBadArguments},
		{create("/emoji-\U0001F600", ""), jute.CodeBadArguments},
		{create("/bad-utf8-\xff", ""), jute.CodeBadArguments},
		{create("/e/x", ""), jute.CodeNoChildrenForEphemerals},
		{noACL, jute.CodeInvalidACL}, {nullACL, jute.CodeInvalidACL}, {nobody, jute.CodeInvalidACL},
		{wrong(remove("/a")), jute.CodeBadVersion},
		{remove("/a"), jute.CodeNotEmpty},
		{remove("/zookeeper"), jute.CodeBadArguments},
		{wrong(set("/a", "")), jute.CodeBadVersion},
		{set("/no", ""), jute.CodeNoNode},
	} {
		if r := c.recvFor(c.node(x.q)); r.Code != x.code {
			t.Errorf("%v %q: code %d, want %d", x.q.Op, x.q.Path, r.Code, x.code)
		}
	}
}

func TestACLs(t *testing.T) {
	super := "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=" // of super:admin
	w := newWorld(t, func(c *zkcompat.Config) { c.SuperDigest = super })
	bob, eve := w.connect(), w.connect()
	acl := func(perms int32, scheme, id string) jute.ACL {
		return jute.ACL{Perms: perms, Scheme: jute.NullString{S: scheme, Valid: true}, ID: id}
	}
	mine := create("/bob", "secret")
	mine.ACL = []jute.ACL{acl(31, "auth", ""), acl(1, "ip", "10.0.0.0/8")}
	bob.do(mine, jute.CodeInvalidACL) // auth without credentials
	bob.auth("bob:pw")
	bob.auth("bob:pw") // clients say it again after each reconnect
	bob.do(mine, 0)
	getACL := jute.NodeOp{Op: jute.OpGetACL, Path: "/bob"}
	want := []jute.ACL{acl(31, "digest", "bob:ikIaKsbtGweaHnb/jKn7OHqbunM="), acl(1, "ip", "10.0.0.0/8")}
	r := bob.do(getACL, 0)
	if got, s := r.ACLs(), r.stat(); !slices.Equal(got, want) || s.DataLength != 6 {
		t.Errorf("%+v, %+v", got, s)
	}
	eve.do(get("/bob", false), jute.CodeNoAuth)
	eve.do(set("/bob", ""), jute.CodeNoAuth)
	eve.do(getACL, jute.CodeNoAuth)
	eve.auth("bob:wrong")
	eve.auth("no colon")
	eve.auth("")
	eve.do(get("/bob", false), jute.CodeNoAuth)
	eve.do(create("/bob/x", ""), jute.CodeNoAuth)

	open := jute.NodeOp{Op: jute.OpSetACL, Path: "/bob", Version: 0, ACL: []jute.ACL{want[0], acl(1, "ip", "127.0.0.1"), acl(1, "ip", "127.0.0.1")}}
	if s := bob.do(open, 0).stat(); s.Aversion != 1 || s.Version != 0 {
		t.Errorf("%+v", s)
	}
	bob.do(open, jute.CodeBadVersion)
	eve.do(get("/bob", false), 0)
	if got := eve.do(getACL, 0).ACLs(); len(got) != 2 || got[0].ID != "bob:x" {
		t.Errorf("without ADMIN: %+v", got)
	}
	eve.do(set("/bob", ""), jute.CodeNoAuth)
	eve.auth("super:admin")
	eve.do(set("/bob", ""), 0)

	r = eve.want(eve.send(jute.OpWhoAmI, nil), 0)
	who := map[[2]string]bool{}
	for n := r.Int(); n > 0; n-- {
		who[[2]string{r.String(), r.String()}] = true
	}
	if r.Err() != nil || !who[[2]string{"ip", "127.0.0.1"}] || !who[[2]string{"super", ""}] || !who[[2]string{"digest", "super"}] || !who[[2]string{"digest", "bob"}] || len(who) != 6 {
		t.Errorf("%v, %v", who, r.Err())
	}
	again := w.resume(eve, 0)
	again.do(set("/bob", ""), jute.CodeNoAuth) // credentials are the connection's
}

func TestEphemeralsAndDescendants(t *testing.T) {
	w := newWorld(t)
	c, other := w.connect(), w.connect()
	count := func(path string) jute.NodeOp { return jute.NodeOp{Op: jute.OpGetAllChildrenNumber, Path: path} }
	counts := func(path string, want int32) {
		t.Helper()
		r := c.do(count(path), 0)
		if n := r.Int(); n != want || r.Err() != nil || r.Decoder.Len() != 0 {
			t.Errorf("%d znodes below %q, %v; want %d", n, path, r.Err(), want)
		}
	}
	counts("/", 3)
	for _, p := range []string{"/a", "/a/b", "/a/c"} {
		c.do(create(p, ""), 0)
	}
	for _, p := range []string{"/a/b/2", "/a/b/1", "/ab"} {
		q := create(p, "")
		q.Flags = 1
		c.do(q, 0)
	}
	counts("/a", 4)
	counts("", 9)
	counts("/a/b/1", 0)
	c.do(count("/none"), jute.CodeNoNode)
	c.do(count("/a/"), jute.CodeNoNode)
	secret := create("/secret", "")
	secret.ACL = []jute.ACL{{Perms: 30, Scheme: openACL[0].Scheme, ID: "anyone"}}
	c.do(secret, 0)
	c.do(count("/secret"), jute.CodeNoAuth)

	list := func(c *raw, prefix jute.NullString, want ...string) {
		t.Helper()
		r := c.want(c.send(jute.OpGetEphemerals, jute.AppendNullString(nil, prefix)), 0)
		if got := r.Strings(); got == nil || !slices.Equal(got, want) || r.Err() != nil || r.Decoder.Len() != 0 {
			t.Errorf("ephemerals that begin with %q: %q, %v; want %q", prefix.S, got, r.Err(), want)
		}
	}
	for _, all := range []string{"", "/", "  ", " /\t"} {
		list(c, jute.NullString{S: all, Valid: true}, "/a/b/1", "/a/b/2", "/ab")
	}
	list(c, jute.NullString{}, "/a/b/1", "/a/b/2", "/ab")
	list(c, jute.NullString{S: "/a/", Valid: true}, "/a/b/1", "/a/b/2")
	list(c, jute.NullString{S: "/ab", Valid: true}, "/ab")
	list(c, jute.NullString{S: " /ab", Valid: true})
	list(other, jute.NullString{})

	// Pipelined behind a write, it sees that.
	q := create("/z", "")
	q.Flags = 1
	x := c.node(q)
	y := c.send(jute.OpGetEphemerals, jute.AppendString(nil, "/z"))
	c.want(x, 0)
	if got := c.want(y, 0).Strings(); !slices.Equal(got, []string{"/z"}) {
		t.Errorf("%q", got)
	}
}

func TestQuota(t *testing.T) {
	tier := memtier.New(memtier.Options{EnforceQuota: true})
	t.Cleanup(tier.Close)
	c := newWorldOver(t, tier, tier).connect()
	c.do(create("/q", "12"), 0)
	c.do(create("/zookeeper/quota/q", ""), 0)
	c.do(create("/zookeeper/quota/q/zookeeper_limits", "count=-1,bytes=-1=;byteHardLimit=3;countHardLimit=2"), 0)
	c.do(create("/zookeeper/quota/q/zookeeper_stats", "count=0,bytes=0"), 0)
	stats := func(want string) {
		t.Helper()
		r := c.do(get("/zookeeper/quota/q/zookeeper_stats", true), 0)
		if got := string(r.Buffer()); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if s := r.stat(); s.Version != 0 || s.Mzxid != s.Czxid || int(s.DataLength) != len(want) {
			t.Errorf("%+v", s)
		}
	}
	stats("count=1,bytes=2")
	c.do(set("/q", "1234"), jute.CodeQuotaExceeded)
	c.do(create("/q/a", "12"), jute.CodeQuotaExceeded)
	c.do(create("/q/a", "1"), 0)
	c.do(create("/q/b", ""), jute.CodeQuotaExceeded)
	c.do(set("/q", "1"), 0)
	q := []jute.NodeOp{set("/q", "2"), set("/q/a", "123")}
	r := c.want(c.send(jute.OpMulti, jute.AppendMulti(nil, q)), 0)
	for _, want := range []jute.Code{0, jute.CodeQuotaExceeded} {
		var h jute.MultiHeader
		if err := h.Decode(r.Decoder); err != nil || h.Op != jute.OpError || jute.Code(r.Int()) != want {
			t.Errorf("%+v, %v, want %v", h, err, want)
		}
	}
	stats("count=2,bytes=2")
	c.do(remove("/q/a"), 0)
	stats("count=1,bytes=1")
}

func TestFailedAuth(t *testing.T) {
	w := newWorld(t)
	for _, q := range []jute.AuthRequest{{Scheme: "world", Auth: []byte("anyone")}, {Scheme: "nobody", Auth: []byte{}}, {Scheme: "digest"}, {Scheme: "sasl"}} {
		c := w.connect()
		c.sendAs(-4, jute.OpAuth, q.Append(nil))
		c.node(create("/after", ""))
		if r := c.want(-4, jute.CodeAuthFailed); r.Zxid != 0 {
			t.Errorf("zxid %d", r.Zxid)
		}
		c.closed()
		w.resume(c, 0).do(get("/after", false), jute.CodeNoNode)
	}
	null := w.connect()
	null.sendAs(-4, jute.OpAuth, jute.AppendBuffer(jute.AppendInt(jute.AppendInt(nil, 0), -1), []byte("x")))
	null.want(-4, jute.CodeAuthFailed)
	null.closed()
	garbled := w.connect()
	read := get("/", false)
	garbled.send(read.Op, read.Append(nil))
	garbled.sendAs(-4, jute.OpAuth, []byte{0, 0, 0})
	garbled.want(1, 0)
	garbled.closed() // without an answer
	w.resume(garbled, 0).do(get("/after", false), jute.CodeNoNode)
	c := w.connect()
	c.send(jute.OpSASL, jute.AppendBuffer(nil, []byte{}))
	if b := c.body(); len(b) != 20 || !bytes.Equal(b[16:], []byte{255, 255, 255, 255}) {
		t.Errorf("sasl: %v", b)
	}
	c.closed()
	ip := jute.AuthRequest{Scheme: "ip"}
	c = w.connect()
	c.sendAs(-4, jute.OpAuth, ip.Append(nil))
	c.want(-4, 0)
}
