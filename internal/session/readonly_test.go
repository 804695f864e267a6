package session_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

func (s *strong) setReadOnly(on bool) {
	s.mu.Lock()
	s.readOnly, s.down = on, nil
	close(s.changed)
	s.changed = make(chan struct{})
	if on {
		s.down = tiers.ErrUnavailable
	}
	s.mu.Unlock()
}

func (s *strong) ReadOnlyChanged() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *strong) ReadOnly() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readOnly
}

// A session that is closed without a majority is over at once for its client, and in the tree when the majority is back.
func TestCloseInReadOnlyMode(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		m := c.members[0]
		l, _ := m.open(10 * time.Second)
		other, h := m.open(10 * time.Second)
		m.mustCreate(l.ID, "/locks/1")
		m.mustCreate(l.ID, "/services/1")
		m.mustCreate(other.ID, "/locks/2")
		m.strong.setReadOnly(true)
		before := time.Now()
		if _, err := m.Close(t.Context(), l).Wait(t.Context()); err != nil || time.Since(before) > 0 {
			t.Errorf("closed after %v: %v", time.Since(before), err)
		}
		if m.eventual.has(l.ID) {
			t.Error("its ephemerals live on where no majority is needed")
		}
		_, _, err := m.attach(l)
		wantErr(t, err, tiers.ErrSessionExpired)
		_, err = m.create(l.ID, "/services/2").Wait(t.Context())
		wantErr(t, err, tiers.ErrSessionExpired)
		pass(2 * tick)
		if _, live := c.hostOf(l.ID); !live || slices.Contains(m.strong.submitted(), "closeSession ") {
			t.Error("the tree was asked without a majority")
		}
		m.strong.setReadOnly(false)
		m.strong.setDown(tiers.ErrUnavailable) // gone again before anybody could be told
		pass(2 * tick)
		m.strong.setDown(nil)
		asked := len(m.strong.submitted())
		release := m.strong.hold()
		pass(4 * tick)
		if log := m.strong.submitted(); len(log) != asked+1 {
			t.Errorf("the tree is asked once, and waited for: %q", log[asked:])
		}
		release()
		if _, live := c.hostOf(l.ID); live {
			t.Error("it lives on in the tree with a majority")
		}
		if _, live := c.hostOf(other.ID); !live {
			t.Error("another session ended")
		}
		h.want(t, nil)
		if all, _ := m.Stats(); all != 1 {
			t.Errorf("%d sessions are kept", all)
		}
	})
}

// Without a majority a session of another member can't be moved by the log, and nobody waits for that.
func TestAttachInReadOnlyMode(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *cluster) {
		a, b := c.members[0], c.members[1]
		owner, _ := a.open(10 * time.Second)
		local, h := a.open(10 * time.Second)
		here, _ := b.open(10 * time.Second)
		a.mustCreate(owner.ID, "/locks/1")
		b.strong.setReadOnly(true)
		before := time.Now()
		_, _, err := b.attach(owner)
		wantErr(t, err, tiers.ErrUnavailable)
		if took := time.Since(before); took > 100*time.Millisecond {
			t.Errorf("refused after %v", took)
		}
		if got, _, err := b.attach(here); err != nil || got.ID != here.ID {
			t.Errorf("a session of this member: %+v, %v", got, err)
		}
		if got, _, err := b.attach(local); err != nil || got.ID != local.ID {
			t.Errorf("a session that the other member hands over: %+v, %v", got, err)
		}
		h.want(t, tiers.ErrSessionMoved)
		b.strong.setReadOnly(false)
		if got, _, err := b.attach(owner); err != nil || got.ID != owner.ID {
			t.Errorf("with a majority: %+v, %v", got, err)
		}
	})
}

// attachGuest attaches as a client does that is content with read-only mode.
func (m *member) attachGuest(l tiers.Lease) (tiers.Lease, *holder, error) {
	h := new(holder)
	again, err := m.AttachReadOnly(m.c.t.Context(), l.ID, l.Password[:], l.Timeout, h.cut)
	return again, h, err
}

// A client whose member is gone with the majority is taken in as it is, and its session is moved when the majority is back.
func TestGuests(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *cluster) {
		a, b := c.members[0], c.members[1]
		var leases []tiers.Lease
		for i := range 4 {
			l, _ := a.open(10 * time.Second)
			a.mustCreate(l.ID, "/locks/"+string(rune('0'+i)))
			leases = append(leases, l)
		}
		back, ended, closed, early := leases[0], leases[1], leases[2], leases[3]
		_, _, err := b.attachGuest(back)
		wantErr(t, err, tiers.ErrUnavailable) // there is a majority
		a.die()
		b.strong.setReadOnly(true)
		wrong := back
		wrong.Password[0]++
		_, _, err = b.attachGuest(wrong)
		wantErr(t, err, tiers.ErrBadPassword)
		local, _ := b.open(10 * time.Second)
		_, _, err = b.attachGuest(local)
		wantErr(t, err, tiers.ErrUnavailable)

		holders := make([]*holder, len(leases))
		for i, l := range leases {
			got, h, err := b.attachGuest(l)
			if err != nil || got.ID != l.ID || got.Password != l.Password || !b.eventual.has(l.ID) {
				t.Fatalf("session %d: %+v, %v", i, got, err)
			}
			leases[i], holders[i] = got, h
		}
		closed = leases[2]
		if _, err := b.Close(t.Context(), closed).Wait(t.Context()); err != nil {
			t.Error(err)
		}
		_, _, err = b.attachGuest(closed)
		wantErr(t, err, tiers.ErrSessionExpired)
		for range 3 {
			pass(8 * time.Second)
			for _, l := range []tiers.Lease{back, ended, early} {
				b.Touch(l.ID)
			}
		}
		b.mustCreate(back.ID, "/services/1")
		if h, _ := c.hostOf(back.ID); h.member != 1 {
			t.Errorf("hosted by %d in the tree, without a majority", h.member)
		}

		c.mu.Lock() // the majority has ended it, and nobody here has heard of that yet
		delete(c.live, ended.ID)
		c.ended[ended.ID] = true
		c.mu.Unlock()
		b.strong.setReadOnly(false)
		b.mustCreate(early.ID, "/locks/5") // ahead of anything that the table does by itself
		synctest.Wait()
		for _, l := range []tiers.Lease{back, early} {
			if h, _ := c.hostOf(l.ID); h.member != 2 {
				t.Errorf("hosted by %d in the tree, with a majority", h.member)
			}
		}
		pass(2 * tick)
		holders[0].want(t, nil)
		holders[1].want(t, tiers.ErrSessionExpired)
		holders[3].want(t, nil)
		if _, live := c.hostOf(closed.ID); live {
			t.Error("the closed one lives on in the tree")
		}
		b.mustCreate(back.ID, "/locks/6")
		if all, opened := b.Stats(); all != 2 || opened != 2 {
			t.Errorf("%d sessions are kept, %d of them opened", all, opened)
		}
	})
}
