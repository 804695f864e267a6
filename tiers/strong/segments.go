package strong

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// raft-wal 0.4.0 checks, when it opens a log, only the last batch of entries, and can't go on after three things that can happen to it. So the
// segments are read first, and what is needed is done to them (readySegments). The format: a header of 32 bytes, then frames of 8 bytes and a
// payload padded to 8: entries, at the end of a full segment an index of their offsets, and after each batch a commit with the
// CRC-32C of everything since the one before.
const (
	segmentHeader = 32
	segmentMagic  = 0x58eb6b0d
	frameHeader   = 8

	frameEntry  = 1
	frameIndex  = 2
	frameCommit = 3
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segmentScan is what a segment holds.
type segmentScan struct {
	entries uint64 // committed
	end     int    // of the last commit
	index   uint64 // where the offsets begin, when the segment is full; 0: it is not
	rest    bool   // there is something behind end: a write that was not finished
}

// scanSegment reads a whole segment. Error: something does not match its checksum, and is followed by what does: that is no unfinished write.
func scanSegment(b []byte) (s segmentScan, err error) {
	for at := 0; ; at = s.end {
		entries, index, end := scanBatch(b, at)
		if end == 0 {
			break
		}
		s.entries, s.end, s.index = s.entries+entries, end, max(s.index, index)
	}
	for _, x := range b[s.end:] {
		if x != 0 {
			s.rest = true
			break
		}
	}
	if !s.rest {
		return s, nil
	}
	for at := s.end; at+frameHeader <= len(b); at += frameHeader {
		if b[at] != frameCommit || b[at+1] != 0 {
			continue
		}
		if _, _, end := scanBatch(b, at+frameHeader); end != 0 {
			return s, fmt.Errorf("%w: the bytes from %d on do not match their checksum, and those from %d to %d do", ErrCorrupt, s.end, at, end)
		}
	}
	return s, nil
}

// scanBatch reads the batch that begins at begin; at 0 the header belongs to it. end is 0 when there is none, or when it does not match its
// checksum. index is 0 if the batch has none.
func scanBatch(b []byte, begin int) (entries, index uint64, end int) {
	at := begin
	if begin == 0 {
		at = segmentHeader
	}
	for at+frameHeader <= len(b) {
		n := binary.LittleEndian.Uint32(b[at+4:])
		switch b[at] {
		case frameEntry:
			entries++
		case frameIndex:
			index = uint64(at + frameHeader)
		case frameCommit:
			if crc32.Checksum(b[begin:at], castagnoli) != n {
				return 0, 0, 0
			}
			return entries, index, at + frameHeader
		default:
			return 0, 0, 0
		}
		if n > segment.MaxEntrySize {
			return 0, 0, 0
		}
		at += frameHeader + int(n+7)&^7
	}
	return 0, 0, 0
}

// readySegments checks the segments of the log in dir, all or the last one, and makes them ready for raft-wal. Error: one is corrupt.
//
//   - A segment that is full, while the next one is not in the metadata yet: a crash just then, or a full disk, would leave a log that
//     takes no more entries. The next one is added.
//   - An unfinished write at the end is removed. If it was to fill the segment, the same would follow.
func readySegments(dir string, meta *metadb.BoltMetaDB, log hclog.Logger, all bool) error {
	state, err := meta.Load(dir)
	if err != nil {
		return err
	}
	for i, info := range state.Segments {
		if !all && i < len(state.Segments)-1 {
			continue
		}
		path := filepath.Join(dir, segment.FileName(info))
		b, err := os.ReadFile(path)
		tail := info.SealTime.IsZero()
		if errors.Is(err, fs.ErrNotExist) && tail {
			return nil // raft-wal makes it
		}
		if err != nil {
			return fmt.Errorf("%w: read a segment of the log: %w", ErrCorrupt, err)
		}
		s, err := scanSegment(b)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		last := info.BaseIndex + s.entries - 1
		if !tail {
			if last < info.MaxIndex {
				return fmt.Errorf("%w: %s ends at entry %d, not at %d", ErrCorrupt, path, last, info.MaxIndex)
			}
			continue
		}
		if s.rest && s.end == 0 && len(b) >= 4 {
			// No unfinished write leaves another beginning than zeros or the format's.
			if magic := binary.LittleEndian.Uint32(b); magic != 0 && magic != segmentMagic {
				return fmt.Errorf("%w: %s does not begin as a segment does", ErrCorrupt, path)
			}
		}
		if s.rest {
			log.Warn("removes an unfinished write from the end of the log", "segment", path, "after", s.end)
			if err := clearSegment(path, s.end, b); err != nil {
				return err
			}
		}
		if s.index == 0 {
			return nil
		}
		now := time.Now()
		full := &state.Segments[i]
		full.SealTime, full.MaxIndex, full.IndexStart = now, last, s.index
		state.Segments = append(state.Segments, types.SegmentInfo{
			ID: state.NextSegmentID, BaseIndex: last + 1, MinIndex: last + 1, Codec: info.Codec, CreateTime: now, SizeLimit: info.SizeLimit,
		})
		state.NextSegmentID++
		return meta.CommitState(state)
	}
	return nil
}

// clearSegment writes zeros over what the segment in path, which holds b, has behind end. It takes no room on the disk and frees none.
func clearSegment(path string, end int, b []byte) error {
	n := len(b)
	for n > end && b[n-1] == 0 {
		n--
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, n-end), int64(end))
	return errors.Join(err, f.Sync(), f.Close())
}

// filer is raft-wal's, which also reads segments without an index: those whose end was cut off before they were full.
type filer struct{ *segment.Filer }

func (f filer) Open(info types.SegmentInfo) (types.SegmentReader, error) {
	if info.IndexStart == 0 {
		return f.RecoverTail(info)
	}
	return f.Filer.Open(info)
}
