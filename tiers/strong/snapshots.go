package strong

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// snapshotStore is raft's snapshot store, whose writes are watched.
type snapshotStore struct {
	raft.SnapshotStore
	disk *disk
	dir  string // empty: none
}

// unfinished is the end of the name of a directory with a snapshot that is not written to its end.
const unfinished = ".tmp"

// removeUnfinished removes what a crash left of snapshots.
func removeUnfinished(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*"+unfinished))
	for _, name := range names {
		err = errors.Join(err, os.RemoveAll(name))
	}
	return err
}

func (s snapshotStore) Create(v raft.SnapshotVersion, index, term uint64, c raft.Configuration, configIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	var sink raft.SnapshotSink
	err := s.disk.do(ofSnapshot, false, func(f *flight) error {
		made, err := s.SnapshotStore.Create(v, index, term, c, configIndex, trans)
		if err != nil {
			return err
		}
		if !s.disk.land(f) {
			return made.Cancel()
		}
		sink = made
		return nil
	})
	if err != nil {
		return nil, err
	}
	return watchedSink{sink, s.disk, s.dir}, nil
}

// Open reads a snapshot; indexOf tells of the reader up to which entry it goes.
func (s snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, r, err := s.SnapshotStore.Open(id)
	if err != nil {
		return nil, nil, err
	}
	return meta, indexedReader{r, meta.Index}, nil
}

// indexedReader is a snapshot that is read.
type indexedReader struct {
	io.ReadCloser
	index uint64
}

// indexOf is the last entry in the snapshot that raft gives to be restored; 0: not known.
func indexOf(r io.ReadCloser) uint64 {
	for {
		switch x := r.(type) {
		case indexedReader:
			return x.index
		case raft.ReadCloserWrapper:
			r = x.WrappedReadCloser()
		default:
			return 0
		}
	}
}

// watchedSink is one snapshot under way.
type watchedSink struct {
	raft.SnapshotSink
	disk *disk
	dir  string // of the store; empty: none
}

func (s watchedSink) Write(b []byte) (n int, err error) {
	wrote := 0
	err = s.disk.do(ofSnapshot, false, func(f *flight) error {
		k, err := s.SnapshotSink.Write(b)
		if s.disk.land(f) {
			wrote = k
		}
		return err
	})
	return wrote, err
}

func (s watchedSink) Close() error {
	return s.disk.do(ofSnapshot, false, func(*flight) error { return s.SnapshotSink.Close() })
}

// Cancel leaves nothing behind. Raft's own flushes first, and leaves the snapshot where it is if that fails: on a full disk, that is.
func (s watchedSink) Cancel() error {
	return s.disk.do(ofSnapshot, false, func(*flight) error {
		err := s.SnapshotSink.Cancel()
		if err != nil && s.dir != "" {
			err = os.RemoveAll(filepath.Join(s.dir, s.ID()+unfinished))
		}
		return err
	})
}
