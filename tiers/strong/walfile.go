package strong

import (
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
)

const segmentSize = 16 << 20

// walFile is the log in a directory, which can be opened again in place: after a failed write raft-wal takes no other.
type walFile struct {
	dir  string
	meta *metadb.BoltMetaDB // stays open
	log  hclog.Logger
	size int // of a segment, bytes

	mu  sync.Mutex
	now *wal.WAL // guarded by mu
}

// reopen opens the log, and closes the one before.
func (w *walFile) reopen() (raft.LogStore, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.now; old != nil {
		// A write out of order is refused after a rotation of segments that is under way has ended: that one must not go on beside the new log.
		if last, err := old.LastIndex(); err == nil && last > 0 {
			_ = old.StoreLog(&raft.Log{Index: last + 2})
		}
	}
	if err := readySegments(w.dir, w.meta, w.log, w.now == nil); err != nil {
		return nil, err
	}
	next, err := wal.Open(w.dir, wal.WithLogger(w.log), wal.WithSegmentSize(w.size), wal.WithMetaStore(w.meta), wal.WithSegmentFiler(filer{segment.NewFiler(w.dir, fs.New())}))
	if err != nil {
		return nil, err
	}
	old := w.now
	w.now = next
	if old != nil {
		if err := old.Close(); err != nil {
			w.log.Warn("could not close the log that failed", "err", err)
		}
	}
	return next, nil
}

// Close closes the log that is open now.
func (w *walFile) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now.Close()
}
