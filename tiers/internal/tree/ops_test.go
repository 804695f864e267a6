package tree

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

func who(scheme, id string) tiers.Identity { return tiers.Identity{Scheme: scheme, ID: id} }

func grantTo(p tiers.Perm, w tiers.Identity) []tiers.ACL { return []tiers.ACL{{Perms: p, Who: w}} }

// TestPrecedence has several things wrong with each op: the first one of zk-protocol 5.2 is what is told.
func TestPrecedence(t *testing.T) {
	d := drive(t)
	closed := grantTo(tiers.PermAll, alice)
	d.must(0, mk("/open", 0), mk("/open/kid", 0))
	d.must(0, tiers.Op{Kind: tiers.OpCreate, Path: "/closed", ACL: tiers.OpenACL}, mk("/closed/kid", 0),
		tiers.Op{Kind: tiers.OpSetACL, Path: "/closed", ACL: closed, Version: -1})
	d.must(5, tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Second}, mk("/eph", tiers.Ephemeral))
	d.must(6, tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Second}, tiers.Op{Kind: tiers.OpCloseSession})

	create := func(path string, change ...func(*tiers.Op)) tiers.Op {
		op := mk(path, 0)
		for _, c := range change {
			c(&op)
		}
		return op
	}
	mode := func(m tiers.CreateMode) func(*tiers.Op) { return func(o *tiers.Op) { o.Mode = m } }
	ttl := func(d time.Duration) func(*tiers.Op) { return func(o *tiers.Op) { o.TTL = d } }
	noACL := func(o *tiers.Op) { o.ACL = nil }
	op := func(k tiers.OpKind, path string, version int32) tiers.Op {
		return tiers.Op{Kind: k, Path: path, Version: version, ACL: tiers.OpenACL}
	}
	for i, row := range []struct {
		session tiers.SessionID
		op      tiers.Op
		want    error
	}{
		{0, create("no", mode(8), noACL), tiers.ErrBadArguments},
		{0, create("/x", mode(-1)), tiers.ErrBadArguments},
		{0, create("no", mode(tiers.PersistentTTL), noACL), tiers.ErrBadArguments},
		{0, create("/x", mode(tiers.PersistentTTL), ttl(tiers.MaxTTL+time.Millisecond)), tiers.ErrBadArguments},
		{0, create("/x", mode(tiers.PersistentTTL), ttl(-time.Second)), tiers.ErrBadArguments},
		{0, create("/x", mode(tiers.PersistentTTL), ttl(time.Microsecond)), tiers.ErrBadArguments},
		{0, create("no", mode(tiers.Ephemeral), noACL), tiers.ErrSessionExpired},
		{9, create("no", mode(tiers.EphemeralSequential), noACL), tiers.ErrSessionExpired},
		{6, create("no"), tiers.ErrSessionExpired},
		{0, create("no", noACL), tiers.ErrBadArguments},
		{0, create("", noACL), tiers.ErrBadArguments},
		{0, create("/a\x00b", noACL), tiers.ErrBadArguments},
		{0, create("/none/x", noACL), tiers.ErrInvalidACL},
		{0, create("/"), tiers.ErrNodeExists},
		{0, create("a/b"), tiers.ErrNoNode}, // a slash is enough: there is no parent "a"
		{0, create("a/"), tiers.ErrNoNode},
		{0, create("a/b", noACL), tiers.ErrInvalidACL},
		{0, op(tiers.OpDelete, "a/b", -1), tiers.ErrNoNode},
		{0, op(tiers.OpDelete, "a", -1), tiers.ErrBadArguments},
		{0, create("/none/x"), tiers.ErrNoNode},
		{0, create("/open//x"), tiers.ErrNoNode},
		{0, create("/open/"), tiers.ErrBadArguments},
		{0, create("/closed/kid"), tiers.ErrNoAuth},
		{0, create("/closed/."), tiers.ErrNoAuth},
		{0, create("/open/."), tiers.ErrBadArguments},
		{0, create("/open/\U0001F600"), tiers.ErrBadArguments},
		{0, create("/open/kid"), tiers.ErrNodeExists},
		{0, create("/eph/x"), tiers.ErrEphemeral},
		{0, create("/eph/\u0001"), tiers.ErrBadArguments},

		{0, op(tiers.OpDelete, "x", -1), tiers.ErrBadArguments},
		{0, op(tiers.OpDelete, "/", -1), tiers.ErrBadArguments},
		{0, op(tiers.OpDelete, "/zookeeper", -1), tiers.ErrBadArguments},
		{0, op(tiers.OpDelete, "/zookeeper/quota", -1), tiers.ErrBadArguments},
		{0, op(tiers.OpDelete, "/zookeeper/config", -1), tiers.ErrBadArguments},
		{0, op(tiers.OpDelete, "/none/x", -1), tiers.ErrNoNode},
		{0, op(tiers.OpDelete, "/closed/none", -1), tiers.ErrNoAuth},
		{0, op(tiers.OpDelete, "/open/none", -1), tiers.ErrNoNode},
		{0, op(tiers.OpDelete, "/open", 7), tiers.ErrBadVersion},
		{0, op(tiers.OpDelete, "/open", -2), tiers.ErrBadVersion},
		{0, op(tiers.OpDelete, "/open", 0), tiers.ErrNotEmpty},

		{0, op(tiers.OpSetData, "", -1), tiers.ErrBadArguments},
		{0, op(tiers.OpSetData, "/open/", -1), tiers.ErrBadArguments},
		{0, op(tiers.OpSetData, "/none", 7), tiers.ErrNoNode},
		{0, op(tiers.OpSetData, "/closed", 7), tiers.ErrNoAuth},
		{0, op(tiers.OpSetData, "/open", 7), tiers.ErrBadVersion},
		{0, op(tiers.OpSetData, "/zookeeper/config", -1), tiers.ErrNoAuth},

		{0, tiers.Op{Kind: tiers.OpSetACL, Path: "/open/"}, tiers.ErrBadArguments},
		{0, tiers.Op{Kind: tiers.OpSetACL, Path: "/none"}, tiers.ErrInvalidACL},
		{0, op(tiers.OpSetACL, "/none", 7), tiers.ErrNoNode},
		{0, op(tiers.OpSetACL, "/closed", 7), tiers.ErrNoAuth},
		{0, op(tiers.OpSetACL, "/open", 7), tiers.ErrBadVersion},

		{0, op(tiers.OpCheck, "open", 7), tiers.ErrBadArguments},
		{0, op(tiers.OpCheck, "/none", 7), tiers.ErrNoNode},
		{0, op(tiers.OpCheck, "/closed", 7), tiers.ErrNoAuth},
		{0, op(tiers.OpCheck, "/open", 7), tiers.ErrBadVersion},

		{0, tiers.Op{Kind: 0, Path: "/open"}, tiers.ErrBadArguments},
		{0, tiers.Op{Kind: 77, Path: "/open"}, tiers.ErrBadArguments},
		{0, tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Second}, tiers.ErrBadArguments},
		{8, tiers.Op{Kind: tiers.OpOpenSession}, tiers.ErrBadArguments},
		{6, tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Second}, tiers.ErrSessionExpired},
		{6, tiers.Op{Kind: tiers.OpCloseSession}, tiers.ErrSessionExpired},
	} {
		before := d.Zxid()
		r, err := d.do(row.session, row.op)
		var oe *tiers.OpError
		if !errors.Is(err, row.want) || !errors.As(err, &oe) || oe.Path != row.op.Path || oe.Op != row.op.Kind.String() {
			t.Errorf("%d: %v %q: %v, want %v", i, row.op.Kind, row.op.Path, err, row.want)
		}
		if d.Zxid() != before || r.Zxid != before || len(r.Results) != 1 || !errors.Is(r.Results[0].Err, row.want) {
			t.Errorf("%d: %v %q: %+v, %v after %v", i, row.op.Kind, row.op.Path, r, d.Zxid(), before)
		}
	}
	// The super identity passes, and only in its one form; the configuration is not even its.
	for _, row := range []struct {
		caller tiers.Identity
		path   string
		want   error
	}{
		{who("super", ""), "/closed", nil}, {who("super", "x"), "/closed", tiers.ErrNoAuth}, {alice, "/closed", nil},
		{bob, "/closed", tiers.ErrNoAuth}, {who("super", ""), ConfigPath, tiers.ErrNoAuth},
	} {
		d.n++
		_, err := d.Apply(0, here, d.n, &tiers.Txn{Caller: []tiers.Identity{row.caller}, Ops: []tiers.Op{op(tiers.OpSetData, row.path, -1)}})
		if !errors.Is(err, row.want) {
			t.Errorf("%v sets %s: %v, want %v", row.caller, row.path, err, row.want)
		}
	}
}

func TestSequenceNumbers(t *testing.T) {
	d := drive(t)
	next := func(path string, m tiers.CreateMode) string {
		t.Helper()
		op := mk(path, m)
		if m.IsTTL() {
			op.TTL = time.Second
		}
		return d.must(0, op).Results[0].Path
	}
	got := []string{
		next("/", tiers.PersistentSequential), next("/q", 0), next("/q/a-", tiers.PersistentSequential),
		next("/q/b-", tiers.PersistentSequentialTTL), next("/q/plain", 0), next("/q/", tiers.PersistentSequential),
	}
	want := []string{"/0000000000", "/q", "/q/a-0000000000", "/q/b-0000000001", "/q/plain", "/q/0000000003"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	d.must(0, tiers.Op{Kind: tiers.OpDelete, Path: "/q/plain", Version: -1})
	if _, err := d.do(0, mk("/q/c-", tiers.PersistentSequential), mk("/none/x", 0)); !errors.Is(err, tiers.ErrNoNode) {
		t.Error(err)
	}
	if p := next("/q/c-", tiers.PersistentSequential); p != "/q/c-0000000004" {
		t.Errorf("after a delete and a failed multi: %s", p)
	}
	r := d.must(0, mk("/q/d-", tiers.PersistentSequential), mk("/q/d-", tiers.PersistentSequential))
	if r.Results[0].Path != "/q/d-0000000005" || r.Results[1].Path != "/q/d-0000000006" {
		t.Errorf("two in a multi: %+v", r.Results)
	}
	for n, want := range map[int32]string{0: "0000000000", 9: "0000000009", 10: "0000000010", 999999999: "0999999999", 1e9: "1000000000", math.MaxInt32: "2147483647"} {
		if got := numbered("/p", n); got != "/p"+want || got != fmt.Sprintf("/p%010d", n) {
			t.Errorf("%d: %s", n, got)
		}
	}
}

func TestSequenceNumbersEnd(t *testing.T) {
	d := drive(t)
	d.must(0, mk("/q", 0))
	worn := *d.znodes.get("/q")
	worn.creates = math.MaxInt32 - 1
	d.znodes.put("/q", &worn)
	if p := d.must(0, mk("/q/", tiers.PersistentSequential)).Results[0].Path; p != "/q/2147483646" {
		t.Error(p)
	}
	d.must(0, tiers.Op{Kind: tiers.OpDelete, Path: "/q/2147483646", Version: -1})
	if _, err := d.do(0, mk("/q/", tiers.PersistentSequential)); !errors.Is(err, tiers.ErrNodeExists) {
		t.Errorf("beyond the last number: %v", err)
	}
	d.must(0, mk("/q/plain", 0))
}

func TestPaths(t *testing.T) {
	for p, want := range map[string]bool{
		"/": true, "/a": true, "/a/b": true, "/...": true, "/.b": true, "/a/..b": true, "/a b": true, "/\u00a0": true, "/\uffef": true, "/ä/ö": true,
		"": false, "a": false, "/a/": false, "//": false, "/a//b": false, "/.": false, "/..": false, "/a/.": false, "/a/..": false,
		"/./a": false, "/../a": false, "/a/./b": false, "/a/../b": false, "/\x00": false, "/\x1f": false, "/\x7f": false, "/\u0085": false, "/\u009f": false,
		"/\ue000": false, "/\uf8ff": false, "/\uf900": true, "/\ufff0": false, "/\U0001F600": false, "/\xff": false, "/a\xc3": false,
	} {
		if validPath(p) != want {
			t.Errorf("%q: %v", p, !want)
		}
	}
}

func TestStatOfExpiringKinds(t *testing.T) {
	d := drive(t)
	d.must(0, mk("/c", tiers.Container))
	ttl := mk("/t", tiers.PersistentTTL)
	ttl.TTL = tiers.MaxTTL
	d.must(0, ttl)
	d.must(0, mk("/c/kid", 0), mk("/t/kid", 0))
	for _, p := range []string{"/c", "/t"} {
		if v, err := d.Read(tiers.Query{Path: p}); err != nil || v.Stat.EphemeralOwner != 0 || v.Stat.NumChildren != 1 {
			t.Errorf("%s: %+v, %v", p, v.Stat, err)
		}
	}
	if c, e := d.znodes.get("/c"), d.znodes.get("/t"); c.kind != container || e.kind != expiring || e.ttl != tiers.MaxTTL {
		t.Errorf("%+v, %+v", c, e)
	}
}

// TestTimeNeverGoesBack: the clock of a new leader may be behind that of the last one.
func TestTimeNeverGoesBack(t *testing.T) {
	tr := New()
	for i, at := range []int64{100, 50, 101} {
		if _, err := tr.Apply(at, here, uint64(i+1), &tiers.Txn{Ops: []tiers.Op{mk(fmt.Sprint("/", i), 0)}}); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []int64{100, 100, 101} {
		if v, _ := tr.Read(tiers.Query{Path: fmt.Sprint("/", i)}); v.Stat.Ctime != want || v.Stat.Mtime != want {
			t.Errorf("%d: %+v", i, v.Stat)
		}
	}
}
