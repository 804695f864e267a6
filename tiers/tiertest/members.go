package tiertest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// everywhere holds that every member comes to read data at path: at once where the contract promises it.
func (e *env) everywhere(path, data string) {
	e.Helper()
	for i := range e.Members {
		q := tiers.Query{Path: path, Want: tiers.WantData}
		switch {
		case e.contract.Linearizable:
			if v, err := e.readAt(i, q); err != nil || string(v.Data) != data {
				e.Errorf("member %d reads %q, %v after %q was acknowledged", i, v.Data, err, data)
			}
		case e.contract.ReplicatedZxids:
			q.Fresh = true
			if v, err := e.readAt(i, q); err != nil || string(v.Data) != data {
				e.Errorf("a fresh read at member %d: %q, %v after %q was acknowledged", i, v.Data, err, data)
			}
		}
		q.Fresh = false
		e.eventually(i, q, func(v tiers.View, err error) bool { return err == nil && string(v.Data) == data })
	}
}

var members = []test{
	{name: "WritesAreSeenEverywhere", members: 3, run: func(e *env) {
		for i := range e.Members {
			p := e.path(fmt.Sprint(i))
			e.doAt(i, 0, create(p, []byte("created"), tiers.Persistent))
			e.everywhere(p, "created")
			for j := range e.Members {
				data := fmt.Sprintf("%d by %d", i, j)
				e.doAt(j, 0, set(p, data, anyVersion))
				e.everywhere(p, data)
			}
		}
		for i := range e.Members {
			e.eventually(i, tiers.Query{Path: e.base, Want: tiers.WantChildren}, func(v tiers.View, err error) bool {
				return err == nil && slices.Equal(v.Children, []string{"0", "1", "2"})
			})
		}
		e.doAt(1, 0, remove(e.path("0"), anyVersion))
		for i := range e.Members {
			e.eventually(i, tiers.Query{Path: e.path("0")}, func(_ tiers.View, err error) bool { return errors.Is(err, tiers.ErrNoNode) })
		}
	}},
	{name: "SyncThenRead", members: 3, run: func(e *env) {
		if !e.contract.ReplicatedZxids {
			return
		}
		p := e.path("a")
		e.do(create(p, nil, tiers.Persistent))
		for i := range 20 {
			writer, reader := i%len(e.Members), (i+1)%len(e.Members)
			data := fmt.Sprint(i)
			z := e.doAt(writer, 0, set(p, data, anyVersion)).Zxid
			q := tiers.Query{Path: p, Want: tiers.WantData}
			if i%2 == 0 {
				if err := tiers.Sync(e.ctx, e.Members[reader].Tier, p); err != nil {
					e.Fatal(err)
				}
			} else {
				q.AtLeast = z
			}
			if v, err := e.readAt(reader, q); err != nil || string(v.Data) != data || v.Zxid < z {
				e.Fatalf("member %d reads %q of %v, %v after %q at %v", reader, v.Data, v.Zxid, err, data, z)
			}
		}
	}},
	{name: "WatchesHearOtherMembers", members: 3, run: func(e *env) {
		p := e.path("a")
		recorders := make([]*recorder, len(e.Members))
		for i, m := range e.Members {
			recorders[i] = newRecorder()
			if err := m.Tier.AddWatch(e.base, tiers.ScopeRecursive, recorders[i]); err != nil {
				e.Fatal(err)
			}
		}
		e.doAt(1, 0, create(p, nil, tiers.Persistent))
		e.everywhere(p, "")
		e.doAt(2, 0, set(p, "1", anyVersion))
		e.everywhere(p, "1")
		e.doAt(0, 0, remove(p, anyVersion))
		for i := range e.Members {
			e.eventually(i, tiers.Query{Path: p}, func(_ tiers.View, err error) bool { return errors.Is(err, tiers.ErrNoNode) })
			e.wants(recorders[i], fmt.Sprintf("a life as member %d saw it", i), "NodeCreated a", "NodeDataChanged a", "NodeDeleted a")
		}
	}},
	{name: "EphemeralsEndEverywhere", members: 3, run: func(e *env) {
		if !e.contract.Ephemeral {
			return
		}
		p := e.path("e")
		s := e.session(1)
		s.do(create(p, []byte("1"), tiers.Ephemeral))
		e.everywhere(p, "1")
		for i := range e.Members {
			e.eventually(i, tiers.Query{Path: p}, func(v tiers.View, err error) bool { return err == nil && v.Stat.EphemeralOwner == s.id })
		}
		s.close()
		for i := range e.Members {
			e.eventually(i, tiers.Query{Path: p}, func(_ tiers.View, err error) bool { return errors.Is(err, tiers.ErrNoNode) })
		}
	}},
	{name: "SessionsMove", members: 2, run: func(e *env) {
		if !e.contract.Ephemeral {
			return
		}
		p := e.path("e")
		s := e.session(0)
		s.do(create(p, []byte("1"), tiers.Ephemeral))
		e.everywhere(p, "1")

		moved := &session{e: e, member: 1, id: s.id, cut: make(chan error, 2)}
		if table := e.Members[1].Sessions; table != nil {
			var err error
			if moved.lease, err = table.Attach(e.ctx, s.id, s.lease.Password[:], time.Minute, func(err error) { moved.cut <- err }); err != nil {
				e.Fatal(err)
			}
			e.cutWith(s, tiers.ErrSessionMoved)
		} else {
			moved.open(time.Minute)
		}
		if e.contract.ReplicatedZxids {
			_, err := e.tryAt(0, tiers.Txn{Session: s.id, Ops: one(create(e.path("late"), nil, tiers.Persistent))})
			e.wantError("a txn where the session was", err, tiers.ErrSessionMoved)
		}
		if v, err := e.readAt(1, tiers.Query{Path: p}); err != nil || v.Stat.EphemeralOwner != s.id {
			e.Errorf("its ephemeral after the move: %+v, %v", v.Stat, err)
		}
		moved.do(create(e.path("f"), []byte("2"), tiers.Ephemeral))
		e.everywhere(e.path("f"), "2")
		moved.close()
		for i := range e.Members {
			for _, path := range []string{p, e.path("f")} {
				e.eventually(i, tiers.Query{Path: path}, func(_ tiers.View, err error) bool { return errors.Is(err, tiers.ErrNoNode) })
			}
		}
	}},
	{name: "AllWriteAtOnce", members: 3, run: func(e *env) {
		const each = 20
		e.together(len(e.Members), func(i int) error {
			for j := range each {
				if _, err := tiers.Do(e.ctx, e.Members[i].Tier, tiers.Txn{Ops: one(create(e.path(fmt.Sprintf("%d-%02d", i, j)), nil, tiers.Persistent))}); err != nil {
					return err
				}
			}
			return nil
		})
		for i := range e.Members {
			e.eventually(i, tiers.Query{Path: e.base, Want: tiers.WantChildren}, func(v tiers.View, err error) bool {
				return err == nil && len(v.Children) == each*len(e.Members)
			})
		}
	}},
	{name: "CutOff", members: 3, run: func(e *env) {
		if e.Partition == nil || e.Heal == nil {
			return
		}
		p, q := e.path("a"), e.path("b")
		e.do(create(p, []byte("before"), tiers.Persistent))
		e.everywhere(p, "before")
		e.Partition()
		if e.contract.MinorityWritable {
			e.doAt(0, 0, create(q, []byte("minority"), tiers.Persistent))
		} else {
			// The members find out at their own pace; nothing is acknowledged meanwhile.
			_, err := e.tryAt(0, tiers.Txn{Ops: one(set(p, "lost", anyVersion))})
			e.wantError("a write without a majority", err, tiers.ErrUnavailable, tiers.ErrUnknownOutcome)
		}
		e.doAt(1, 0, create(e.path("c"), []byte("majority"), tiers.Persistent))
		switch v, err := e.readAt(0, tiers.Query{Path: p, Want: tiers.WantData}); {
		case e.contract.Linearizable:
			e.wantError("a read without a majority", err, tiers.ErrUnavailable)
		case e.contract.ReplicatedZxids && err != nil:
			e.wantError("a local read without a majority", err, tiers.ErrStale)
		case err != nil || string(v.Data) != "before":
			e.Errorf("a local read without a majority: %q, %v", v.Data, err)
		}
		e.Heal()
		for i := range e.Members {
			e.eventually(i, tiers.Query{Path: e.path("c"), Want: tiers.WantData}, func(v tiers.View, err error) bool { return err == nil && string(v.Data) == "majority" })
			if e.contract.MinorityWritable {
				e.eventually(i, tiers.Query{Path: q, Want: tiers.WantData}, func(v tiers.View, err error) bool { return err == nil && string(v.Data) == "minority" })
			}
		}
	}},
	{name: "LocalReads", members: 3, run: func(e *env) {
		if e.Partition == nil || e.Heal == nil || e.contract.MinorityWritable || e.contract.MaxStaleness > 0 {
			return
		}
		p := e.path("a")
		q := tiers.Query{Path: p, Want: tiers.WantData, Local: true}
		e.do(create(p, []byte("before"), tiers.Persistent))
		e.everywhere(p, "before")
		if v := e.see(q); string(v.Data) != "before" || e.contract.Linearizable && v.Staleness != 0 {
			e.Errorf("a local read with a majority: %q, %v old", v.Data, v.Staleness)
		}
		e.Partition()
		e.doAt(1, 0, set(p, "after", anyVersion))
		// It waits at most until the member knows that it has no majority; from then on nothing waits.
		w := newRecorder()
		q.Watch = &tiers.WatchSpec{Watcher: w, Scope: tiers.ScopeData}
		v := e.see(q)
		if string(v.Data) != "before" || v.Staleness <= 0 || !v.Armed {
			e.Errorf("a local read without a majority: %q, %v old, armed: %v", v.Data, v.Staleness, v.Armed)
		}
		q.Watch = nil
		if again := e.see(q); again.Zxid < v.Zxid || string(again.Data) != "before" {
			e.Errorf("the next one: %q of %v after %v", again.Data, again.Zxid, v.Zxid)
		}
		ahead := q
		ahead.AtLeast = v.Zxid + 1
		for what, impossible := range map[string]tiers.Query{"a fresh read": {Path: p, Local: true, Fresh: true}, "a read of the future": ahead} {
			_, err := e.Members[0].Tier.Follow(e.ctx, impossible, nil).Wait(e.ctx)
			e.wantError(what+" without a majority", err, tiers.ErrUnavailable)
		}
		e.Heal()
		e.eventually(0, q, func(v tiers.View, err error) bool { return err == nil && string(v.Data) == "after" })
		e.wants(w, "the heal", "NodeDataChanged a")
		e.do(set(p, "again", anyVersion))
	}},
	{name: "AMemberDies", members: 3, run: func(e *env) {
		if e.Kill == nil || !e.contract.Ephemeral {
			return
		}
		p := e.path("e")
		e.do(create(e.path("a"), []byte("kept"), tiers.Persistent))
		e.everywhere(e.path("a"), "kept")
		s := e.sessionFor(2, e.h.SessionTimeout)
		s.do(create(p, []byte("1"), tiers.Ephemeral))
		e.everywhere(p, "1")
		e.Kill(2)
		for i := range e.Members[:2] {
			e.eventually(i, tiers.Query{Path: p}, func(_ tiers.View, err error) bool { return errors.Is(err, tiers.ErrNoNode) })
			e.eventually(i, tiers.Query{Path: e.path("a"), Want: tiers.WantData}, func(v tiers.View, err error) bool { return err == nil && string(v.Data) == "kept" })
		}
	}},
}
