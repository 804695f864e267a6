package strong

import (
	"bytes"
	"time"

	"github.com/hashicorp/raft"
)

var currentTermKey = []byte("CurrentTerm") // raft's

// stableStore is raft's stable store over one that may fail or hang.
type stableStore struct {
	raft.StableStore
	disk *disk
}

func (s stableStore) Set(key, value []byte) error {
	return s.disk.do(ofStable, false, func(*flight) error { return s.StableStore.Set(key, value) })
}

// SetUint64 sets a number. Raft panics when it can't set its term, so that is tried until it succeeds: a member that can't write takes part in
// no election. Once the member closes, it returns nothing instead: of a term that is not noted no vote is noted either, and a vote that isn't is not given.
func (s stableStore) SetUint64(key []byte, value uint64) error {
	for {
		err := s.disk.do(ofStable, false, func(*flight) error { return s.StableStore.SetUint64(key, value) })
		if err == nil || !bytes.Equal(key, currentTermKey) {
			return err
		}
		select {
		case <-s.disk.closing:
			return nil
		case <-time.After(s.disk.deadline / 4):
		}
	}
}
