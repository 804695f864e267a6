package tiertest

import (
	"errors"
	"slices"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// session is one that may own ephemerals.
type session struct {
	e      *env
	member int
	id     tiers.SessionID
	lease  tiers.Lease
	cut    chan error // what its holder was told; capacity 2, as it may be told once
}

// session opens a session at a member: in its table if it has one, else by an op.
func (e *env) session(member int) *session { return e.sessionFor(member, time.Minute) }

func (e *env) sessionFor(member int, timeout time.Duration) *session {
	e.Helper()
	s := &session{e: e, member: member, cut: make(chan error, 2)}
	if table := e.Members[member].Sessions; table != nil {
		var err error
		if s.lease, err = table.Open(e.ctx, timeout, func(err error) { s.cut <- err }); err != nil {
			e.Fatal(err)
		}
		s.id = s.lease.ID
		return s
	}
	e.last++
	id, ok := tiers.NewSessionID(1<<14, 1, e.last)
	if !ok {
		e.Fatal("no more session ids")
	}
	s.id = id
	if e.contract.Ephemeral {
		s.open(timeout)
	}
	return s
}

func (s *session) op(kind tiers.OpKind, timeout time.Duration) tiers.Txn {
	return tiers.Txn{Session: s.id, Ops: one(tiers.Op{Kind: kind, Path: s.e.base, Timeout: timeout})}
}

func (s *session) open(timeout time.Duration) {
	s.e.Helper()
	if _, err := s.e.tryAt(s.member, s.op(tiers.OpOpenSession, timeout)); err != nil {
		s.e.Fatalf("open session %v at member %d: %v", s.id, s.member, err)
	}
}

// close ends the session where it is.
func (s *session) close() {
	s.e.Helper()
	var err error
	if table := s.e.Members[s.member].Sessions; table != nil {
		_, err = table.Close(s.e.ctx, s.lease).Wait(s.e.ctx)
	} else {
		_, err = s.e.tryAt(s.member, s.op(tiers.OpCloseSession, 0))
	}
	if err != nil {
		s.e.Fatalf("close session %v at member %d: %v", s.id, s.member, err)
	}
}

func (s *session) touch() {
	m := &s.e.Members[s.member]
	if m.Sessions != nil {
		m.Sessions.Touch(s.id)
	} else {
		m.Tier.Touch(s.id)
	}
}

// do submits ops of the session where it is.
func (s *session) do(ops ...tiers.Op) tiers.Receipt {
	s.e.Helper()
	return s.e.doAt(s.member, s.id, ops...)
}

var sessions = []test{
	{name: "EphemeralsEndWithTheirSession", run: func(e *env) {
		p := e.path("a")
		e.do(create(p, nil, tiers.Persistent))
		s, other := e.session(0), e.session(0)
		if !e.offered(e.contract.Ephemeral, tiers.Txn{Session: s.id, Ops: one(create(p+"/e", nil, tiers.Ephemeral))}) {
			return
		}
		r := s.do(create(p+"/e", []byte("1"), tiers.Ephemeral))
		s.do(create(p+"/f", nil, tiers.Ephemeral))
		s.do(create(p+"/persistent", nil, tiers.Persistent))
		other.do(create(p+"/g", nil, tiers.Ephemeral))
		if got := e.stat(p + "/e"); got.EphemeralOwner != s.id || got != r.Results[0].Stat {
			e.Errorf("the stat %+v, of create %+v", got, r.Results[0].Stat)
		}
		e.fails(one(create(p+"/e/child", nil, tiers.Persistent)), tiers.ErrEphemeral)
		e.failsFor(tiers.Txn{Session: s.id, Ops: one(create(p+"/e", nil, tiers.Ephemeral))}, tiers.ErrNodeExists)
		s.do(set(p+"/e", "2", anyVersion))
		if got := e.stat(p + "/e"); got.EphemeralOwner != s.id {
			e.Errorf("a change of data gives it away: %+v", got)
		}
		e.children(p, "e", "f", "g", "persistent")

		w := newRecorder()
		e.watch(p, tiers.ScopeRecursive, w)
		s.close()
		e.children(p, "g", "persistent")
		evs := w.take()
		names := e.names(evs)
		slices.Sort(names) // in any order
		if !slices.Equal(names, []string{"NodeDeleted a/e", "NodeDeleted a/f"}) {
			e.Errorf("events of the end of a session: %v", names)
		}
		if len(evs) == 2 && e.contract.ReplicatedZxids && evs[0].Zxid != evs[1].Zxid {
			e.Errorf("one session ends in two commits, %v and %v", evs[0].Zxid, evs[1].Zxid)
		}
		if n := e.stat(p).NumChildren; n != 2 {
			e.Errorf("%d children by stat", n)
		}
		e.failsFor(tiers.Txn{Session: s.id, Ops: one(create(p+"/h", nil, tiers.Ephemeral))}, tiers.ErrSessionExpired)
		e.failsFor(tiers.Txn{Session: s.id, Ops: one(create(p+"/h", nil, tiers.Persistent))}, tiers.ErrSessionExpired)
		other.do(create(p+"/e", nil, tiers.Ephemeral)) // the name is free again
		other.do(remove(p+"/e", anyVersion))
		other.close()
		e.children(p, "persistent")
	}},
	{name: "EphemeralsNeedASession", run: func(e *env) {
		if !e.contract.Ephemeral {
			return
		}
		e.fails(one(create(e.path("e"), nil, tiers.Ephemeral)), tiers.ErrSessionExpired, tiers.ErrBadArguments)
		if e.contract.Sequential {
			e.fails(one(create(e.path("e"), nil, tiers.EphemeralSequential)), tiers.ErrSessionExpired, tiers.ErrBadArguments)
			r := e.session(0).do(create(e.path("e-"), nil, tiers.EphemeralSequential))
			if r.Results[0].Path != e.path("e-0000000000") || r.Results[0].Stat.EphemeralOwner == 0 {
				e.Errorf("created %+v", r.Results[0])
			}
		}
	}},
	{name: "OthersMayDeleteEphemerals", run: func(e *env) {
		if !e.contract.Ephemeral {
			return
		}
		p := e.path("e")
		s := e.session(0)
		s.do(create(p, nil, tiers.Ephemeral))
		e.do(remove(p, anyVersion))
		e.do(create(p, nil, tiers.Persistent))
		s.close()
		if !e.exists(p) {
			e.Error("the end of a session takes what is no longer its own")
		}
	}},
	{name: "SessionsReopen", run: func(e *env) {
		if !e.contract.Ephemeral || e.Members[0].Sessions != nil {
			return
		}
		s := e.session(0)
		s.do(create(e.path("e"), nil, tiers.Ephemeral))
		s.open(2 * time.Minute)
		if got := e.stat(e.path("e")).EphemeralOwner; got != s.id {
			e.Errorf("after opening again it is of %v", got)
		}
		s.do(create(e.path("f"), nil, tiers.Ephemeral))
		s.close()
		e.children(e.base)
		e.failsFor(s.op(tiers.OpOpenSession, time.Minute), tiers.ErrSessionExpired)
		e.failsFor(tiers.Txn{Session: 0, Ops: one(tiers.Op{Kind: tiers.OpOpenSession, Path: e.base, Timeout: time.Minute})}, tiers.ErrBadArguments)
	}},
	{name: "SilentSessionsExpire", run: func(e *env) {
		if !e.contract.Ephemeral {
			return
		}
		timeout := e.h.SessionTimeout
		silent, touched := e.sessionFor(0, timeout), e.sessionFor(0, timeout)
		w := newRecorder()
		e.watch(e.base, tiers.ScopeRecursive, w)
		begin := time.Now()
		silent.do(create(e.path("silent"), nil, tiers.Ephemeral))
		touched.do(create(e.path("touched"), nil, tiers.Ephemeral))
		e.wants(w, "two creates", "NodeCreated silent", "NodeCreated touched")
		<-w.more // of the creates

		touch := time.NewTicker(timeout / 8)
		defer touch.Stop()
		var gone time.Duration
		for end := begin.Add(4 * timeout); time.Now().Before(end) || gone == 0; {
			select {
			case <-touch.C:
				touched.touch()
			case <-w.more:
				gone = time.Since(begin)
				e.wants(w, "silence", "NodeDeleted silent")
			case <-e.ctx.Done():
				e.Fatal("a silent session does not expire")
			}
		}
		if gone < timeout || gone > 2*timeout+2*time.Second {
			e.Errorf("expired after %v of %v", gone, timeout)
		}
		if !e.exists(e.path("touched")) {
			e.Error("a session that was touched has expired")
		}
		if e.Members[0].Sessions != nil {
			e.cutWith(silent, tiers.ErrSessionExpired)
			if len(touched.cut) != 0 {
				e.Errorf("the holder of a live session is cut: %v", <-touched.cut)
			}
		}
	}},
	{name: "LeasesAreAttached", run: func(e *env) {
		table := e.Members[0].Sessions
		if table == nil {
			return
		}
		s := e.session(0)
		if e.contract.Ephemeral {
			s.do(create(e.path("e"), nil, tiers.Ephemeral))
		}
		wrong := s.lease.Password
		wrong[0] ^= 1
		for _, pw := range [][]byte{wrong[:], nil, make([]byte, 16)} {
			_, err := table.Attach(e.ctx, s.id, pw, time.Minute, func(error) {})
			if !errors.Is(err, tiers.ErrBadPassword) {
				e.Errorf("a wrong password: %v", err)
			}
		}
		s.do(create(e.path("a"), nil, tiers.Persistent))

		again := &session{e: e, id: s.id, cut: make(chan error, 2)}
		var err error
		if again.lease, err = table.Attach(e.ctx, s.id, s.lease.Password[:], time.Minute, func(err error) { again.cut <- err }); err != nil {
			e.Fatal(err)
		}
		if again.lease.ID != s.id || again.lease.Password != s.lease.Password || again.lease.Grip == s.lease.Grip {
			e.Errorf("attached as %+v, before %+v", again.lease, s.lease)
		}
		e.cutWith(s, tiers.ErrSessionMoved)
		table.Detach(s.lease)
		if _, err := table.Close(e.ctx, s.lease).Wait(e.ctx); !errors.Is(err, tiers.ErrSessionMoved) {
			e.Errorf("a former holder closes the session: %v", err)
		}
		again.do(create(e.path("b"), nil, tiers.Persistent))
		again.close()
		e.children(e.base, "a", "b")
		_, err = table.Attach(e.ctx, s.id, s.lease.Password[:], time.Minute, func(error) {})
		if !errors.Is(err, tiers.ErrSessionExpired) {
			e.Errorf("a session that was closed: %v", err)
		}
		if len(s.cut)+len(again.cut) != 0 {
			e.Error("a holder is cut twice, or after its own Close")
		}
	}},
	{name: "DetachedSessionsWait", run: func(e *env) {
		table := e.Members[0].Sessions
		if table == nil || !e.contract.Ephemeral {
			return
		}
		s := e.sessionFor(0, e.h.SessionTimeout)
		s.do(create(e.path("e"), nil, tiers.Ephemeral))
		table.Detach(s.lease)
		lease, err := table.Attach(e.ctx, s.id, s.lease.Password[:], e.h.SessionTimeout, func(err error) { s.cut <- err })
		if err != nil {
			e.Fatal(err)
		}
		s.lease = lease
		if !e.exists(e.path("e")) {
			e.Error("a session does not outlive its connection")
		}
		w := newRecorder()
		e.watch(e.path("e"), tiers.ScopePersistent, w)
		table.Detach(lease)
		select {
		case <-w.more:
		case <-e.ctx.Done():
			e.Fatal("a detached session does not expire")
		}
		if e.exists(e.path("e")) || len(s.cut) != 0 {
			e.Error("a detached session ends quietly, with its ephemerals")
		}
		_, err = table.Attach(e.ctx, s.id, s.lease.Password[:], time.Minute, func(error) {})
		if !errors.Is(err, tiers.ErrSessionExpired) {
			e.Errorf("attached after its end: %v", err)
		}
	}},
}

// cutWith waits until the session's holder is told.
func (e *env) cutWith(s *session, want error) {
	e.Helper()
	select {
	case err := <-s.cut:
		if !errors.Is(err, want) {
			e.Errorf("the holder of %v is cut with %v, want %v", s.id, err, want)
		}
	case <-e.ctx.Done():
		e.Fatalf("the holder of %v is not cut", s.id)
	}
}
