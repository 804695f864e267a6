package memtier_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/tiertest/memtier"
)

func create(path string, mode tiers.CreateMode) tiers.Op {
	return tiers.Op{Kind: tiers.OpCreate, Path: path, Data: []byte(path), Mode: mode, ACL: tiers.OpenACL}
}

func exists(t *testing.T, tier tiers.Tier, path string) bool {
	t.Helper()
	_, err := tier.Read(t.Context(), tiers.Query{Path: path})
	if err != nil && !errors.Is(err, tiers.ErrNoNode) {
		t.Fatal(err)
	}
	return err == nil
}

// table is a session table over a tier of its own, with timeouts from one second to a minute.
func table(t *testing.T) (*memtier.Tier, *memtier.Sessions) {
	below := memtier.New(memtier.Options{})
	s := memtier.NewSessions(below, time.Second, time.Minute)
	t.Cleanup(func() {
		s.Stop()
		below.Close()
	})
	return below, s
}

func TestSessionIsLocalUntilItsFirstEphemeral(t *testing.T) {
	below, s := table(t)
	l, err := s.Open(t.Context(), time.Hour, func(error) { t.Error("cut") })
	if err != nil {
		t.Fatal(err)
	}
	if l.Timeout != time.Minute {
		t.Errorf("timeout %v", l.Timeout)
	}
	do := func(op tiers.Op) {
		t.Helper()
		if _, err := tiers.Do(t.Context(), s.Tier(), tiers.Txn{Session: l.ID, Ops: []tiers.Op{op}}); err != nil {
			t.Fatal(err)
		}
	}
	do(create("/a", tiers.Persistent))
	if n := below.Stats().Sessions; n != 0 {
		t.Errorf("the tree knows %d sessions", n)
	}
	do(create("/a/e", tiers.Ephemeral))
	do(create("/a/f", tiers.Ephemeral))
	if n := below.Stats().Sessions; n != 1 {
		t.Errorf("the tree knows %d sessions", n)
	}
	if _, err := s.Close(t.Context(), l).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if exists(t, below, "/a/e") || exists(t, below, "/a/f") || !exists(t, below, "/a") {
		t.Error("Close deletes what the session owned, and nothing else")
	}
	_, err = tiers.Do(t.Context(), s.Tier(), tiers.Txn{Session: l.ID, Ops: []tiers.Op{create("/b", tiers.Persistent)}})
	if !errors.Is(err, tiers.ErrSessionExpired) {
		t.Errorf("a txn after Close: %v", err)
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below, s := table(t)
		cut := make(chan error, 1)
		l, err := s.Open(t.Context(), 4*time.Second, func(err error) { cut <- err })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tiers.Do(t.Context(), s.Tier(), tiers.Txn{Session: l.ID, Ops: []tiers.Op{create("/e", tiers.Ephemeral)}}); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			<-time.After(3 * time.Second)
			s.Touch(l.ID)
		}
		last := time.Now()
		if err := <-cut; !errors.Is(err, tiers.ErrSessionExpired) {
			t.Errorf("cut with %v", err)
		}
		if d := time.Since(last); d != 4*time.Second {
			t.Errorf("expired %v after the last touch", d)
		}
		if exists(t, below, "/e") {
			t.Error("the ephemeral outlives its session")
		}
		if _, err := s.Attach(t.Context(), l.ID, l.Password[:], time.Second, func(error) {}); !errors.Is(err, tiers.ErrSessionExpired) {
			t.Errorf("attach after the end: %v", err)
		}
	})
}

func TestAttachCutsTheOldHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below, s := table(t)
		cut := make(chan error, 1)
		l, err := s.Open(t.Context(), 4*time.Second, func(err error) { cut <- err })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tiers.Do(t.Context(), s.Tier(), tiers.Txn{Session: l.ID, Ops: []tiers.Op{create("/e", tiers.Ephemeral)}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Attach(t.Context(), l.ID, make([]byte, 16), time.Second, func(error) {}); !errors.Is(err, tiers.ErrBadPassword) {
			t.Errorf("a wrong password: %v", err)
		}
		synctest.Wait()
		if len(cut) != 0 {
			t.Error("a wrong password cuts the holder")
		}
		again, err := s.Attach(t.Context(), l.ID, l.Password[:], 10*time.Second, func(error) { t.Error("the new holder is cut") })
		if err != nil {
			t.Fatal(err)
		}
		if err := <-cut; !errors.Is(err, tiers.ErrSessionMoved) {
			t.Errorf("the old holder is cut with %v", err)
		}
		s.Detach(l) // does nothing: another has attached
		if _, err := s.Close(t.Context(), l).Wait(t.Context()); !errors.Is(err, tiers.ErrSessionMoved) {
			t.Errorf("the old holder closes: %v", err)
		}
		<-time.After(9 * time.Second)
		if !exists(t, below, "/e") {
			t.Error("the new timeout does not count")
		}
		if _, err := s.Close(t.Context(), again).Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if exists(t, below, "/e") {
			t.Error("the ephemeral outlives its session")
		}
	})
}

func TestDetachedSessionLivesForItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below, s := table(t)
		l, err := s.Open(t.Context(), 4*time.Second, func(error) { t.Error("a holder that is gone is cut") })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tiers.Do(t.Context(), s.Tier(), tiers.Txn{Session: l.ID, Ops: []tiers.Op{create("/e", tiers.Ephemeral)}}); err != nil {
			t.Fatal(err)
		}
		s.Detach(l)
		<-time.After(3 * time.Second)
		if !exists(t, below, "/e") {
			t.Error("ended before its timeout")
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if exists(t, below, "/e") {
			t.Error("lives beyond its timeout")
		}
	})
}

// What the contract lacks is refused; what was mounted stays.
func TestSmallContract(t *testing.T) {
	tier := memtier.New(memtier.Options{Contract: tiers.Contract{Tier: "small", Ephemeral: true}, Mounts: []string{"/services"}})
	defer tier.Close()
	ok := create("/services/a", tiers.Persistent)
	closed := []tiers.ACL{{Perms: tiers.PermRead, Who: tiers.Identity{Scheme: "world", ID: "anyone"}}}
	for name, ops := range map[string][]tiers.Op{
		"several ops": {ok, create("/services/b", tiers.Persistent)},
		"sequential":  {create("/services/a", tiers.PersistentSequential)},
		"container":   {create("/services/a", tiers.Container)},
		"ACL":         {{Kind: tiers.OpCreate, Path: "/services/a", ACL: closed}},
		"setACL":      {{Kind: tiers.OpSetACL, Path: "/services", ACL: closed, Version: tiers.AnyVersion}},
		"conditional": {{Kind: tiers.OpSetData, Path: "/services", Version: 0}},
		"check":       {{Kind: tiers.OpCheck, Path: "/services", Version: tiers.AnyVersion}},
	} {
		r, err := tiers.Do(t.Context(), tier, tiers.Txn{Ops: ops})
		if ce := (*tiers.ContractError)(nil); !errors.As(err, &ce) || ce.Tier != "small" || len(r.Results) != len(ops) {
			t.Errorf("%s: %v, %d results", name, err, len(r.Results))
		}
	}
	_, err := tiers.Do(t.Context(), tier, tiers.Txn{Ops: []tiers.Op{{Kind: tiers.OpDelete, Path: "/services", Version: tiers.AnyVersion}}})
	if !errors.Is(err, tiers.ErrBadArguments) {
		t.Errorf("deleting the mount: %v", err)
	}
	if _, err := tiers.Do(t.Context(), tier, tiers.Txn{Ops: []tiers.Op{ok}}); err != nil {
		t.Error(err)
	}
}

func TestHoldKeepsTheOrder(t *testing.T) {
	tier := memtier.New(memtier.Options{})
	defer tier.Close()
	release := tier.Hold()
	w := tier.Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{create("/a", tiers.Persistent)}})
	r := tier.Follow(t.Context(), tiers.Query{Path: "/a", Want: tiers.WantData}, w)
	d := tier.Submit(t.Context(), tiers.Txn{Ops: []tiers.Op{{Kind: tiers.OpDelete, Path: "/a", Version: tiers.AnyVersion}}})
	for _, p := range []*tiers.Pending{w, r, d} {
		if _, _, done := p.Result(); done {
			t.Error("answered while held")
		}
	}
	release()
	for _, p := range []*tiers.Pending{w, r, d} {
		if _, err, done := p.Result(); !done || err != nil {
			t.Errorf("after the release: %v, %v", done, err)
		}
	}
	if rec, _, _ := r.Result(); string(rec.View.Data) != "/a" {
		t.Errorf("the read at its place: %q", rec.View.Data)
	}
}

func TestUnavailable(t *testing.T) {
	tier := memtier.New(memtier.Options{})
	tier.SetUnavailable(tiers.ErrUnavailable)
	if _, err := tiers.Do(t.Context(), tier, tiers.Txn{Ops: []tiers.Op{create("/a", tiers.Persistent)}}); !errors.Is(err, tiers.ErrUnavailable) {
		t.Error(err)
	}
	if _, err := tier.Read(t.Context(), tiers.Query{Path: "/"}); !errors.Is(err, tiers.ErrUnavailable) {
		t.Error(err)
	}
	tier.SetUnavailable(nil)
	if exists(t, tier, "/a") {
		t.Error("a refused txn was applied")
	}
	tier.Close()
	if _, err := tiers.Do(t.Context(), tier, tiers.Txn{}); !errors.Is(err, tiers.ErrClosed) {
		t.Error(err)
	}
}
