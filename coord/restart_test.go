package coord

import (
	"testing"

	"github.com/strata-coord/strata/tiers"
)

// Sessions outlive orderly and abrupt stops of the only member, with what they own in each tier, also those that own nothing.
func TestSessionsOutliveRestarts(t *testing.T) {
	dir := t.TempDir()
	paths := []string{"/strong", "/services/e", ""} // what each session owns
	var leases []tiers.Lease
	for start := range 4 {
		n := openNode(t, Config{Name: "one", Dir: dir, Bind: "127.0.0.1:0"})
		ready(t, n)
		for i, path := range paths {
			if start == 0 {
				l, err := n.Sessions().Open(t.Context(), n.cfg.MaxSessionTimeout, func(error) {})
				if err != nil {
					t.Fatal(err)
				}
				leases = append(leases, l)
				if path != "" {
					do(t, n.Tier(), l.ID, create(path, tiers.Ephemeral))
				}
				continue
			}
			l, err := n.Sessions().Attach(t.Context(), leases[i].ID, leases[i].Password[:], n.cfg.MaxSessionTimeout, func(error) {})
			if err != nil {
				t.Fatalf("start %d, the owner of %q: %v", start, path, err)
			}
			if path == "" {
				continue
			}
			v, err := n.Tier().Read(t.Context(), tiers.Query{Path: path})
			if err != nil || v.Stat.EphemeralOwner != l.ID {
				t.Errorf("start %d: %s: %+v, %v", start, path, v.Stat, err)
			}
		}
		until(t, "the guests are noted", func() bool { return start == 0 || len(n.sessions.Guests()) == 2 })
		end := n.Close
		if start == 2 {
			end = n.Abort
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
	}
}
