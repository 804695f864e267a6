package eventual

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

// store is a map as the tier guards it.
type store struct {
	mu sync.Mutex
	m  *crdt.Map
}

func (s *store) all() (rs []*crdt.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m.All(func(r *crdt.Record) bool { rs = append(rs, r); return true })
	return rs
}

func (s *store) put(j *journal, r *crdt.Record) {
	s.mu.Lock()
	s.m.Merge(r)
	j.append([]*crdt.Record{r})
	s.mu.Unlock()
	<-time.After(2 * flushEvery)
}

func record(path string, seq uint64) *crdt.Record {
	return &crdt.Record{Path: path, Clock: seq, Origin: crdt.Origin{Name: "m", Incarnation: 1}, Seq: seq, Data: []byte(path)}
}

// load reads a journal as the next start would.
func load(t *testing.T, dir string) *crdt.Map {
	t.Helper()
	m := crdt.New()
	j, err := openJournal(dir, m, testLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	return m
}

// What a failing disk did not take is on it when it works again.
func TestDiskFails(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := crdt.New()
		j, err := openJournal(dir, m, testLogger())
		if err != nil {
			t.Fatal(err)
		}
		s := &store{m: m}
		put := func(r *crdt.Record) { s.put(j, r) }
		var logged bytes.Buffer
		j.log = newLogger(&logged)
		j.start(s.all)
		put(record("/before", 1))
		synctest.Wait()
		j.file.Close()
		put(record("/lost", 2))
		put(record("/lost-too", 3))
		if n := bytes.Count(logged.Bytes(), []byte("not kept on disk")); n != 1 {
			t.Errorf("%d complaints: %s", n, &logged)
		}
		<-time.After(2 * retryDisk)
		put(record("/after", 4))
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
	})
	m := load(t, dir)
	for _, path := range []string{"/before", "/lost", "/lost-too", "/after"} {
		if r := m.Get(path); r == nil || string(r.Data) != path {
			t.Errorf("%s: %v", path, r)
		}
	}
}

// What is superseded does not stay in the file for ever.
func TestJournalIsRewritten(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := crdt.New()
		j, err := openJournal(dir, m, testLogger())
		if err != nil {
			t.Fatal(err)
		}
		s := &store{m: m}
		j.start(s.all)
		for i := range 40 {
			r := record("/a", uint64(i+1))
			r.Data = make([]byte, chunk)
			s.put(j, r)
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
	})
	info, err := os.Stat(filepath.Join(dir, journalFile))
	if err != nil || info.Size() > minRewrite+2*chunk {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	if r := load(t, dir).Get("/a"); r == nil || r.Seq != 40 {
		t.Errorf("%+v", r)
	}
}

// Wherever a file is cut off, all whole frames are kept; whatever byte before the last frame is damaged, it is noticed.
func TestTornOrCorrupt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, journalFile)
	var whole []byte
	var ends []int
	for i := range 3 {
		var err error
		if whole, err = appendFrame(whole, []*crdt.Record{record(fmt.Sprintf("/%d", i), uint64(i+1))}); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, len(whole))
	}
	write := func(b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for n := range len(whole) + 1 {
		write(whole[:n])
		want, _ := slices.BinarySearch(ends, n+1)
		if got := load(t, dir).Len(); got != want {
			t.Errorf("cut off at %d: %d records, want %d", n, got, want)
		}
	}
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 0x40
		write(b)
		err := Check(dir, testLogger())
		if last := at >= ends[1]; (err == nil) != last {
			t.Errorf("damaged at %d of %v: %v", at, ends, err)
		}
	}
}
