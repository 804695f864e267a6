package eventual

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/strata-coord/strata/tiers/eventual/crdt"
)

// ErrCorrupt: a file of the eventual tier is not what was written.
var ErrCorrupt = errors.New("eventual: file is corrupt")

const (
	journalFile     = "records.journal"
	incarnationFile = "incarnation"
	flushEvery      = 50 * time.Millisecond
	maxFrame        = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// journal keeps the persistent records and the tombstones across restarts. A frame is: length and CRC-32C of what follows (4 bytes
// each, big-endian), a message. Writes are flushed in the background: what a crash takes from the last moments comes back
// from the other members. It is rewritten, without what is superseded, at each start.
type journal struct {
	path        string
	log         *slog.Logger
	incarnation uint64
	stop        chan struct{}
	done        chan struct{}

	mu    sync.Mutex
	file  *os.File
	queue []*crdt.Record // guarded by mu
}

func openJournal(dir string, into *crdt.Map, log *slog.Logger) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("eventual: make directory %s: %w", dir, err)
	}
	j := &journal{path: filepath.Join(dir, journalFile), log: log, stop: make(chan struct{}), done: make(chan struct{})}
	var err error
	if j.incarnation, err = nextIncarnation(filepath.Join(dir, incarnationFile)); err != nil {
		return nil, err
	}
	if err := j.replay(into); err != nil {
		return nil, err
	}
	if err := j.rewrite(into); err != nil {
		return nil, err
	}
	go j.run()
	return j, nil
}

// Check tells whether Open would find the files in dir whole. It changes nothing.
func Check(dir string, log *slog.Logger) error {
	if _, err := lastIncarnation(filepath.Join(dir, incarnationFile)); err != nil {
		return err
	}
	if _, err := readMembers(dir); err != nil {
		return err
	}
	j := &journal{path: filepath.Join(dir, journalFile), log: log}
	return j.replay(crdt.New())
}

// lastIncarnation is that of the start before; 0 if there was none.
func lastIncarnation(path string) (uint64, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("eventual: read %s: %w", path, err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %s: it is not a number: put the file back from a backup, or start with an empty directory and let the cluster fill it", ErrCorrupt, path)
	}
	return n, nil
}

// nextIncarnation counts this start, durably.
func nextIncarnation(path string) (uint64, error) {
	n, err := lastIncarnation(path)
	if err != nil {
		return 0, err
	}
	n++
	return n, replaceFile(path, []byte(strconv.FormatUint(n, 10)+"\n"))
}

// replaceFile makes b the content of path, durably, whole or not at all.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("eventual: write %s: %w", path, err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("eventual: write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

func (j *journal) replay(into *crdt.Map) error {
	b, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("eventual: read %s: %w", j.path, err)
	}
	for at := 0; at < len(b); {
		rs, n, err := readFrame(b[at:])
		switch {
		case errors.Is(err, errTorn):
			j.log.Warn("the last write before the member stopped is not whole; it is dropped", "file", j.path, "bytes", len(b)-at)
			return nil
		case err != nil:
			return fmt.Errorf("%w: %s at byte %d: %w: move the file away to start without it; the other members still have what it held", ErrCorrupt, j.path, at, err)
		}
		for _, r := range rs {
			into.Merge(r)
		}
		at += n
	}
	return nil
}

var errTorn = errors.New("torn")

// readFrame reads the first frame of b.
func readFrame(b []byte) (rs []*crdt.Record, n int, err error) {
	if len(b) < 8 {
		return nil, 0, errTorn
	}
	size := binary.BigEndian.Uint32(b)
	if size > maxFrame {
		return nil, 0, fmt.Errorf("a frame of %d bytes", size)
	}
	n = 8 + int(size)
	if n > len(b) {
		return nil, 0, errTorn
	}
	body := b[8:n]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		if n == len(b) {
			return nil, 0, errTorn
		}
		return nil, 0, errors.New("checksum does not match")
	}
	_, rs, _, _, err = decode(body)
	return rs, n, err
}

func appendFrame(b []byte, rs []*crdt.Record) ([]byte, error) {
	body, err := encode("", rs, nil, false)
	if err != nil {
		return b, err
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(body, castagnoli))
	return append(b, body...), nil
}

func durable(r *crdt.Record) bool { return r.Session == 0 }

func (j *journal) rewrite(from *crdt.Map) error {
	var buf bytes.Buffer
	var rs []*crdt.Record
	var failed error
	flush := func() {
		if len(rs) > 0 && failed == nil {
			var b []byte
			b, failed = appendFrame(nil, rs)
			buf.Write(b)
			rs = rs[:0]
		}
	}
	from.All(func(r *crdt.Record) bool {
		if durable(r) {
			if rs = append(rs, r); len(rs) == 1024 {
				flush()
			}
		}
		return failed == nil
	})
	flush()
	if failed != nil {
		return fmt.Errorf("eventual: encode records: %w", failed)
	}
	if err := replaceFile(j.path, buf.Bytes()); err != nil {
		return err
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("eventual: open %s: %w", j.path, err)
	}
	j.file = f
	return nil
}

// append queues what is to be kept. It does no I/O.
func (j *journal) append(rs []*crdt.Record) {
	if j == nil {
		return
	}
	j.mu.Lock()
	for _, r := range rs {
		if durable(r) {
			j.queue = append(j.queue, r)
		}
	}
	j.mu.Unlock()
}

func (j *journal) run() {
	defer close(j.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	failing := false
	for {
		stopping := false
		select {
		case <-tick.C:
		case <-j.stop:
			stopping = true
		}
		err := j.flush()
		if err != nil && !failing {
			j.log.Error("records of the eventual tier are not kept on disk; the other members still have them", "file", j.path, "err", err)
		}
		failing = err != nil
		if stopping {
			return
		}
	}
}

func (j *journal) flush() error {
	j.mu.Lock()
	rs := j.queue
	j.queue = nil
	j.mu.Unlock()
	if len(rs) == 0 {
		return nil
	}
	b, err := appendFrame(nil, rs)
	if err == nil {
		_, err = j.file.Write(b)
	}
	if err == nil {
		err = j.file.Sync()
	}
	return err
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	close(j.stop)
	<-j.done
	if err := j.file.Close(); err != nil {
		return fmt.Errorf("eventual: close %s: %w", j.path, err)
	}
	return nil
}
