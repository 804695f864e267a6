package e2e

import (
	"syscall"
	"testing"
	"time"
)

func TestThreeMembersDoTheThreeJobs(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	t.Run("discovery", func(t *testing.T) { discovery(t, c...) })
	t.Run("configuration", func(t *testing.T) { configuration(t, c...) })
	t.Run("lock", func(t *testing.T) { contend(t, 6, 3, func() {}, c...) })
}

func TestLockGoesOnWhenTheLeaderIsKilled(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	leader := c.leader(t)
	contend(t, 9, 10, func() { leader.signal(t, syscall.SIGKILL) }, c...)
	c.without(leader).leader(t)
}

func TestAnElectionIsAPause(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	leader := c.leader(t)
	rest := c.without(leader)
	client := connect(t, 10*time.Second, rest[0])
	client.makePath(t, "/counter")
	_, stat, err := client.Get("/counter")
	if err != nil {
		t.Fatal(err)
	}
	leader.signal(t, syscall.SIGKILL)
	for range 20 {
		if stat, err = client.Set("/counter", nil, stat.Version); err != nil {
			t.Fatalf("a conditional write over an election: %v", err)
		}
	}
	if client.disconnects() != 0 || client.sessionsLost() != 0 {
		t.Errorf("the election cost %d connections and %d sessions", client.disconnects(), client.sessionsLost())
	}
	// The killed member comes back and catches up.
	leader.start(t)
	leader.waitReady(t)
	back := connect(t, 4*time.Second, leader)
	if _, got, err := back.Get("/counter"); err != nil || got.Version != stat.Version {
		t.Errorf("at the restarted member: %+v %v, want version %d", got, err, stat.Version)
	}
}

func TestMinorityKeepsReadingAndRegistering(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	client := connect(t, 20*time.Second, c[0])
	client.makePath(t, "/configs/features")
	client.makePath(t, "/services/api")
	until(t, "the members know the configuration", client.sees("/configs/features", true))
	c[1].signal(t, syscall.SIGKILL)
	c[2].signal(t, syscall.SIGKILL)
	if _, err := client.Create("/services/api/alone:1", nil, 1, everyone); err != nil {
		t.Errorf("a registration without a majority: %v", err)
	}
	if err := client.sees("/services/api/alone:1", true)(); err != nil {
		t.Error(err)
	}
	if err := client.sees("/configs/features", true)(); err != nil {
		t.Errorf("a readonly read without a majority: %v", err)
	}
	if _, err := client.Create("/locks", nil, 0, everyone); err == nil {
		t.Error("a strong write was acknowledged without a majority")
	}
	if client.disconnects() != 0 {
		t.Errorf("the loss of the majority cost %d connections", client.disconnects())
	}
}
