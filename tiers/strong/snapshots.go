package strong

import (
	"github.com/hashicorp/raft"
)

// snapshotStore is raft's snapshot store, whose writes are watched.
type snapshotStore struct {
	raft.SnapshotStore
	disk *disk
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
	return watchedSink{sink, s.disk}, nil
}

// watchedSink is one snapshot under way.
type watchedSink struct {
	raft.SnapshotSink
	disk *disk
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

func (s watchedSink) Cancel() error {
	return s.disk.do(ofSnapshot, false, func(*flight) error { return s.SnapshotSink.Cancel() })
}
