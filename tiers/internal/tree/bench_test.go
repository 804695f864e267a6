package tree

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// benchTree has n znodes of 100 bytes below 100 parents.
func benchTree(b *testing.B, n int) (*driver, []string) {
	d := &driver{Tree: New()}
	paths := make([]string, n)
	do := func(op tiers.Op) {
		if _, err := d.do(0, op); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 100 {
		do(mk(fmt.Sprintf("/parent-%02d", i), 0))
	}
	for i := range paths {
		paths[i] = fmt.Sprintf("/parent-%02d/znode-%09d", i%100, i)
		do(tiers.Op{Kind: tiers.OpCreate, Path: paths[i], Data: make([]byte, 100), ACL: tiers.OpenACL})
	}
	return d, paths
}

const benchSize = 100_000

// scatter visits all indexes in an order that caches don't like.
func scatter(i int) int { return i * 7919 % benchSize }

func BenchmarkSetData(b *testing.B) {
	d, paths := benchTree(b, benchSize)
	data := make([]byte, 100)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, err := d.do(0, tiers.Op{Kind: tiers.OpSetData, Path: paths[scatter(i)], Data: data, Version: -1}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreate(b *testing.B) {
	d, _ := benchTree(b, 0)
	op := mk("/parent-00/n-", tiers.PersistentSequential)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := d.do(0, op); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	d, paths := benchTree(b, benchSize)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, err := d.Read(tiers.Query{Path: paths[scatter(i)], Want: tiers.WantData}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChildrenAfterCreate lists 100,000 children after each create: the worst that a lazily sorted list meets.
func BenchmarkChildrenAfterCreate(b *testing.B) {
	d, _ := benchTree(b, 0)
	op := mk("/parent-00/n-", tiers.PersistentSequential)
	for range 100_000 {
		if _, err := d.do(0, op); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for range b.N {
		_, _ = d.do(0, op)
		if v, err := d.Read(tiers.Query{Path: "/parent-00", Want: tiers.WantChildren}); err != nil || len(v.Children) < 100_000 {
			b.Fatal(len(v.Children), err)
		}
	}
}

// BenchmarkSnapshotUnderWrites tells how long a snapshot takes to begin, and the longest that a write takes meanwhile.
func BenchmarkSnapshotUnderWrites(b *testing.B) {
	d, paths := benchTree(b, benchSize)
	data := make([]byte, 100)
	var begin, worst time.Duration
	writes := 0
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		s, err := d.Snapshot()
		if err != nil {
			b.Fatal(err)
		}
		begin += time.Since(start)
		done := make(chan error)
		go func() {
			_, err := s.WriteTo(io.Discard)
			done <- err
		}()
		for walking := true; walking; writes++ {
			select {
			case err := <-done:
				if walking = false; err != nil {
					b.Fatal(err)
				}
			default:
				start := time.Now()
				_, _ = d.do(0, tiers.Op{Kind: tiers.OpSetData, Path: paths[scatter(writes)], Data: data, Version: -1})
				worst = max(worst, time.Since(start))
			}
		}
		s.Release()
	}
	b.ReportMetric(float64(begin.Nanoseconds())/float64(b.N), "ns/begin")
	b.ReportMetric(float64(worst.Microseconds()), "us/worst-write")
	b.ReportMetric(float64(writes)/b.Elapsed().Seconds(), "writes/s")
}

func BenchmarkEntry(b *testing.B) {
	e := &Entry{Batches: []Batch{{Origin: here, First: 1}}}
	for i := range 100 {
		op := tiers.Op{Kind: tiers.OpSetData, Path: fmt.Sprintf("/parent-00/znode-%09d", i), Data: make([]byte, 100), Version: -1}
		e.Batches[0].Txns = append(e.Batches[0].Txns, tiers.Txn{Session: 1 << 50, Ops: []tiers.Op{op}})
	}
	var buf []byte
	b.Run("encode100", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			buf = AppendEntry(buf[:0], e)
		}
	})
	b.Run("decode100", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if _, err := DecodeEntry(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRestore is most of what a restart costs.
func BenchmarkRestore(b *testing.B) {
	d, _ := benchTree(b, benchSize)
	s, err := d.Snapshot()
	if err != nil {
		b.Fatal(err)
	}
	defer s.Release()
	var raw bytes.Buffer
	if _, err := s.WriteTo(&raw); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(raw.Len()))
	b.ResetTimer()
	for range b.N {
		if err := New().Restore(bytes.NewReader(raw.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}
