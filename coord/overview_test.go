package coord

import (
	"slices"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

type silent struct{}

func (*silent) Notify(tiers.Event) {}

func TestOverview(t *testing.T) {
	n := openNode(t, Config{Name: "one", Dir: t.TempDir(), Bind: "127.0.0.1:0"})
	ready(t, n)
	owner, err := n.Sessions().Open(t.Context(), 10*time.Second, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/owned", "/services/owned"} {
		do(t, n.Tier(), owner.ID, create(path, tiers.Ephemeral))
	}
	local, err := n.Sessions().Open(t.Context(), 10*time.Second, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	list := n.SessionList()
	if len(list) != 2 {
		t.Fatalf("%+v", list)
	}
	for _, x := range list {
		age := time.Since(x.Heard)
		if x.Timeout <= 0 || age < 0 || age > time.Minute {
			t.Errorf("%+v", x)
		}
		switch x.ID {
		case local.ID:
			if !x.Local || len(x.Ephemerals) != 0 || x.Timeout != local.Timeout {
				t.Errorf("the local session: %+v", x)
			}
		default:
			if x.Local || !slices.Equal(x.Ephemerals, []string{"/owned", "/services/owned"}) {
				t.Errorf("the session with ephemerals: %+v", x)
			}
		}
	}
	var got []string
	w := new(silent)
	for _, path := range []string{"/a", "/services/b", "/config/c"} {
		if err := n.Tier().AddWatch(path, tiers.ScopePersistent, w); err != nil {
			t.Fatal(err)
		}
	}
	n.EachDataWatch(func(x tiers.Watcher, path string) {
		if x == w {
			got = append(got, path)
		}
	})
	slices.Sort(got)
	if !slices.Equal(got, []string{"/a", "/config/c", "/services/b"}) {
		t.Errorf("watches %v", got)
	}
	if f := n.Figures(); f.Fsync.Count == 0 || f.Fsync.Min > f.Fsync.Max || f.Fsync.Sum < f.Fsync.Max || f.LastProposal <= 0 || f.MinProposal > f.MaxProposal {
		t.Errorf("%+v", f)
	}
}
