package session_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

func TestAttachHere(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		m := c.members[0]
		l, first := m.open(10 * time.Second)

		bad := l
		bad.Password[3] ^= 1
		_, _, err := m.attach(bad)
		wantErr(t, err, tiers.ErrBadPassword)
		_, err = m.Attach(t.Context(), l.ID, nil, l.Timeout, nil)
		wantErr(t, err, tiers.ErrBadPassword)
		first.want(t, nil)

		again, second := m.mustAttach(l)
		first.want(t, tiers.ErrSessionMoved)
		m.Detach(l) // the first holder's: it does nothing
		_, third := m.mustAttach(l)
		second.want(t, tiers.ErrSessionMoved)
		_, err = m.Close(t.Context(), again).Wait(t.Context())
		wantErr(t, err, tiers.ErrSessionMoved)
		third.want(t, nil)
		if all, _ := m.Stats(); all != 1 {
			t.Errorf("%d sessions", all)
		}
	})
}

func TestDetachedSessionsWait(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		m := c.members[0]
		l, first := m.open(10 * time.Second)
		m.Detach(l)
		pass(9 * time.Second)
		_, second := m.mustAttach(l)
		first.want(t, nil)
		pass(9 * time.Second)
		second.want(t, nil)
		pass(2 * time.Second)
		second.want(t, tiers.ErrSessionExpired)
	})
}

func TestANewTimeoutIsTold(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		m := c.members[0]
		l, _ := m.open(10 * time.Second)
		m.mustCreate(l.ID, "/locks/1")
		m.mustCreate(l.ID, "/services/1")
		l.Timeout = 20 * time.Second
		m.mustAttach(l)
		if h, _ := c.hostOf(l.ID); h.timeout != 20*time.Second {
			t.Errorf("the replicated tree has a timeout of %v", h.timeout)
		}
		if got := m.eventual.sessions[l.ID]; got != 20*time.Second {
			t.Errorf("the eventual tree has a timeout of %v", got)
		}
	})
}

func TestALocalSessionIsHandedOver(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		a, b, d := c.members[0], c.members[1], c.members[2]
		l, first := a.open(10 * time.Second)
		a.mustCreate(l.ID, "/services/1")
		_, second := b.mustAttach(l)
		first.want(t, tiers.ErrSessionMoved)
		if !b.eventual.has(l.ID) {
			t.Error("its records were not taken over")
		}
		if len(b.strong.submitted()) != 0 {
			t.Error("it cost a write")
		}
		_, err := a.create(l.ID, "/services/2").Wait(t.Context())
		wantErr(t, err, tiers.ErrSessionMoved)
		_, err = a.Close(t.Context(), l).Wait(t.Context())
		wantErr(t, err, tiers.ErrSessionMoved)

		_, third := d.mustAttach(l)
		second.want(t, tiers.ErrSessionMoved)
		_, back := a.mustAttach(l)
		third.want(t, tiers.ErrSessionMoved)
		a.mustCreate(l.ID, "/services/3")
		back.want(t, nil)
	})
}

func TestALoggedSessionIsMovedByTheLog(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *cluster) {
		a, b := c.members[0], c.members[1]
		l, first := a.open(10 * time.Second)
		a.mustCreate(l.ID, "/locks/1")
		_, second := b.mustAttach(l)
		first.want(t, tiers.ErrSessionMoved)
		if h, _ := c.hostOf(l.ID); h.member != 2 {
			t.Errorf("hosted by member %d", h.member)
		}
		b.mustCreate(l.ID, "/locks/2")
		if got := b.strong.submitted(); !slices.Equal(got, []string{"openSession ", "create /locks/2"}) {
			t.Errorf("b submitted %q", got)
		}
		_, err := a.create(l.ID, "/locks/3").Wait(t.Context())
		wantErr(t, err, tiers.ErrSessionMoved)
		second.want(t, nil)
	})
}

// What the log does between the move to a member and that member's noticing is noticed.
func TestAMoveIsOvertaken(t *testing.T) {
	for name, want := range map[string]error{"by another move": tiers.ErrUnavailable, "by the end": tiers.ErrSessionExpired} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, func(t *testing.T, c *cluster) {
				a, b := c.members[0], c.members[1]
				l, _ := a.open(10 * time.Second)
				a.mustCreate(l.ID, "/locks/1")
				b.strong.afterOpen = func(id tiers.SessionID) {
					if want == tiers.ErrSessionExpired {
						c.expire(id)
						return
					}
					a.strong.Submit(t.Context(), tiers.Txn{Session: id, Ops: []tiers.Op{{Kind: tiers.OpOpenSession, Timeout: 10 * time.Second}}})
				}
				_, h, err := b.attach(l)
				wantErr(t, err, want)
				h.want(t, nil) // the error has told
				if all, _ := b.Stats(); all != 0 {
					t.Errorf("%d sessions at the member that lost it", all)
				}
			})
		})
	}
}

func TestALoggedSessionNeedsAMajority(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *cluster) {
		a, b := c.members[0], c.members[1]
		l, first := a.open(10 * time.Second)
		a.mustCreate(l.ID, "/locks/1")
		b.strong.setDown(tiers.ErrUnavailable)
		_, _, err := b.attach(l)
		wantErr(t, err, tiers.ErrUnavailable)
		first.want(t, nil)
		// Also when this copy of the tree lags, and it is the holder that knows.
		b.strong.mu.Lock()
		b.strong.apart = true
		b.strong.mu.Unlock()
		_, _, err = b.attach(l)
		wantErr(t, err, tiers.ErrUnavailable)
		first.want(t, nil)
	})
}

func TestALocalSessionMovesWithoutAMajority(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *cluster) {
		a, b := c.members[0], c.members[1]
		l, first := a.open(10 * time.Second)
		b.strong.setDown(tiers.ErrUnavailable)
		start := time.Now()
		b.mustAttach(l)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		first.want(t, tiers.ErrSessionMoved)
	})
}

func TestASessionThatIsBeingOpenedIsMovedByTheLog(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *cluster) {
		a, b := c.members[0], c.members[1]
		l, first := a.open(10 * time.Second)
		release := a.strong.hold()
		create := a.create(l.ID, "/locks/1")
		_, second := b.mustAttach(l)
		first.want(t, tiers.ErrSessionMoved)
		release() // the late opening takes it back; the client has to come again
		_, err := create.Wait(t.Context())
		if err != nil {
			t.Errorf("the create behind the opening: %v", err)
		}
		second.want(t, tiers.ErrSessionMoved)
		_, third := b.mustAttach(l)
		third.want(t, nil)
	})
}

func TestWhatTheLogHasEndedHasEnded(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *cluster) {
		a, b := c.members[0], c.members[1]
		l, _ := a.open(10 * time.Second)
		a.mustCreate(l.ID, "/locks/1")
		c.expire(l.ID)
		for _, m := range []*member{a, b} {
			_, _, err := m.attach(l)
			wantErr(t, err, tiers.ErrSessionExpired)
		}
	})
}

func TestWhatNobodyHostsHasEnded(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		a, b, d := c.members[0], c.members[1], c.members[2]
		l, _ := a.open(5 * time.Second)
		b.mustAttach(l)
		pass(7 * time.Second) // it has ended at b; a only knows that it went there
		for _, m := range c.members {
			_, _, err := m.attach(l)
			wantErr(t, err, tiers.ErrSessionExpired)
		}
		_ = d
	})
}

func TestTheHostIsGone(t *testing.T) {
	for name, x := range map[string]struct {
		away   time.Duration // how long the host has been dead at the attach
		unsure bool          // gossip does not know since when
		moved  bool          // the session had moved from its home, which is there, to the host
		want   error
	}{
		"just now":             {away: time.Second},
		"for nearly too long":  {away: 10 * time.Second},
		"for too long":         {away: 10*time.Second + time.Millisecond, want: tiers.ErrSessionExpired},
		"nobody knows when":    {away: time.Second, unsure: true, want: tiers.ErrSessionExpired},
		"moved there":          {away: 9 * time.Second, moved: true},
		"moved there, long":    {away: 11 * time.Second, moved: true, want: tiers.ErrSessionExpired},
		"moved there, unsure":  {away: time.Second, moved: true, unsure: true, want: tiers.ErrSessionExpired},
		"gone without goodbye": {away: 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 3, func(t *testing.T, c *cluster) {
				home, host, other := c.members[0], c.members[0], c.members[2]
				l, _ := home.open(10 * time.Second)
				if x.moved {
					host = c.members[1]
					host.mustAttach(l)
				}
				host.die()
				c.mu.Lock()
				c.unsure[host.name] = x.unsure
				c.mu.Unlock()
				pass(x.away)
				_, h, err := other.attach(l)
				if x.want != nil {
					wantErr(t, err, x.want)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if !other.eventual.has(l.ID) {
					t.Error("its records were not taken over")
				}
				other.mustCreate(l.ID, "/locks/1")
				h.want(t, nil)
			})
		})
	}
}

func TestTheHostIsGoneBeforeGossipNotices(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *cluster) {
		a, b := c.members[0], c.members[1]
		l, _ := a.open(10 * time.Second)
		a.stop() // its machine refuses connections
		b.mustAttach(l)
	})
}

func TestTheHostDoesNotAnswer(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *cluster) {
		a, b := c.members[0], c.members[1]
		l, first := a.open(10 * time.Second)
		c.net.Partition([]string{"10.0.0.1"}, []string{"10.0.0.2"})
		start := time.Now()
		_, _, err := b.attach(l)
		wantErr(t, err, tiers.ErrUnavailable)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		first.want(t, nil)
		c.net.Heal()
		pass(100 * time.Millisecond)
		synctest.Wait()
		// What was asked may have arrived after all. Either way the session is somewhere, and its client finds it.
		b.mustAttach(l)
	})
}

func TestAStoppingHostDoesNotSayThatItHasEnded(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *cluster) {
		a, b := c.members[0], c.members[1]
		l, _ := a.open(10 * time.Second)
		a.Manager.Stop() // its listener still answers
		_, _, err := b.attach(l)
		wantErr(t, err, tiers.ErrUnavailable)
	})
}

func TestRestartOfTheHost(t *testing.T) {
	for name, x := range map[string]struct {
		down time.Duration
		want error
	}{"short": {down: 3 * time.Second}, "long": {down: 12 * time.Second, want: tiers.ErrSessionExpired}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, func(t *testing.T, c *cluster) {
				a, b := c.members[0], c.members[1]
				here, _ := a.open(10 * time.Second)
				there, _ := a.open(10 * time.Second)
				logged, _ := a.open(10 * time.Second)
				a.mustCreate(logged.ID, "/locks/1")
				a.die()
				pass(x.down)
				a.start()
				a.mustAttach(logged) // whatever the time: the log has not ended it
				for m, l := range map[*member]tiers.Lease{a: here, b: there} {
					if _, _, err := m.attach(l); x.want != nil {
						wantErr(t, err, x.want)
					} else if err != nil {
						t.Errorf("at %s: %v", m.name, err)
					}
				}
				fresh, _ := a.open(10 * time.Second)
				if fresh.ID == here.ID || fresh.ID == there.ID || fresh.ID == logged.ID {
					t.Errorf("%v was given out twice", fresh.ID)
				}
			})
		})
	}
}

func TestForeignIDs(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *cluster) {
		a, b := c.members[0], c.members[1]
		// With the cluster's key anybody could write such a ticket; it proves nothing about a life.
		for _, parts := range [][3]uint32{{1, 1, 99}, {9, 1, 1}, {2, 7, 1}} {
			id, ok := tiers.NewSessionID(parts[0], parts[1], parts[2])
			if !ok {
				t.Fatal(parts)
			}
			_, _, err := a.attach(tiers.Lease{ID: id, Password: ticket(b, id), Timeout: 10 * time.Second})
			wantErr(t, err, tiers.ErrSessionExpired)
		}
	})
}

// ticket is the password of an id, made where nobody looks whether it was ever given out.
func ticket(m *member, id tiers.SessionID) [16]byte {
	return m.TicketForTest(id)
}

func TestTwoComeAtOnce(t *testing.T) {
	for _, logged := range []bool{false, true} {
		inBubbles := func(t *testing.T) {
			inBubble(t, 2, func(t *testing.T, c *cluster) {
				a, b := c.members[0], c.members[1]
				c.net.SetDelay(10*time.Millisecond, 20*time.Millisecond)
				l, first := a.open(10 * time.Second)
				if logged {
					a.mustCreate(l.ID, "/locks/1")
				}
				holders := make([]*holder, 3)
				var work sync.WaitGroup
				for i := range holders {
					work.Go(func() { _, holders[i] = b.mustAttach(l) })
				}
				work.Wait()
				first.want(t, tiers.ErrSessionMoved)
				attached := 0
				for _, h := range holders {
					if h.state(t) == nil {
						attached++
					}
				}
				if attached != 1 {
					t.Errorf("%d holders at once", attached)
				}
			})
		}
		if logged {
			t.Run("logged", inBubbles)
		} else {
			t.Run("local", inBubbles)
		}
	}
}

func TestAHandOverThatComesLateWaitsForItsClient(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *cluster) {
		a, b := c.members[0], c.members[1]
		c.net.SetDelay(400*time.Millisecond, 400*time.Millisecond)
		l, first := a.open(20 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
		defer cancel()
		_, err := b.Attach(ctx, l.ID, l.Password[:], l.Timeout, func(error) {})
		wantErr(t, err, tiers.ErrUnavailable)
		pass(2 * time.Second)
		first.want(t, tiers.ErrSessionMoved)
		c.net.SetDelay(0, 0)
		b.mustAttach(l)
	})
}

// A host that dies while it is being asked is asked again: then its machine says that it does not run.
func TestTheHostDiesWhileItIsAsked(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *cluster) {
		a, b := c.members[0], c.members[1]
		warm, _ := a.open(10 * time.Second)
		b.mustAttach(warm) // the members are connected
		l, _ := a.open(10 * time.Second)
		c.net.SetDelay(100*time.Millisecond, 100*time.Millisecond)
		attached := make(chan error, 1)
		go func() {
			_, _, err := b.attach(l)
			attached <- err
		}()
		pass(50 * time.Millisecond)
		a.stop()
		if err := <-attached; err != nil {
			t.Error(err)
		}
	})
}

// Who asks again because the answer was lost gets the session all the same; later, and from others, it is not to be had twice.
func TestAHandOverIsRepeated(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		a := c.members[0]
		l, _ := a.open(10 * time.Second)
		for _, x := range []struct {
			after time.Duration
			to    string
			held  bool
		}{{0, "B", true}, {time.Second, "B", true}, {0, "C", false}, {2 * time.Second, "B", false}} {
			pass(x.after)
			got, err := a.Give(l.ID, x.to)
			if err != nil || got.Held != x.held || x.held && got.Timeout != l.Timeout || !x.held && got.MovedTo != "B" {
				t.Errorf("%v later to %s: %+v, %v", x.after, x.to, got, err)
			}
		}
	})
}
