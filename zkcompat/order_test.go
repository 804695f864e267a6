package zkcompat_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/tiertest/memtier"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// Pipelined requests are answered in order, and each read shows the write before it.
func TestPipelineIsFIFO(t *testing.T) {
	for _, held := range []bool{false, true} {
		w := newWorld(t)
		c := w.connect()
		c.do(create("/a", ""), 0)
		release := func() {}
		if held {
			release = w.tier.Hold()
		}
		var want []int32
		for i := range 100 {
			want = append(want, c.node(set("/a", fmt.Sprint(i))), c.node(get("/a", false)))
			c.sendAs(-2, jute.OpPing, nil)
		}
		for range 100 { // pings are answered at once: who waits for an answer is not gone
			if held {
				c.want(jute.XidPing, 0)
			}
		}
		release()
		var zxid int64
		for i, pings := 0, 0; i < len(want); {
			r := c.recv()
			if r.Xid == jute.XidPing {
				pings++
				continue
			}
			if r.Xid != want[i] || r.Code != 0 || r.Zxid < zxid {
				t.Fatalf("reply %d: %+v, want xid %d and a zxid from %d on", i, r.ReplyHeader, want[i], zxid)
			}
			zxid = r.Zxid
			if i%2 == 1 {
				if got := string(r.Buffer()); got != fmt.Sprint(i/2) {
					t.Fatalf("read %q behind the write of %d", got, i/2)
				}
			}
			i++
		}
	}
}

// Xids are echoed whatever they are, but a ping's.
func TestXids(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	for _, xid := range []int32{0, 5, 5, -77, -1, -2, 1<<31 - 1} {
		get := get("/", false)
		c.sendAs(xid, jute.OpGetData, get.Append(nil))
		c.want(xid, 0)
	}
	c.sendAs(55, jute.OpPing, nil)
	c.want(jute.XidPing, 0)
	auth := jute.AuthRequest{Scheme: "digest", Auth: []byte("bob:pw")}
	for _, xid := range []int32{-4, 77} {
		c.sendAs(xid, jute.OpAuth, auth.Append(nil))
		if r := c.want(xid, 0); r.Zxid != 0 || r.Decoder.Len() != 0 {
			t.Errorf("auth: %+v", r)
		}
	}
}

func TestUnknownOpcode(t *testing.T) {
	w := newWorld(t)
	for _, op := range []jute.Opcode{0, -1, 10, 99, 108, 1000} {
		c := w.connect()
		a := c.node(create(fmt.Sprintf("/before%d", op), ""))
		x := c.send(op, []byte("whatever"))
		c.node(create(fmt.Sprintf("/after%d", op), ""))
		c.want(a, 0)
		if r := c.want(x, jute.CodeUnimplemented); r.Zxid != -1 {
			t.Errorf("zxid %d", r.Zxid)
		}
		c.closed()
		again := w.resume(c, 0)
		again.do(get(fmt.Sprintf("/before%d", op), false), 0)
		again.do(get(fmt.Sprintf("/after%d", op), false), jute.CodeNoNode)
	}
	if !strings.Contains(w.log.String(), "opcode 108") {
		t.Errorf("log: %s", w.log)
	}
}

// A record that can't be decoded is answered, and the connection goes on.
func TestGarbledRecords(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	null := jute.AppendInt(nil, -1)
	for name, q := range map[string]struct {
		op     jute.Opcode
		record []byte
	}{
		"truncated create":       {jute.OpCreate, jute.AppendString(nil, "/x")},
		"truncated exists":       {jute.OpExists, jute.AppendString(nil, "/x")},
		"truncated multi":        {jute.OpMulti, []byte{0, 0}},
		"truncated setWatches":   {jute.OpSetWatches, nil},
		"null lists":             {jute.OpSetWatches, bytes.Repeat([]byte{255}, 20)},
		"null lists 2":           {jute.OpSetWatches2, append(make([]byte, 20), 255, 255, 255, 255)},
		"negative length":        {jute.OpGetData, jute.AppendInt(nil, -2)},
		"huge length":            {jute.OpGetData, jute.AppendInt(nil, 1<<30)},
		"null path":              {jute.OpGetData, append(null, 0)},
		"null path of addWatch":  {jute.OpAddWatch, append(null, 0, 0, 0, 0)},
		"mode of addWatch":       {jute.OpAddWatch, jute.AppendInt(jute.AppendString(nil, "/"), 2)},
		"type of checkWatches":   {jute.OpCheckWatches, jute.AppendInt(jute.AppendString(nil, "/"), 6)},
		"type of removeWatches":  {jute.OpRemoveWatches, jute.AppendInt(jute.AppendString(nil, "/"), 0)},
		"no path to count below": {jute.OpGetAllChildrenNumber, null},
		"half an ephemeral":      {jute.OpGetEphemerals, []byte{0, 0}},
		"createSession":          {jute.OpCreateSession, nil},
		"null id in an ACL":      {jute.OpSetACL, append(jute.AppendString(jute.AppendInt(jute.AppendInt(jute.AppendString(nil, "/"), 1), 31), "world"), 255, 255, 255, 255, 0, 0, 0, 0)},
		"a read in a multi":      {jute.OpMulti, jute.AppendMulti(nil, []jute.NodeOp{set("/", ""), get("/", false)})},
		"setACL in a multi":      {jute.OpMulti, jute.AppendMulti(nil, []jute.NodeOp{{Op: jute.OpSetACL, Path: "/"}})},
		"exists in a multiRead":  {jute.OpMultiRead, jute.AppendMulti(nil, []jute.NodeOp{{Op: jute.OpExists, Path: "/"}})},
		"a write in a multiRead": {jute.OpMultiRead, jute.AppendMulti(nil, []jute.NodeOp{set("/", "")})},
	} {
		if r := c.recvFor(c.send(q.op, q.record)); r.Code != jute.CodeMarshallingError {
			t.Errorf("%s: code %d", name, r.Code)
		}
	}
	c.do(get("/", false), 0)
	q := get("/", false)
	c.want(c.send(q.Op, append(q.Append(nil), "what follows the record is ignored"...)), 0)
}

func (c *raw) recvFor(xid int32) reply {
	c.t.Helper()
	r := c.recv()
	if r.Xid != xid {
		c.t.Fatalf("reply to %d, want %d", r.Xid, xid)
	}
	return r
}

// After closeSession nothing is executed, and its reply is the last byte.
func TestCloseSession(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	watcher := w.connect()
	for _, p := range []string{"/e1", "/e2"} {
		q := create(p, "")
		q.Flags = int32(tiers.Ephemeral)
		c.do(q, 0)
		watcher.do(get(p, true), 0)
	}
	release := w.tier.Hold()
	before := c.node(create("/before", ""))
	x := c.send(jute.OpCloseSession, nil)
	c.node(create("/after", ""))
	release()
	c.want(before, 0)
	z := c.want(x, 0).Zxid
	c.closed()
	a, b := watcher.event(tiers.NodeDeleted, "/e1"), watcher.event(tiers.NodeDeleted, "/e2")
	if a.Zxid != b.Zxid || a.Zxid != z {
		t.Errorf("zxids %d and %d of the deletions, %d of the reply", a.Zxid, b.Zxid, z)
	}
	watcher.do(get("/before", false), 0)
	watcher.do(get("/after", false), jute.CodeNoNode)
}

// A tier that does not answer is told as "try again", and the connection goes on for the sake of the other tiers.
func TestUnavailable(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	for _, err := range []error{
		tiers.ErrUnavailable, &tiers.StaleError{Path: "/"},
		&tiers.UnknownOutcomeError{Cause: errors.New("no answer")}, &tiers.UnknownOutcomeError{Cause: tiers.ErrSessionMoved},
	} {
		w.tier.SetUnavailable(err)
		c.do(create("/x", ""), jute.CodeConnectionLoss)
		c.do(get("/x", true), jute.CodeConnectionLoss)
		c.want(c.send(jute.OpMulti, jute.AppendMulti(nil, []jute.NodeOp{create("/x", "")})), jute.CodeConnectionLoss)
		c.want(c.send(jute.OpSync, jute.AppendString(nil, "/x")), jute.CodeConnectionLoss)
		w.tier.SetUnavailable(nil)
	}
	c.do(get("/x", false), jute.CodeNoNode)
	w.tier.SetUnavailable(errors.New("something new"))
	c.do(get("/x", false), jute.CodeSystemError)
	w.tier.SetUnavailable(nil)
	if !strings.Contains(w.log.String(), "something new") {
		t.Errorf("log: %s", w.log)
	}
}

// Who lost the session to another member gets no answer: its client must not take it for a refusal.
func TestSessionMoved(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	w.tier.SetUnavailable(tiers.ErrSessionMoved)
	c.node(create("/x", ""))
	c.closed()
	w.tier.SetUnavailable(nil)
}

// What a tier does not offer is refused without closing the connection, and the log says what to change.
func TestContractRefusals(t *testing.T) {
	strong := memtier.New(memtier.Options{})
	defer strong.Close()
	loose := memtier.New(memtier.Options{Contract: tiers.Contract{Tier: "loose", Ephemeral: true, MinorityWritable: true}, Mounts: []string{"/services"}})
	defer loose.Close()
	r, err := tiers.NewRouter(strong, tiers.Route{Prefix: "/services", Tier: loose})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorldOver(t, strong, r)
	c := w.connect()
	e := create("/services/a", "x")
	e.Flags = int32(tiers.Ephemeral)
	c.do(e, 0)
	c.do(get("/services/a", false), 0)
	conditional, sequential := set("/services/a", ""), create("/services/s-", "")
	conditional.Version, sequential.Flags = 0, int32(tiers.PersistentSequential)
	container := create("/services/c", "")
	container.Op = jute.OpCreateContainer
	secret := create("/services/s", "")
	secret.ACL = []jute.ACL{{Perms: 1, Scheme: jute.NullString{S: "world", Valid: true}, ID: "anyone"}}
	for range 3 {
		for _, q := range []jute.NodeOp{conditional, sequential, container, secret, {Op: jute.OpCheck, Path: "/services/a"}} {
			c.do(q, jute.CodeUnimplemented)
		}
		c.want(c.send(jute.OpMulti, jute.AppendMulti(nil, []jute.NodeOp{create("/x", ""), set("/services/a", "")})), jute.CodeUnimplemented)
	}
	c.do(get("/x", false), jute.CodeNoNode)
	log := w.log.String()
	for _, want := range []string{"conditional setData", "sequential create", "create that expires", "in one tier", "tier=loose", "change="} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q: %s", want, log)
		}
	}
	if n := strings.Count(log, "conditional setData"); n != 1 {
		t.Errorf("%d lines about one thing", n)
	}
}

// A client that never reads costs a bounded amount of memory: the server stops reading its requests.
func TestClientThatNeverReads(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	c.do(create("/big", strings.Repeat("x", 1<<19)), 0)
	q := get("/big", false)
	h := jute.RequestHeader{Xid: 1, Op: q.Op}
	body := q.Append(h.Append(nil))
	frame := append(jute.AppendInt(nil, int32(len(body))), body...)
	if err := c.nc.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	many := bytes.Repeat(frame, 1000)
	var err error
	for sent := 0; err == nil; {
		var n int
		if n, err = c.nc.Write(many); n > 0 {
			sent += n
		}
		if sent > 100<<20 {
			t.Fatal("the server takes requests for ever")
		}
	}
	if n := w.server.Stats().Outstanding; n == 0 || n > 1001 {
		t.Errorf("%d requests are outstanding", n)
	}
	w.connect().do(get("/", false), 0) // others are served
	if err := w.server.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Events that a client does not take end its connection, and hold nobody up.
func TestClientThatTakesNoEvents(t *testing.T) {
	w := newWorld(t)
	slow := w.connect()
	name := "/" + strings.Repeat("n", 100_000)
	slow.want(slow.send(jute.OpAddWatch, jute.AppendInt(jute.AppendString(nil, "/"), jute.AddRecursive)), 0)
	fast := w.connect()
	fast.do(create(name, ""), 0)
	for range 1000 {
		fast.do(set(name, ""), 0)
		if strings.Contains(w.log.String(), "does not take its events") {
			return
		}
	}
	t.Errorf("100 MB of events are kept for a client that does not take them; log: %s", w.log)
}

// Closing the server answers what was asked, and keeps the sessions.
func TestServerClose(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	e := create("/e", "")
	e.Flags = int32(tiers.Ephemeral)
	c.do(e, 0)
	x := c.node(create("/last", ""))
	c.want(x, 0)
	if err := w.server.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.closed()
	for _, p := range []string{"/e", "/last"} {
		if _, err := w.tier.Read(t.Context(), tiers.Query{Path: p}); err != nil {
			t.Error(err)
		}
	}
	if err := w.server.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Requests that are never answered do not keep the server from closing.
func TestServerCloseWhileHeld(t *testing.T) {
	w := newWorld(t)
	release := w.tier.Hold()
	defer release()
	c := w.connect()
	c.node(get("/", true))
	c.node(create("/x", ""))
	c.sendAs(-2, jute.OpPing, nil)
	c.want(jute.XidPing, 0)
	if err := w.server.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.closed()
}

// Watches are armed, found and removed at their place in the order: what was asked before, and still waits, comes before them.
func TestWatchRequestsKeepTheirPlace(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	c.do(create("/a", ""), 0)
	on := func(path string, n int32) []byte { return (&jute.PathInt{Path: path, Value: n}).Append(nil) }
	release := w.tier.Hold()
	var xids []int32
	xids = append(xids,
		c.node(set("/a", "1")),
		c.send(jute.OpAddWatch, on("/a", jute.AddPersistent)),
		c.node(get("/a", true)),
		c.send(jute.OpCheckWatches, on("/a", jute.WatchData)),
		c.send(jute.OpRemoveWatches, on("/a", jute.WatchPersistent)),
		c.send(jute.OpRemoveWatches, on("/a", jute.WatchPersistent)),
		c.send(jute.OpRemoveWatches, on("/a", jute.WatchAny)))
	release()
	for i, code := range []jute.Code{0, 0, 0, 0, 0, jute.CodeNoWatcher, 0} { // and no event of the first write
		c.want(xids[i], code)
	}
	release = w.tier.Hold()
	first, arm, second := c.node(set("/a", "1")), c.send(jute.OpAddWatch, on("/a", jute.AddRecursive)), c.node(set("/a", "2"))
	release()
	c.want(first, 0)
	c.want(arm, 0)
	c.event(changed, "/a")
	c.want(second, 0)
}

// The arming of a recursive watch holds up no event of another watch that belongs before an earlier reply.
func TestOwnEventWithARecursiveArmingBehind(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	on := func(path string, n int32) []byte { return (&jute.PathInt{Path: path, Value: n}).Append(nil) }
	c.want(c.send(jute.OpAddWatch, on("/a", jute.AddPersistent)), 0)
	release := w.tier.Hold()
	write, arm := c.node(create("/a", "")), c.send(jute.OpAddWatch, on("/", jute.AddRecursive))
	release()
	c.event(created, "/a")
	c.want(write, 0)
	c.want(arm, 0)
}
