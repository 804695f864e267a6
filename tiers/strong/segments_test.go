package strong

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
)

// logDir is a log on the real disk that is opened again and again.
type logDir struct {
	t    *testing.T
	dir  string
	meta *metadb.BoltMetaDB
	file *walFile
	log  raft.LogStore
}

func newLogDir(t *testing.T) *logDir {
	d := &logDir{t: t, dir: t.TempDir()}
	if err := d.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return d
}

func (d *logDir) open() (err error) {
	d.meta = new(metadb.BoltMetaDB)
	d.file = &walFile{dir: d.dir, meta: d.meta, log: hclog.NewNullLogger(), size: 64 << 10}
	d.log, err = d.file.reopen()
	return err
}

func (d *logDir) close() {
	d.t.Helper()
	if d.log != nil {
		if err := d.file.Close(); err != nil {
			d.t.Error(err)
		}
		d.log = nil
	}
	if err := d.meta.Close(); err != nil {
		d.t.Error(err)
	}
	d.meta = new(metadb.BoltMetaDB)
}

func (d *logDir) reopen() {
	d.t.Helper()
	d.close()
	if err := d.open(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *logDir) state() types.PersistentState {
	d.t.Helper()
	s, err := d.meta.Load(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// rewind closes the log with the metadata that it had.
func (d *logDir) rewind(to types.PersistentState) {
	d.t.Helper()
	if err := d.meta.CommitState(to); err != nil {
		d.t.Fatal(err)
	}
	d.close()
}

// data is what entry i holds.
func data(i uint64) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8), 0, 3}, 250) }

func (d *logDir) store(from, to uint64) error {
	for i := from; i <= to; i++ {
		if err := d.log.StoreLog(&raft.Log{Index: i, Term: 1, Data: data(i)}); err != nil {
			return err
		}
	}
	return nil
}

// holds checks that the log has exactly the entries 1 to last, and takes more.
func (d *logDir) holds(last uint64) {
	d.t.Helper()
	if got, err := d.log.LastIndex(); err != nil || got != last {
		d.t.Fatalf("the log ends at %d, %v; want %d", got, err, last)
	}
	for i := uint64(1); i <= last; i++ {
		var x raft.Log
		if err := d.log.GetLog(i, &x); err != nil || !bytes.Equal(x.Data, data(i)) {
			d.t.Fatalf("entry %d: %v, %d bytes", i, err, len(x.Data))
		}
	}
	if err := d.store(last+1, last+3); err != nil {
		d.t.Fatalf("an entry more: %v", err)
	}
	if err := d.log.DeleteRange(last+1, last+3); err != nil {
		d.t.Fatal(err)
	}
}

// tail is the last segment: its path, what it holds, and where its entries end.
func (d *logDir) tail() (path string, b []byte, end int) {
	d.t.Helper()
	names, err := filepath.Glob(filepath.Join(d.dir, "*.wal"))
	if err != nil || len(names) == 0 {
		d.t.Fatal("no segments", err)
	}
	path = names[len(names)-1]
	if b, err = os.ReadFile(path); err != nil {
		d.t.Fatal(err)
	}
	s, err := scanSegment(b)
	if err != nil || s.rest {
		d.t.Fatalf("%+v, %v", s, err)
	}
	return path, b, s.end
}

func TestUnfinishedLastWrite(t *testing.T) {
	d := newLogDir(t)
	if err := d.store(1, 9); err != nil {
		t.Fatal(err)
	}
	path, whole, before := d.tail()
	if err := d.store(10, 10); err != nil {
		t.Fatal(err)
	}
	_, full, end := d.tail()
	state := d.state()
	write := func(b []byte) {
		t.Helper()
		d.rewind(state)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.open(); err != nil {
			t.Fatal(err)
		}
	}
	for cut := before; cut < end; cut += 97 {
		torn := bytes.Clone(whole)
		copy(torn[before:], full[before:cut]) // the first bytes of the last write reached the disk
		write(torn)
		d.holds(9)

		write(full[:cut]) // and the file ends there
		d.holds(9)

		torn = bytes.Clone(full)
		clear(torn[cut : cut+1+(end-cut)/2]) // a part of them did not
		if bytes.Equal(torn, full) {
			continue
		}
		write(torn)
		d.holds(9)
		d.reopen()
	}
	write(full)
	d.holds(10)
}

func TestDamagedLogIsRefused(t *testing.T) {
	d := newLogDir(t)
	if err := d.store(1, 100); err != nil { // two segments and a bit
		t.Fatal(err)
	}
	d.close()
	names, err := filepath.Glob(filepath.Join(d.dir, "*.wal"))
	if err != nil || len(names) < 2 {
		t.Fatalf("%d segments, %v", len(names), err)
	}
	for _, path := range names {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := scanSegment(b)
		if err != nil {
			t.Fatal(err)
		}
		limit := s.end - 2*1100 // what comes before the last write of an open segment
		if s.index != 0 {
			limit = s.end
		}
		for at := 33; at < limit; at += 1009 {
			bad := bytes.Clone(b)
			bad[at] ^= 0x40
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			err := d.open()
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s with another byte at %d: %v; want ErrCorrupt", filepath.Base(path), at, err)
			}
			d.close()
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, bad) {
				t.Fatalf("the damaged segment was changed: %v", err)
			}
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.open(); err != nil {
		t.Fatal(err)
	}
	d.holds(100)
}

// A follower cuts off the end of its log when a leader has another one. raft-wal can't read what is left of the segment at the next start.
func TestLogWhoseEndWasCutOff(t *testing.T) {
	d := newLogDir(t)
	for round := range uint64(4) {
		begin := 1 + round*40
		if err := d.store(begin, begin+59); err != nil {
			t.Fatal(err)
		}
		if err := d.log.DeleteRange(begin+40, begin+59); err != nil {
			t.Fatal(err)
		}
		d.reopen()
		d.holds(begin + 39)
		d.reopen()
	}
}

// A crash, or a full disk, between the last write to a segment and the note that there is a next one.
func TestFullSegmentWithoutTheNext(t *testing.T) {
	d := newLogDir(t)
	before := d.state()
	var last uint64
	for len(d.state().Segments) == len(before.Segments) {
		last++
		if err := d.store(last, last); err != nil {
			t.Fatal(err)
		}
		// The next segment is made in the background; a write out of order is refused once that is done.
		if err := d.log.StoreLog(&raft.Log{Index: last + 2}); err == nil {
			t.Fatal("a gap was taken")
		}
	}
	next, _, _ := d.tail()
	_, _, _, last = d.tailOf(before)
	for _, file := range []bool{true, false} { // the file of the next segment is there, and isn't
		d.rewind(before)
		if !file {
			if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		if err := d.open(); err != nil {
			t.Fatal(err)
		}
		d.holds(last)
	}
	// The write that fills the segment is torn itself.
	d.rewind(before)
	path, b, end, _ := d.tailOf(before)
	for at := end - 8; at > end-600; at -= 64 {
		torn := bytes.Clone(b)
		clear(torn[at:end])
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.open(); err != nil {
			t.Fatal(err)
		}
		d.holds(last - 1)
		d.rewind(before)
	}
}

// tailOf is the last segment of a state.
func (d *logDir) tailOf(s types.PersistentState) (path string, b []byte, end int, last uint64) {
	d.t.Helper()
	info := s.Segments[len(s.Segments)-1]
	path = filepath.Join(d.dir, fmt.Sprintf("%020d-%016x.wal", info.BaseIndex, info.ID))
	b, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	scan, err := scanSegment(b)
	if err != nil || scan.index == 0 {
		d.t.Fatalf("%+v, %v", scan, err)
	}
	return path, b, scan.end, info.BaseIndex + scan.entries - 1
}

// FuzzScanSegment: whatever a segment holds, reading it ends, and it claims nothing beyond its end.
func FuzzScanSegment(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 100))
	f.Add(append(make([]byte, 32), 1, 0, 0, 0, 5, 0, 0, 0, 'h', 'e', 'l', 'l', 'o', 0, 0, 0, 3, 0, 0, 0, 1, 2, 3, 4))
	f.Add(append(make([]byte, 32), 2, 0, 0, 0, 255, 255, 255, 255, 3, 0, 0, 0, 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := scanSegment(b)
		if s.end > len(b) || s.entries > uint64(len(b)) || s.index > uint64(s.end) {
			t.Errorf("%+v of %d bytes, %v", s, len(b), err)
		}
	})
}
