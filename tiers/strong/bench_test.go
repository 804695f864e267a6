package strong

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/tiers"
)

// threeOnDisk is three members of one cluster in one process, on the system's loopback and disk.
func threeOnDisk(b *testing.B) []*Tier {
	ctx, cancel := context.WithTimeout(b.Context(), 30*time.Second)
	defer cancel()
	var ports []*peernet.Port
	var servers []Server
	for i := range 3 {
		port, err := peernet.Open(peernet.System(), "127.0.0.1:0", peernet.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { port.Close() })
		ports = append(ports, port)
		servers = append(servers, Server{Name: fmt.Sprintf("m%d", i), Address: port.Addr().String(), Voter: true})
	}
	var ts []*Tier
	for i, port := range ports {
		t, err := Open(Config{Name: servers[i].Name, Identity: [16]byte{byte(i)}, Dir: b.TempDir(), Port: port, Logger: testLogger()})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { t.Close() })
		ts = append(ts, t)
	}
	if err := ts[0].Bootstrap(servers); err != nil {
		b.Fatal(err)
	}
	for _, t := range ts {
		if err := t.Wait(ctx); err != nil {
			b.Fatal(err)
		}
	}
	return ts
}

// atEach runs do at the leader and at a follower, one call at a time and many at once.
func atEach(b *testing.B, ts []*Tier, do func(*Tier) error) {
	for _, leads := range []bool{true, false} {
		var at *Tier
		for _, t := range ts {
			if t.Leads() == leads {
				at = t
			}
		}
		b.Run(fmt.Sprintf("leader=%v/callers=1", leads), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := do(at); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("leader=%v/callers=512", leads), func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(256)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := do(at); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkSetData is durable writes of 100 bytes.
func BenchmarkSetData(b *testing.B) {
	ts := threeOnDisk(b)
	if _, err := tiers.Do(b.Context(), ts[0], tiers.Txn{Ops: []tiers.Op{create("/x", "", tiers.Persistent)}}); err != nil {
		b.Fatal(err)
	}
	data := string(make([]byte, 100))
	atEach(b, ts, func(t *Tier) error {
		_, err := tiers.Do(b.Context(), t, tiers.Txn{Ops: []tiers.Op{set("/x", data)}})
		return err
	})
}

// BenchmarkRead is linearizable reads.
func BenchmarkRead(b *testing.B) {
	atEach(b, threeOnDisk(b), func(t *Tier) error {
		_, err := t.Read(b.Context(), tiers.Query{Path: "/"})
		return err
	})
}
