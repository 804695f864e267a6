package zkcompat_test

import (
	"testing"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/jute"
)

const (
	created  = tiers.NodeCreated
	deleted  = tiers.NodeDeleted
	changed  = tiers.NodeDataChanged
	children = tiers.NodeChildrenChanged
)

func exists(path string, watch bool) jute.NodeOp {
	return jute.NodeOp{Op: jute.OpExists, Path: path, Watch: watch}
}

func list(path string, watch bool) jute.NodeOp {
	return jute.NodeOp{Op: jute.OpGetChildren, Path: path, Watch: watch}
}

func (c *raw) addWatch(path string, mode int32) {
	c.t.Helper()
	r := c.want(c.send(jute.OpAddWatch, jute.AppendInt(jute.AppendString(nil, path), mode)), 0)
	if r.Int() != 0 || r.Err() != nil || r.Decoder.Len() != 0 {
		c.t.Errorf("the record of addWatch: %v, %d bytes left", r.Err(), r.Decoder.Len())
	}
}

// quiet tells that no event is on its way: it would come before the answer of a read.
func (c *raw) quiet() {
	c.t.Helper()
	c.do(exists("/", false), 0)
}

func TestOwnEventBeforeOwnReply(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	z := c.do(exists("/a", true), jute.CodeNoNode).Zxid
	x := c.node(create("/a", "1"))
	if r := c.event(created, "/a"); r.Zxid <= z {
		t.Errorf("the event has zxid %d, read before it at %d", r.Zxid, z)
	}
	c.want(x, 0)
	c.do(get("/a", true), 0)
	c.do(list("/a", true), 0)
	c.do(list("/", true), 0)
	x = c.node(remove("/a"))
	c.event(deleted, "/a") // one for both watches
	c.event(children, "/")
	c.want(x, 0)
	c.quiet()
}

// With everything pipelined, the reply that arms a watch still comes before the watch's event, and that before the write's reply.
func TestArmingReplyBeforeEvent(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	c.do(create("/a", ""), 0)
	release := w.tier.Hold()
	first := c.node(get("/a", true))
	kids := c.node(list("/a", true))
	write := c.node(set("/a", "1"))
	again := c.node(get("/a", true))
	child := c.node(create("/a/b", ""))
	end := c.node(remove("/a/b"))
	release()
	c.want(first, 0)
	c.want(kids, 0)
	c.event(changed, "/a")
	c.want(write, 0)
	if got := string(c.want(again, 0).Buffer()); got != "1" {
		t.Errorf("read %q", got)
	}
	c.event(children, "/a")
	c.want(child, 0)
	c.want(end, 0)
	c.quiet()
}

// Other connections get the event at once, although earlier requests of theirs are unanswered.
func TestEventDoesNotWaitForReplies(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	c.do(create("/a", ""), 0)
	c.do(get("/a", true), 0)
	release := w.tier.Hold()
	x := c.node(get("/", false))
	c.sendAs(-2, jute.OpPing, nil)
	c.want(jute.XidPing, 0) // so the read was taken by now
	release()
	w.connect().do(set("/a", "1"), 0)
	r := c.recv()
	if r.Xid == x {
		c.event(changed, "/a")
	} else if r.Xid != jute.XidEvent {
		t.Errorf("%+v", r.ReplyHeader)
	}
}

func TestOnlyExistsArmsOnAMissingZnode(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	c.do(get("/a", true), jute.CodeNoNode)
	c.do(list("/a", true), jute.CodeNoNode)
	c.do(create("/a", ""), 0)
	c.quiet()
	c.do(exists("/b", true), jute.CodeNoNode)
	x := c.node(create("/b", ""))
	c.event(created, "/b")
	c.want(x, 0)
	c.do(set("/b", ""), 0) // one-shot
	c.quiet()
}

func TestPersistentWatches(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	other := w.connect()
	c.addWatch("/a", jute.AddPersistent)
	c.addWatch("/a/deep", jute.AddRecursive)
	c.addWatch("/a/deep", jute.AddRecursive) // the same watch
	other.do(create("/a", ""), 0)
	c.event(created, "/a")
	c.do(get("/a", true), 0) // a one-shot watch beside it: one event, and the persistent one stays
	for range 3 {
		other.do(set("/a", ""), 0)
		c.event(changed, "/a")
	}
	other.do(create("/a/deep", ""), 0)
	c.event(created, "/a/deep")
	c.event(children, "/a")
	other.do(create("/a/deep/x", ""), 0)
	c.event(created, "/a/deep/x") // and no NodeChildrenChanged
	other.do(remove("/a/deep/x"), 0)
	c.event(deleted, "/a/deep/x")
	other.do(remove("/a/deep"), 0)
	c.event(deleted, "/a/deep")
	c.event(children, "/a")
	other.do(create("/a/deep", ""), 0)
	c.event(created, "/a/deep") // it outlives the znode
	c.event(children, "/a")
	other.do(create("/a/deeper", ""), 0)
	c.event(children, "/a")
	c.quiet()
}

func TestCheckAndRemoveWatches(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	c.do(create("/a", ""), 0)
	c.do(get("/a", true), 0)
	c.do(list("/a", true), 0)
	c.addWatch("/a", jute.AddPersistent)
	c.addWatch("/a", jute.AddRecursive)
	c.addWatch("/", jute.AddRecursive)
	ask := func(op jute.Opcode, path string, kind int32, code jute.Code) {
		t.Helper()
		r := c.recvFor(c.send(op, jute.AppendInt(jute.AppendString(nil, path), kind)))
		if r.Code != code || r.Decoder.Len() != 0 {
			t.Errorf("%v %q %d: code %d, want %d", op, path, kind, r.Code, code)
		}
	}
	for kind := int32(1); kind <= 5; kind++ {
		ask(jute.OpCheckWatches, "/a", kind, 0)
		ask(jute.OpCheckWatches, "/b", kind, jute.CodeNoWatcher)
		ask(jute.OpRemoveWatches, "/b", kind, jute.CodeNoWatcher)
	}
	for _, kind := range []int32{1, 2, 4} {
		ask(jute.OpRemoveWatches, "/a", kind, 0)
		ask(jute.OpCheckWatches, "/a", kind, jute.CodeNoWatcher)
		ask(jute.OpCheckWatches, "/a", 3, 0)
	}
	ask(jute.OpRemoveWatches, "", 3, 0) // the root's, and no other
	ask(jute.OpCheckWatches, "/", 3, jute.CodeNoWatcher)
	x := c.node(set("/a", ""))
	c.event(changed, "/a")
	c.want(x, 0)
	ask(jute.OpRemoveWatches, "/a", 3, 0)
	ask(jute.OpCheckWatches, "/a", 3, jute.CodeNoWatcher)
	c.do(set("/a", ""), 0)
	c.quiet()
}

// A client that comes back is told what it has missed, before the reply, and has its other watches again.
func TestSetWatches(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	for _, p := range []string{"/data", "/same", "/gone", "/kids", "/kids/same", "/kids/gone"} {
		c.do(create(p, ""), 0)
	}
	since := c.do(create("/twice", ""), 0).Zxid
	c.do(set("/data", ""), 0)
	c.do(remove("/gone"), 0)
	c.do(remove("/twice"), 0)
	c.do(create("/twice", ""), 0)
	c.do(remove("/kids/gone"), 0)
	c.do(create("/new", ""), 0)
	now := c.quietZxid()

	for _, two := range []bool{false, true} {
		c = w.resume(c, now)
		q := jute.SetWatches{
			Since:    since,
			Data:     []string{"/data", "/same", "/gone", "/twice"},
			Exist:    []string{"/new", "/missing"},
			Children: []string{"/kids", "/kids/same", "/kids/gone"},
		}
		op := jute.OpSetWatches
		if two {
			op = jute.OpSetWatches2
			q.Persistent, q.Recursive = []string{"/kids"}, []string{"/new"}
		}
		c.sendAs(-8, op, q.Append(nil, two))
		for _, e := range []struct {
			kind tiers.EventType
			path string
		}{{changed, "/data"}, {deleted, "/gone"}, {changed, "/twice"}, {created, "/new"}, {children, "/kids"}, {deleted, "/kids/gone"}} {
			if r := c.event(e.kind, e.path); r.Zxid != -1 {
				t.Errorf("zxid %d", r.Zxid)
			}
		}
		c.want(-8, 0)

		x := c.node(set("/same", ""))
		c.event(changed, "/same")
		c.want(x, 0)
		x = c.node(create("/missing", ""))
		c.event(created, "/missing")
		c.want(x, 0)
		x = c.node(create("/kids/same/x", ""))
		c.event(children, "/kids/same")
		c.want(x, 0)
		x = c.node(set("/new", ""))
		if two {
			c.event(changed, "/new")
		}
		c.want(x, 0)
		x = c.node(create("/kids/x", ""))
		if two {
			c.event(children, "/kids")
		}
		c.want(x, 0)
		c.quiet()

		// Make it as it was, for the second round.
		since = c.quietZxid()
		for _, p := range []string{"/missing", "/kids/same/x", "/kids/x"} {
			c.node(remove(p))
		}
		c.node(set("/data", ""))
		c.node(remove("/twice"))
		last := c.node(create("/twice", ""))
		for r := c.recv(); r.Xid != last; r = c.recv() {
			if r.Code != 0 {
				t.Fatalf("code %d", r.Code)
			}
		}
		now = c.quietZxid()
		if !two {
			since = c.recreate("/kids/same")
			c.do(set("/data", ""), 0)
			c.do(remove("/twice"), 0)
			c.do(create("/twice", ""), 0)
			c.do(create("/kids/y", ""), 0)
			now = c.quietZxid()
		}
	}
	c = w.resume(c, 0)
	empty := jute.SetWatches{Data: []string{}, Exist: []string{}, Children: []string{}}
	c.want(c.send(jute.OpSetWatches, empty.Append(nil, false)), 0)
}

// quietZxid is what the connection has seen, with no event on its way.
func (c *raw) quietZxid() int64 {
	c.t.Helper()
	return c.do(exists("/", false), 0).Zxid
}

func (c *raw) recreate(path string) int64 {
	c.t.Helper()
	c.do(remove(path), 0)
	return c.do(create(path, ""), 0).Zxid
}

// What can't be found out now counts as missed: the client reads for itself.
func TestSetWatchesUnavailable(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	z := c.do(create("/a", ""), 0).Zxid
	w.tier.SetUnavailable(tiers.ErrUnavailable)
	q := jute.SetWatches{Since: z, Data: []string{"/a"}, Exist: []string{"/b"}, Children: []string{"/a"}}
	c.sendAs(-8, jute.OpSetWatches, q.Append(nil, false))
	c.event(changed, "/a")
	c.event(created, "/b")
	c.event(children, "/a")
	c.want(-8, 0)
	w.tier.SetUnavailable(nil)
}

// A watch belongs to its connection: the session's next one has none.
func TestWatchesEndWithTheConnection(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	c.do(create("/a", ""), 0)
	c.do(get("/a", true), 0)
	c = w.resume(c, 0)
	c.do(set("/a", ""), 0)
	c.quiet()
}

// Events only go to who may read the znode. They consume the watch all the same.
func TestEventsAreHeldAgainstTheACL(t *testing.T) {
	w := newWorld(t)
	c, bob := w.connect(), w.connect()
	bob.auth("bob:pw")
	secret := create("/s", "")
	secret.ACL = []jute.ACL{{Perms: 31, Scheme: jute.NullString{S: "auth", Valid: true}}}
	c.addWatch("/s", jute.AddPersistent)
	bob.addWatch("/s", jute.AddPersistent)
	x := bob.node(secret)
	bob.event(created, "/s")
	bob.want(x, 0)
	x = bob.node(set("/s", ""))
	bob.event(changed, "/s")
	bob.want(x, 0)
	c.quiet()
	c.do(get("/s", true), jute.CodeNoAuth)
	c.do(exists("/s", true), jute.CodeNoAuth)
	c.auth("bob:pw")
	x = bob.node(set("/s", ""))
	bob.event(changed, "/s")
	bob.want(x, 0)
	c.event(changed, "/s")
	c.quiet()
}

func (c *raw) auth(credential string) {
	c.t.Helper()
	q := jute.AuthRequest{Scheme: "digest", Auth: []byte(credential)}
	c.sendAs(-4, jute.OpAuth, q.Append(nil))
	c.want(-4, 0)
}
