package zkcompat_test

import (
	"context"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/tiertest/memtier"
	"github.com/strata-coord/strata/zkcompat"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// newMinority serves a tree that can get into read-only mode, and one at /services that goes on without a majority.
func newMinority(t *testing.T, opts ...option) *world {
	contract := memtier.Full
	contract.MinorityWritable = false
	strong := memtier.New(memtier.Options{Contract: contract})
	t.Cleanup(strong.Close)
	loose := memtier.New(memtier.Options{Contract: tiers.Contract{Tier: "loose", Ephemeral: true, MinorityWritable: true}, Mounts: []string{"/services"}})
	t.Cleanup(loose.Close)
	r, err := tiers.NewRouter(strong, tiers.Route{Prefix: "/services", Tier: loose})
	if err != nil {
		t.Fatal(err)
	}
	return newWorldOver(t, strong, r, append(opts, func(c *zkcompat.Config) { c.ReadOnly = strong.ReadOnly })...)
}

// connectReadOnly opens a session of a client that allows read-only service.
func (w *world) connectReadOnly() *raw {
	w.t.Helper()
	c := w.dial()
	c.greet(jute.ConnectRequest{Timeout: 30000, HasReadOnly: true, ReadOnly: true})
	if c.SessionID == 0 {
		w.t.Fatal("no session")
	}
	return c
}

func ephemeral(path string) jute.NodeOp {
	q := create(path, "")
	q.Flags = int32(tiers.Ephemeral)
	return q
}

// servesReads holds what a connection in read-only mode offers.
func (c *raw) servesReads() {
	c.t.Helper()
	if data := c.do(get("/a", true), 0).Buffer(); string(data) != "1" {
		c.t.Errorf("/a has %q", data)
	}
	c.do(exists("/none", true), jute.CodeNoNode)
	c.do(list("/", true), 0)
	c.do(jute.NodeOp{Op: jute.OpGetACL, Path: "/a"}, 0)
	c.want(c.send(jute.OpMultiRead, jute.AppendMulti(nil, []jute.NodeOp{get("/a", false), list("/", false)})), 0)
	c.addWatch("/a", jute.AddPersistent)
	watches := jute.SetWatches{Data: []string{"/a"}, Exist: []string{"/none"}, Children: []string{"/"}, Since: 1 << 40}
	c.sendAs(-8, jute.OpSetWatches, watches.Append(nil, false))
	c.want(-8, 0)
	c.want(c.send(jute.OpWhoAmI, nil), 0)
	c.sendAs(jute.XidPing, jute.OpPing, nil)
	c.want(jute.XidPing, 0)
	// The routes that need no majority are written too.
	c.do(ephemeral("/services/e"), 0)
	c.do(set("/services/e", "2"), 0)
	c.want(c.send(jute.OpSync, jute.AppendString(nil, "/services")), 0)
	c.want(c.send(jute.OpMulti, jute.AppendMulti(nil, []jute.NodeOp{remove("/services/e")})), 0)
}

// refusesWrites holds what it refuses.
func (c *raw) refusesWrites() {
	c.t.Helper()
	container, ttl := create("/c", ""), create("/t", "")
	container.Op, ttl.Op, ttl.Flags, ttl.TTL = jute.OpCreateContainer, jute.OpCreateTTL, int32(tiers.PersistentTTL), 1000
	two := create("/x", "")
	two.Op = jute.OpCreate2
	for _, q := range []jute.NodeOp{
		create("/x", ""), two, ephemeral("/x"), container, ttl, remove("/a"), set("/a", "2"),
		{Op: jute.OpSetACL, Path: "/a", ACL: openACL, Version: -1}, {Op: jute.OpCheck, Path: "/a", Version: -1},
	} {
		c.do(q, jute.CodeNotReadOnly)
	}
	for _, path := range []string{"/", "/a", ""} {
		c.want(c.send(jute.OpSync, jute.AppendString(nil, path)), jute.CodeNotReadOnly)
	}
	for _, ops := range [][]jute.NodeOp{nil, {create("/x", "")}, {{Op: jute.OpCheck, Path: "/a", Version: -1}}, {create("/services/x", ""), create("/x", "")}} {
		c.want(c.send(jute.OpMulti, jute.AppendMulti(nil, ops)), jute.CodeNotReadOnly)
	}
	c.want(c.send(jute.OpReconfig, append(jute.AppendInt(jute.AppendInt(jute.AppendInt(nil, -1), -1), -1), make([]byte, 8)...)), jute.CodeNotReadOnly)
}

// A connection of before the mode is downgraded without a word, and upgraded again.
func TestLiveConnectionIsDowngradedAndUpgraded(t *testing.T) {
	w := newMinority(t)
	c := w.connectReadOnly()
	if c.ReadOnly {
		t.Error("the response says read-only although there is a majority")
	}
	c.do(create("/a", "1"), 0)
	c.do(ephemeral("/mine"), 0)
	w.tier.SetReadOnly(true)
	if got := w.ask("isro"); got != "ro" {
		t.Errorf("isro: %q", got)
	}
	c.servesReads()
	c.refusesWrites()
	w.tier.SetReadOnly(false)
	if got := w.ask("isro"); got != "rw" {
		t.Errorf("isro: %q", got)
	}
	if s := c.do(exists("/mine", false), 0).stat(); s.EphemeralOwner != c.SessionID {
		t.Errorf("the ephemeral is of %x, not %x", s.EphemeralOwner, c.SessionID)
	}
	x := c.node(set("/a", "2"))
	c.event(changed, "/a") // armed in read-only mode
	c.want(x, 0)
	c.want(c.send(jute.OpSync, jute.AppendString(nil, "/a")), 0)
}

// One that comes during the mode is told of it; its session is an ordinary one.
func TestConnectionMadeInReadOnlyMode(t *testing.T) {
	w := newMinority(t)
	w.connect().do(create("/a", "1"), 0)
	w.tier.SetReadOnly(true)
	c := w.connectReadOnly()
	if !c.ReadOnly {
		t.Error("the response does not say read-only")
	}
	c.servesReads()
	c.refusesWrites()
	c.nc.Close()
	w.tier.SetReadOnly(false)
	again := w.resume(c, 0)
	if again.SessionID != c.SessionID || again.ReadOnly {
		t.Errorf("%+v after %+v", again.ConnectResponse, c.ConnectResponse)
	}
	again.do(ephemeral("/mine"), 0)
	again.want(again.send(jute.OpCloseSession, nil), 0)
	w.tier.SetReadOnly(true)
	leaving := w.connectReadOnly()
	leaving.want(leaving.send(jute.OpCloseSession, nil), 0)
	leaving.closed()
}

// Who did not ask for read-only service is served as without the mode: the routes that go on, and a refusal of the others.
func TestClientsThatDoNotKnowReadOnlyMode(t *testing.T) {
	w := newMinority(t)
	before := w.connect()
	before.do(create("/a", "1"), 0)
	w.tier.SetReadOnly(true)
	old := w.dial()
	old.greet(jute.ConnectRequest{Timeout: 30000}) // without the byte
	for _, c := range []*raw{before, w.connect(), old} {
		if c.ReadOnly {
			t.Error("the response says read-only")
		}
		c.do(get("/a", false), jute.CodeConnectionLoss)
		c.do(set("/a", "2"), jute.CodeConnectionLoss)
		c.do(create("/services/x", ""), 0)
		c.do(remove("/services/x"), 0)
	}
}

// Where nothing goes on without a majority, they are sent away, as ZooKeeper sends them away.
func TestMajorityOnly(t *testing.T) {
	w := newMinority(t, func(c *zkcompat.Config) { c.MajorityOnly = true })
	before, capable := w.connect(), w.connectReadOnly()
	before.do(create("/a", "1"), 0)
	w.tier.SetReadOnly(true)
	before.sendAs(jute.XidPing, jute.OpPing, nil)
	before.closed()
	late := w.dial()
	q := jute.ConnectRequest{Timeout: 30000, Password: make([]byte, 16), HasReadOnly: true}
	late.frame(q.Append(nil))
	late.closed()
	capable.servesReads()
	w.tier.SetReadOnly(false)
	w.resume(before, 0).do(set("/a", "2"), 0)
}

// homeless is a table that can't prove that sessions live, but for clients that are content with read-only mode.
type homeless struct{ *memtier.Sessions }

func (h homeless) Attach(context.Context, tiers.SessionID, []byte, time.Duration, func(error)) (tiers.Lease, error) {
	return tiers.Lease{}, &tiers.OpError{Op: "session", Err: tiers.ErrUnavailable}
}

func (h homeless) AttachReadOnly(ctx context.Context, id tiers.SessionID, password []byte, timeout time.Duration, cut func(error)) (tiers.Lease, error) {
	return h.Sessions.Attach(ctx, id, password, timeout, cut)
}

// A session of another member is served in read-only mode, to a client that knows of it.
func TestGuest(t *testing.T) {
	w := newMinority(t, func(c *zkcompat.Config) { c.Sessions = homeless{c.Sessions.(*memtier.Sessions)} })
	first := w.connectReadOnly()
	first.do(create("/a", "1"), 0)
	for _, x := range []struct{ mode, asks, served bool }{{true, true, true}, {false, true, false}, {true, false, false}} {
		w.tier.SetReadOnly(x.mode)
		c := w.dial()
		q := jute.ConnectRequest{Timeout: 30000, SessionID: first.SessionID, Password: first.Password[:], HasReadOnly: true, ReadOnly: x.asks}
		if !x.served {
			c.frame(q.Append(nil))
			c.closed()
			continue
		}
		c.greet(q)
		if c.SessionID != first.SessionID || !c.ReadOnly {
			t.Errorf("%+v", c.ConnectResponse)
		}
		c.servesReads()
	}
}
