package coord

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/strata-coord/strata/internal/simnet"
	"github.com/strata-coord/strata/tiers"
)

// awaitMode waits until ReadOnly is that.
func awaitMode(t *testing.T, n *Node, readOnly bool) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		changed := n.ReadOnlyChanged()
		if n.ReadOnly() == readOnly {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%s never gets to ReadOnly() = %v", n.Name(), readOnly)
		}
	}
}

// A member that is cut off shows all of its routes to who asks for that, writes those that need no majority, and goes on with its
// sessions when the majority is back.
func TestReadOnlyMember(t *testing.T) {
	t.Parallel()
	network := simnet.New(1)
	var ns []*Node
	var ips, join []string
	for i := range 3 {
		ip := fmt.Sprintf("10.0.0.%d", i+1)
		ips, join = append(ips, ip), append(join, ip+":7400")
		ns = append(ns, openNode(t, Config{
			Name: fmt.Sprintf("m%d", i), Dir: t.TempDir(), Bind: ip + ":7400", Join: join, BootstrapExpect: 3, Tick: 500 * time.Millisecond,
			Network: network.Host(ip),
		}))
	}
	ready(t, ns...)
	alone, other := ns[0], ns[1]
	leases := make([]tiers.Lease, 2)
	for i := range leases {
		var err error
		if leases[i], err = alone.Sessions().Open(t.Context(), 10*time.Second, func(why error) { t.Errorf("session %d was cut: %v", i, why) }); err != nil {
			t.Fatal(err)
		}
	}
	for _, parent := range []string{"/locks", "/config"} {
		do(t, alone.Tier(), 0, create(parent, tiers.Persistent))
		do(t, alone.Tier(), leases[0].ID, create(parent+"/kept", tiers.Ephemeral))
		do(t, alone.Tier(), leases[1].ID, create(parent+"/closed", tiers.Ephemeral))
	}
	network.Partition(ips[:1], ips[1:])
	awaitMode(t, alone, true)
	if other.ReadOnly() || !alone.Status().ReadOnly {
		t.Errorf("the majority: %v, the member alone: %v", other.ReadOnly(), alone.Status().ReadOnly)
	}
	for _, path := range []string{"/", "/locks", "/config", "/services"} {
		v, err := alone.Tier().Read(t.Context(), tiers.Query{Path: path, Want: tiers.WantChildren, Local: true})
		if err != nil || path == "/locks" && !slices.Equal(v.Children, []string{"closed", "kept"}) {
			t.Errorf("%s: %v, %v", path, v.Children, err)
		}
	}
	do(t, alone.Tier(), leases[0].ID, create("/services/kept", tiers.Ephemeral))
	if err := alone.ReadyErr(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	fresh, err := alone.Sessions().Open(t.Context(), 10*time.Second, func(why error) { t.Errorf("the new session was cut: %v", why) })
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := alone.Sessions().Close(t.Context(), leases[1]).Wait(t.Context()); err != nil || time.Since(begin) > time.Second {
		t.Errorf("closing a session: %v after %v", err, time.Since(begin))
	}

	network.Heal()
	awaitMode(t, alone, false)
	do(t, alone.Tier(), fresh.ID, create("/locks/new", tiers.Ephemeral))
	for _, n := range ns {
		until(t, "the closed session has ended", func() bool {
			_, err := n.Tier().Read(t.Context(), tiers.Query{Path: "/locks/closed"})
			return errors.Is(err, tiers.ErrNoNode)
		})
		for _, path := range []string{"/locks/kept", "/config/kept", "/services/kept", "/locks/new"} {
			until(t, path+" is there", func() bool {
				_, err := n.Tier().Read(t.Context(), tiers.Query{Path: path})
				return err == nil
			})
		}
	}
}
