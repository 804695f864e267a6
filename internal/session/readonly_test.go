package session_test

import (
	"slices"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

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
