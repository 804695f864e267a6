package strong

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/internal/simdisk"
	"github.com/strata-coord/strata/tiers"
)

// A renewal that is promised counts, also when the leader has decided before it to expire the session and the entry is still on its way
// to a slow disk.
func TestNoRenewalBehindADecidedExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFaultCluster(t, 1, 3, nil)
		defer c.stop()
		if err := c.form(t.Context()); err != nil {
			t.Fatal(err)
		}
		leader := c.member(c.Leader())
		host := c.members[0]
		if host == leader {
			host = c.members[1]
		}
		const id, timeout = tiers.SessionID(5), 2 * time.Second
		tier := host.now()
		if _, err := tiers.Do(t.Context(), tier, tiers.Txn{Session: id, Ops: []tiers.Op{{Kind: tiers.OpOpenSession, Timeout: timeout}}}); err != nil {
			t.Fatal(err)
		}
		ended := make(chan time.Time, 1)
		tier.OnSessionEnd(func(tiers.SessionID) { ended <- time.Now() })
		<-time.After(timeout - 100*time.Millisecond)
		leader.disk.Set(simdisk.Faults{Stall: true})
		<-time.After(600 * time.Millisecond) // the leader decides, and can't write
		if leader.disk.Flying() == 0 {
			t.Error("the leader writes nothing: this shows nothing")
		}
		tier.Touch(id)
		<-time.After(300 * time.Millisecond)
		promised := tier.Renewed(id)
		leader.disk.Set(simdisk.Faults{})
		if at := <-ended; !promised.IsZero() && at.Before(promised.Add(timeout)) {
			t.Errorf("it ended %v before what was promised", promised.Add(timeout).Sub(at))
		}
	})
}

// Renewals go on under every leader, also after an expiry that was not committed.
func TestRenewalsAfterALostExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFaultCluster(t, 1, 3, nil)
		defer c.stop()
		if err := c.form(t.Context()); err != nil {
			t.Fatal(err)
		}
		old := c.member(c.Leader())
		host := c.members[0]
		if host == old {
			host = c.members[1]
		}
		const id, timeout = tiers.SessionID(5), 2 * time.Second
		tier := host.now()
		if _, err := tiers.Do(t.Context(), tier, tiers.Txn{Session: id, Ops: []tiers.Op{{Kind: tiers.OpOpenSession, Timeout: timeout}}}); err != nil {
			t.Fatal(err)
		}
		<-time.After(timeout - 100*time.Millisecond)
		old.disk.Set(simdisk.Faults{Stall: true})
		<-time.After(600 * time.Millisecond) // the leader decides, and can't write
		tier.Touch(id)
		c.Kill(old.name, simdisk.TailLost)
		begun := time.Now()
		for tier.Renewed(id).IsZero() && time.Since(begun) < timeout {
			tier.Touch(id)
			<-time.After(100 * time.Millisecond)
		}
		if _, state := tier.Lookup(id); state != SessionLive || tier.Renewed(id).IsZero() {
			t.Errorf("under the next leader the session is %v, renewed at %v", state, tier.Renewed(id))
		}
	})
}
