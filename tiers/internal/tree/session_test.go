package tree

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

var opening = tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Second}

func TestSessions(t *testing.T) {
	d := drive(t)
	if _, err := d.do(7, mk("/e", tiers.Ephemeral)); !errors.Is(err, tiers.ErrSessionExpired) {
		t.Errorf("an ephemeral without a session: %v", err)
	}
	var ended []tiers.SessionID
	d.OnSessionEnd(func(id tiers.SessionID) { ended = append(ended, id) })
	d.must(7, tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Second})
	d.must(7, mk("/e", tiers.Ephemeral))
	d.must(7, mk("/f", tiers.Ephemeral))
	if _, err := d.do(7, mk("/e/child", 0)); !errors.Is(err, tiers.ErrEphemeral) {
		t.Errorf("a child of an ephemeral: %v", err)
	}
	first, _ := d.Session(7)

	// It moves to another member: the first one may not act for it any more.
	other := Origin{2, 1}
	if _, err := d.Apply(1, other, 1, &tiers.Txn{Session: 7, Ops: []tiers.Op{{Kind: tiers.OpOpenSession, Timeout: time.Second}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.do(7, mk("/g", 0)); !errors.Is(err, tiers.ErrSessionMoved) {
		t.Errorf("a write from where the session was: %v", err)
	}
	d.Expire(1, []Expiry{{7, first.Since}})
	if _, s := d.Session(7); s != SessionLive {
		t.Error("expired on the word of what was known before it moved")
	}
	z := d.Zxid()
	now, _ := d.Session(7)
	d.Expire(1, []Expiry{{7, now.Since}})
	if _, s := d.Session(7); s != SessionEnded || d.Zxid() != z+1 || len(ended) != 1 {
		t.Errorf("after expiry: %v at %v, told %v", s, d.Zxid(), ended)
	}
	if st := d.Stats(); st.Ephemerals != 0 || st.Sessions != 0 {
		t.Errorf("left behind: %+v", st)
	}
	if _, err := d.do(7, tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Second}); !errors.Is(err, tiers.ErrSessionExpired) {
		t.Errorf("an ended session came back: %v", err)
	}
	if _, err := d.do(7, mk("/g", 0)); !errors.Is(err, tiers.ErrSessionExpired) {
		t.Errorf("an ended session wrote: %v", err)
	}
}

// TestSessionOpsInOneTxn: they are ops like others, and are taken back like others.
func TestSessionOpsInOneTxn(t *testing.T) {
	d := drive(t)
	var moved, ended []tiers.SessionID
	d.OnSessionMove(func(s SessionInfo) { moved = append(moved, s.ID) })
	d.OnSessionEnd(func(id tiers.SessionID) { ended = append(ended, id) })

	d.must(1, opening, mk("/e1", tiers.Ephemeral), mk("/e2", tiers.Ephemeral))
	if s, status := d.Session(1); status != SessionLive || s.Ephemerals != 2 || s.Since != 1 || s.Timeout != time.Second {
		t.Errorf("%+v %v", s, status)
	}
	fails := mk("/none/x", 0)
	before, told := snapshotOf(t, d.Tree), d.outcomes.now()
	for _, ops := range [][]tiers.Op{
		{{Kind: tiers.OpOpenSession, Timeout: time.Hour}, mk("/e3", tiers.Ephemeral), fails},
		{mk("/e3", tiers.Ephemeral), {Kind: tiers.OpCloseSession}, opening},
		{{Kind: tiers.OpCloseSession}, mk("/f", 0)},
		{{Kind: tiers.OpDelete, Path: "/e1", Version: -1}, mk("/e1", tiers.Ephemeral), {Kind: tiers.OpDelete, Path: "/e2", Version: -1}, fails},
	} {
		if _, err := d.do(1, ops...); err == nil {
			t.Errorf("%+v should fail", ops)
		}
	}
	if _, err := d.do(2, opening, mk("/e3", tiers.Ephemeral), fails); err == nil {
		t.Error("should fail")
	}
	if _, status := d.Session(2); status != SessionUnknown {
		t.Errorf("session 2 is %v after its open was taken back", status)
	}
	d.origins[1], d.at, d.outcomes = position{1, 1}, 1001, told
	if !bytes.Equal(before, snapshotOf(t, d.Tree)) {
		t.Error("txns that failed left something")
	}
	if s, _ := d.Session(1); s.Ephemerals != 2 {
		t.Errorf("session 1 has %d ephemerals", s.Ephemerals)
	}
	d.n = 1
	if len(moved) != 1 || len(ended) != 0 {
		t.Errorf("told: %v moved, %v ended", moved, ended)
	}
	d.must(1, tiers.Op{Kind: tiers.OpCloseSession})
	if st := d.Stats(); st.Ephemerals != 0 || st.Sessions != 0 || !slices.Equal(ended, []tiers.SessionID{1}) {
		t.Errorf("%+v, told that %v ended", st, ended)
	}
}

func TestCloseIsOneCommit(t *testing.T) {
	d := drive(t)
	d.must(0, mk("/p", 0))
	d.must(1, opening, mk("/p/b", tiers.Ephemeral), mk("/a", tiers.Ephemeral), mk("/p/a", tiers.Ephemeral))
	w := &log{}
	d.Hub().Add("/", tiers.ScopeRecursive, w)
	d.Hub().Add("/", tiers.ScopeChildren, w)
	d.Hub().Add("/p", tiers.ScopePersistent, w)
	r := d.must(1, tiers.Op{Kind: tiers.OpCloseSession})
	want := []string{"NodeDeleted /a 0x3", "NodeChildrenChanged / 0x3", "NodeDeleted /p/a 0x3", "NodeChildrenChanged /p 0x3",
		"NodeDeleted /p/b 0x3", "NodeChildrenChanged /p 0x3"}
	if !slices.Equal(w.events, want) || r.Zxid != 3 {
		t.Errorf("at %v: %v, want %v", r.Zxid, w.events, want)
	}
	if v, _ := d.Read(tiers.Query{Path: "/p"}); v.Stat.Pzxid != 3 || v.Stat.Cversion != 4 || v.Stat.NumChildren != 0 {
		t.Errorf("%+v", v.Stat)
	}
}

func TestCloseOfAnUnknownSession(t *testing.T) {
	d := drive(t)
	d.must(7, tiers.Op{Kind: tiers.OpCloseSession})
	if _, status := d.Session(7); status != SessionUnknown {
		t.Errorf("it is %v now", status)
	}
	d.must(7, mk("/a", 0)) // a session that owns nothing here may write
	d.must(7, opening)
}

// TestHostIsMemberAndIncarnation: a member that has started again is another host.
func TestHostIsMemberAndIncarnation(t *testing.T) {
	tr := New()
	apply := func(o Origin, n uint64, ops ...tiers.Op) error {
		_, err := tr.Apply(0, o, n, &tiers.Txn{Session: 1, Ops: ops})
		return err
	}
	if err := apply(Origin{1, 1}, 1, opening); err != nil {
		t.Fatal(err)
	}
	if err := apply(Origin{1, 2}, 1, mk("/a", 0)); !errors.Is(err, tiers.ErrSessionMoved) {
		t.Errorf("another incarnation: %v", err)
	}
	if err := apply(Origin{1, 2}, 2); !errors.Is(err, tiers.ErrSessionMoved) {
		t.Errorf("a txn without ops: %v", err)
	}
	if err := apply(Origin{1, 2}, 3, mk("/a", 0), opening); !errors.Is(err, tiers.ErrSessionMoved) {
		t.Errorf("before the session moves: %v", err)
	}
	if err := apply(Origin{1, 2}, 4, opening, mk("/a", tiers.Ephemeral)); err != nil {
		t.Errorf("after it moved: %v", err)
	}
	if s, _ := tr.Session(1); s.Host != (Origin{1, 2}) || s.Since != 2 {
		t.Errorf("%+v", s)
	}
}

func TestEachSession(t *testing.T) {
	d := drive(t)
	for id := range tiers.SessionID(10) {
		d.must(id+1, opening)
	}
	var ids []tiers.SessionID
	d.EachSession(func(s SessionInfo) bool { ids = append(ids, s.ID); return true })
	slices.Sort(ids)
	if !slices.Equal(ids, []tiers.SessionID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}) {
		t.Error(ids)
	}
	n := 0
	d.EachSession(func(SessionInfo) bool { n++; return n < 3 })
	if n != 3 {
		t.Errorf("asked for 3, got %d", n)
	}
}

// TestEndedSet: against a plain set, with what is taken at a moment staying as it was then.
func TestEndedSet(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	e, plain := newEndedSet(), map[tiers.SessionID]bool{}
	id := func() tiers.SessionID {
		id, ok := tiers.NewSessionID(1+rnd.Uint32N(3), rnd.Uint32N(40), rnd.Uint32N(200000))
		if !ok {
			t.Fatal("no id")
		}
		return id
	}
	for i := range 200_000 { // a crowd of one start, without a gap
		x, _ := tiers.NewSessionID(9, 1, uint32(i))
		e.add(x)
		plain[x] = true
	}
	for range 3000 {
		x := id()
		e.add(x)
		plain[x] = true
	}
	e.add(-1)
	plain[-1] = true
	then, size := e.now(), len(plain)
	for range 3000 {
		x := id()
		if !plain[x] {
			e.add(x)
			if then.has(x) {
				t.Fatalf("%v came into a set that was taken before", x)
			}
			e.remove(x)
		}
	}
	back, runs := newEndedSet(), 0
	then.runs(func(first, n uint64) bool { runs++; return back.addRun(first, n) })
	for x := range plain {
		if !e.has(x) || !back.has(x) {
			t.Fatalf("%v is lost", x)
		}
	}
	if n := back.ids.GetCardinality(); n != uint64(size) || runs > 3010 {
		t.Errorf("%d of %d ids, in %d runs", n, size, runs)
	}
	if back.addRun(5, 0) || back.addRun(5, maxRun+1) || back.addRun(1<<64-2, 3) {
		t.Error("took a run that is none")
	}
}
