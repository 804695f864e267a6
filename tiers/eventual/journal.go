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
	// A journal is rewritten when it is longer than minRewrite and than rewriteAt times its length after the last time.
	minRewrite = 16 << 20
	rewriteAt  = 4
	frameHead  = 12
	// retryDisk is how long after a failure the disk is tried again.
	retryDisk = time.Second
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// magic begins each frame: after damage, it tells whether whole frames follow.
var magic = []byte{0xe7, 'S', 'E', 1}

// journal keeps the records across restarts: ephemerals too, as their clients' sessions may outlive the member's stop. A frame is: magic, length and CRC-32C of what follows (4
// bytes each, big-endian), a message. Writes are flushed in the background: what a crash takes from the last moments comes back
// from the other members. Each frame is durable before the next is written, so only the last one can be torn. What is superseded
// goes at each start, and when it is most of the file.
type journal struct {
	path        string
	log         *slog.Logger
	incarnation uint64
	stop        chan struct{}
	done        chan struct{}
	all         func() []*crdt.Record // everything that is to be kept; set by start

	// The file is its opener's until start, then the goroutine's.
	file *os.File
	size int64 // of the whole frames
	base int64 // size after the last rewrite
	// failed is when a write failed; then what was queued is dropped, and all is rewritten after a while.
	failed time.Time

	mu    sync.Mutex
	queue []*crdt.Record // guarded by mu
}

// openJournal reads what is there; start has to follow, or close.
func openJournal(dir string, into *crdt.Map, log *slog.Logger) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("eventual: make directory %s: %w", dir, err)
	}
	j := &journal{path: filepath.Join(dir, journalFile), log: log, stop: make(chan struct{}), done: make(chan struct{})}
	if err := j.replay(into); err != nil {
		return nil, err
	}
	var err error
	if j.incarnation, err = nextIncarnation(filepath.Join(dir, incarnationFile)); err != nil {
		return nil, err
	}
	var rs []*crdt.Record
	into.All(func(r *crdt.Record) bool {
		rs = append(rs, r)
		return true
	})
	if err := j.rewrite(rs); err != nil {
		return nil, err
	}
	return j, nil
}

// start begins to write in the background; all is what a rewrite keeps.
func (j *journal) start(all func() []*crdt.Record) {
	if j != nil {
		j.all = all
		go j.run()
	}
}

// Check tells whether Open would find the files in dir whole. It changes nothing.
func Check(dir string, log *slog.Logger) error {
	if _, err := lastIncarnation(filepath.Join(dir, incarnationFile)); err != nil {
		return err
	}
	if _, err := readMembers(dir); err != nil {
		return err
	}
	if _, err := readSequences(filepath.Join(dir, sequencesFile)); err != nil {
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

// nextIncarnation counts this start, durably. It is not behind the clock, so that a directory that was put back from a backup does not
// repeat what the others have seen.
func nextIncarnation(path string) (uint64, error) {
	n, err := lastIncarnation(path)
	if err != nil {
		return 0, err
	}
	n = max(n+1, uint64(time.Now().UnixMilli()))
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
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("eventual: write %s: %w", path, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("eventual: write %s: %w", path, err)
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
		if err != nil {
			if wholeFrameAfter(b[at:]) {
				return fmt.Errorf("%w: %s at byte %d: %w: move the file away to start without it; the other members still have what it held", ErrCorrupt, j.path, at, err)
			}
			j.log.Warn("the last write before the member stopped is not whole; it is dropped", "file", j.path, "bytes", len(b)-at, "err", err)
			return nil
		}
		for _, r := range rs {
			into.Merge(r)
		}
		at += n
	}
	return nil
}

// wholeFrameAfter tells whether b, which does not begin with a whole frame, has one further on.
func wholeFrameAfter(b []byte) bool {
	for at := 1; at < len(b); at++ {
		i := bytes.Index(b[at:], magic)
		if i < 0 {
			return false
		}
		at += i
		if _, _, err := readFrame(b[at:]); err == nil {
			return true
		}
	}
	return false
}

// readFrame reads the first frame of b, n bytes.
func readFrame(b []byte) (rs []*crdt.Record, n int, err error) {
	if len(b) < frameHead {
		return nil, 0, errors.New("the frame is cut off")
	}
	size := binary.BigEndian.Uint32(b[4:])
	switch {
	case !bytes.HasPrefix(b, magic):
		return nil, 0, errors.New("there is no frame")
	case size > maxFrame:
		return nil, 0, fmt.Errorf("a frame of %d bytes", size)
	case len(b) < frameHead+int(size):
		return nil, 0, errors.New("the frame is cut off")
	}
	n = frameHead + int(size)
	body := b[frameHead:n]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[8:]) {
		return nil, 0, errors.New("checksum does not match")
	}
	p, err := decode(body)
	if err != nil {
		return nil, 0, err
	}
	return p.records, n, nil
}

func appendFrame(b []byte, rs []*crdt.Record) ([]byte, error) {
	body, err := encode(&parcel{records: rs})
	if err != nil {
		return b, err
	}
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(body, castagnoli))
	return append(b, body...), nil
}

// frames encodes records into frames about as long as a message may be.
func frames(rs []*crdt.Record) (fs [][]byte, err error) {
	for len(rs) > 0 {
		n, size := 0, 0
		for n < len(rs) && (n == 0 || size+rs[n].Size() <= chunk) {
			size += rs[n].Size()
			n++
		}
		f, err := appendFrame(nil, rs[:n])
		if err != nil {
			return nil, err
		}
		fs = append(fs, f)
		rs = rs[n:]
	}
	return fs, nil
}

// rewrite makes the file hold rs and nothing else.
func (j *journal) rewrite(rs []*crdt.Record) error {
	fs, err := frames(rs)
	if err != nil {
		return fmt.Errorf("eventual: write %s: %w", j.path, err)
	}
	b := bytes.Join(fs, nil)
	if err := replaceFile(j.path, b); err != nil {
		return err
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("eventual: open %s: %w", j.path, err)
	}
	if j.file != nil {
		err = j.file.Close()
	}
	j.file, j.size, j.base = f, int64(len(b)), int64(len(b))
	if err != nil {
		return fmt.Errorf("eventual: close %s: %w", j.path, err)
	}
	return nil
}

// append queues what is to be kept. It does no I/O.
func (j *journal) append(rs []*crdt.Record) {
	if j == nil {
		return
	}
	j.mu.Lock()
	j.queue = append(j.queue, rs...)
	j.mu.Unlock()
}

func (j *journal) run() {
	defer close(j.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for stopping := false; !stopping; {
		select {
		case <-tick.C:
		case <-j.stop:
			stopping = true
		}
		was := j.failed
		err := j.flush()
		if err != nil && was.IsZero() {
			j.log.Error("records of the eventual tier are not kept on disk, which is tried again; the other members still have them", "file", j.path, "err", err)
		}
	}
}

// flush writes what is queued. What was not written whole does not count: the next frame overwrites it.
func (j *journal) flush() (err error) {
	j.mu.Lock()
	rs := j.queue
	j.queue = nil
	j.mu.Unlock()
	// What was queued is in the map already, so a rewrite that begins now has it.
	if !j.failed.IsZero() {
		if time.Since(j.failed) < retryDisk {
			return nil
		}
		err = j.rewrite(j.all())
	} else if err = j.write(rs); err == nil && j.size > max(minRewrite, rewriteAt*j.base) {
		err = j.rewrite(j.all())
	}
	j.failed = time.Time{}
	if err != nil {
		j.failed = time.Now()
	}
	return err
}

func (j *journal) write(rs []*crdt.Record) error {
	fs, err := frames(rs)
	if err != nil {
		return err
	}
	for _, f := range fs {
		if _, err := j.file.WriteAt(f, j.size); err != nil {
			return errors.Join(err, j.file.Truncate(j.size))
		}
		if err := j.file.Sync(); err != nil {
			return err
		}
		j.size += int64(len(f))
	}
	return nil
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	close(j.stop)
	if j.all != nil {
		<-j.done
	}
	if err := j.file.Close(); err != nil {
		return fmt.Errorf("eventual: close %s: %w", j.path, err)
	}
	return nil
}
