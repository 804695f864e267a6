package coord

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strata-coord/strata/coord/ensemble"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/strong"
)

const configNode = "/zookeeper/config"

// published is the configuration znode as a client reads it at n.
func published(t *testing.T, n *Node) tiers.View {
	t.Helper()
	v, err := n.Tier().Read(t.Context(), tiers.Query{Path: configNode, Want: tiers.WantData})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// configOf is what the configuration should say of voters and others, with the version of v.
func configOf(v tiers.View, ns ...*Node) string {
	var ss []ensemble.Server
	for _, n := range ns {
		number, _, _ := n.strong.Number()
		host, port, _ := strings.Cut(n.Addr().String(), ":")
		ss = append(ss, ensemble.Server{ID: int64(number), Peers: []ensemble.Peer{{Host: host, Quorum: port, Election: ensemble.ElectionPort(port)}}, Observer: n.cfg.Role == Replica, Client: n.cfg.ClientAddress})
	}
	return fmt.Sprintf("%s\nversion=%x", ensemble.Format(ss), int64(v.Stat.Mzxid))
}

type watched chan tiers.Event

func (w watched) Notify(e tiers.Event) { w <- e }

// nodesAt opens n voters of one cluster, each with an address for clients.
func nodesAt(t *testing.T, n int) (ns []*Node) {
	t.Helper()
	var join []string
	for i := range n {
		m := openNode(t, Config{
			Name: fmt.Sprintf("m%d", i), Dir: t.TempDir(), Bind: "127.0.0.1:0", Join: join, BootstrapExpect: n, Tick: 500 * time.Millisecond,
			ClientAddress: fmt.Sprintf("127.0.0.%d:2181", i+1),
		})
		join = append(join, m.Addr().String())
		ns = append(ns, m)
	}
	ready(t, ns...)
	return ns
}

func TestTheConfigurationIsPublished(t *testing.T) {
	ns := nodesAt(t, 3)
	var v tiers.View
	until(t, "all three are published", func() bool {
		v = published(t, ns[0])
		return strings.Count(string(v.Data), "server.") == 3
	})
	if got, want := string(v.Data), configOf(v, ns...); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if v.Stat.Version != -1 || v.Stat.Aversion != -1 || v.Stat.Mtime == 0 || v.Stat.Czxid != 0 {
		t.Errorf("%+v", v.Stat)
	}

	// A member without clients joins; who watches is told, at each member.
	w := make(watched, 10)
	for _, n := range ns {
		published(t, n) // so that it has what was published until now
		if err := n.Tier().AddWatch(configNode, tiers.ScopeData, w); err != nil {
			t.Fatal(err)
		}
	}
	more := openNode(t, Config{Name: "m3", Dir: t.TempDir(), Bind: "127.0.0.1:0", Join: []string{ns[0].Addr().String()}, Role: Replica, Tick: 500 * time.Millisecond})
	ready(t, more)
	for range ns {
		var e tiers.Event
		until(t, "each is told", func() bool {
			select {
			case e = <-w:
				return true
			default:
				return false
			}
		})
		if e.Type != tiers.NodeDataChanged || e.Path != configNode || e.Zxid <= v.Stat.Mzxid {
			t.Errorf("told %+v", e)
		}
	}
	until(t, "the replica is published", func() bool {
		v = published(t, more)
		return string(v.Data) == configOf(v, append(ns, more)...)
	})

	// What a member that is gone has announced is still said of it, by whoever leads.
	if err := ns[1].Close(); err != nil {
		t.Fatal(err)
	}
	until(t, "it is found to be gone", func() bool {
		for _, m := range ns[0].Status().Members {
			if m.Name == "m1" {
				return m.State != stateAlive
			}
		}
		return false
	})
	if again := published(t, ns[0]); string(again.Data) != string(v.Data) {
		t.Errorf("%q became %q", v.Data, again.Data)
	}
}

func TestAMemberThatIsAlonePublishesNothing(t *testing.T) {
	n := openNode(t, Config{Name: "one", Dir: t.TempDir(), Bind: "127.0.0.1:0", ClientAddress: "127.0.0.1:2181"})
	ready(t, n)
	n.publish(new(publisher))
	if v := published(t, n); len(v.Data) != 0 || v.Stat.Version != 0 || v.Stat.Mzxid != 0 {
		t.Errorf("%q, %+v", v.Data, v.Stat)
	}
	// Not any more.
	two := openNode(t, Config{Name: "two", Dir: t.TempDir(), Bind: "127.0.0.1:0", Join: []string{n.Addr().String()}})
	ready(t, two)
	until(t, "both are published", func() bool {
		v := published(t, n)
		return string(v.Data) == configOf(v, n, two)
	})
}

func TestNumberOf(t *testing.T) {
	a, b := [16]byte{1}, [16]byte{2}
	rs := []strong.Registered{
		{Number: 1, Name: "x", Identity: a}, {Number: 2, Name: "y", Identity: a, Rank: strong.RankRemoved},
		{Number: 3, Name: "x", Identity: b, Rank: strong.RankRemoved}, {Number: 4, Name: "y", Identity: b, Rank: strong.RankRemoved},
	}
	for _, c := range []struct {
		name     string
		identity [16]byte
		want     uint32
	}{{"x", a, 1}, {"x", b, 3}, {"x", [16]byte{}, 1}, {"y", [16]byte{}, 4}, {"x", [16]byte{9}, 0}, {"z", a, 0}} {
		if got := numberOf(rs, c.name, c.identity); got != c.want {
			t.Errorf("%s %x: %d, want %d", c.name, c.identity[:1], got, c.want)
		}
	}
}
