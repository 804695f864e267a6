package coord

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// All members come back under other addresses, as containers do: they find each other by their names.
func TestAllAddressesChange(t *testing.T) {
	var ns []*Node
	var dirs, join []string
	for i := range 3 {
		dirs = append(dirs, t.TempDir())
		ns = append(ns, openNode(t, Config{Name: fmt.Sprintf("m%d", i), Dir: dirs[i], Bind: "127.0.0.1:0", Join: join, BootstrapExpect: 3, Tick: 500 * time.Millisecond}))
		join = append(join, ns[i].Addr().String())
	}
	ready(t, ns...)
	do(t, ns[0].Tier(), 0, create("/kept", tiers.Persistent))
	for _, n := range ns {
		old := n.Addr().String()
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		taken, err := net.Listen("tcp", old) // a stranger has it now
		if err != nil {
			t.Fatal(err)
		}
		var strangers sync.WaitGroup
		strangers.Go(func() {
			for {
				c, err := taken.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		})
		t.Cleanup(func() { taken.Close(); strangers.Wait() })
	}
	ns, join = nil, nil
	for i := range 3 {
		n := openNode(t, Config{Name: fmt.Sprintf("m%d", i), Dir: dirs[i], Bind: "127.0.0.1:0", Join: join, BootstrapExpect: 3, Tick: 500 * time.Millisecond})
		ns, join = append(ns, n), append(join, n.Addr().String())
	}
	ready(t, ns...)
	for i, n := range ns {
		if _, err := n.Tier().Read(t.Context(), tiers.Query{Path: "/kept"}); err != nil {
			t.Errorf("m%d: %v", i, err)
		}
		do(t, n.Tier(), 0, create(fmt.Sprintf("/new%d", i), tiers.Persistent))
	}
}
