package strong

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// A backup is, without gaps:
//
//	magic (8 bytes, the last one the version of the format)
//	length of the header (4 bytes, big-endian) | the header, JSON
//	a snapshot of the tree (see its package)
//	SHA-256 of all before it (32 bytes)
const (
	backupMagic     = "stratab\x01"
	maxBackupHeader = 1 << 16
	// snapshotPatience is how often a backup looks whether raft's own snapshot has ended: there is one at a time.
	snapshotPatience = 50 * time.Millisecond
)

// ErrBackup: a file is not a whole backup that this version can read.
var ErrBackup = errors.New("not a whole backup of Strata")

// BackupInfo tells what is in a backup.
type BackupInfo struct {
	Cluster string     `json:"cluster"` // names the replicated cluster
	Member  string     `json:"member"`  // who wrote it
	Zxid    tiers.Zxid `json:"zxid"`    // of the last txn in it
	Time    time.Time  `json:"time"`    // when it was begun, by that member's clock

	Bytes int64      `json:"-"` // of the whole backup
	Tree  TreeStatus `json:"-"`
	// LastEntry is the leader's time of the last change in it; zero for none.
	LastEntry time.Time `json:"-"`
}

// Backup writes the replicated tree as it is at one moment, while the tree goes on. Cluster is told to who reads it; the rest of the info is
// made here. It waits while another snapshot of this member is being written. Errors: ctx's, w's.
func (t *Tier) Backup(ctx context.Context, w io.Writer, cluster string) (BackupInfo, error) {
	s, err := t.snapshotSoon(ctx)
	if err != nil {
		return BackupInfo{}, fmt.Errorf("strong: take a backup: %w", err)
	}
	defer s.Release()
	info := BackupInfo{Cluster: cluster, Member: t.cfg.Name, Zxid: s.Zxid(), Time: t.cfg.Clock().UTC()}
	header, err := json.Marshal(&info)
	if err != nil {
		return BackupInfo{}, fmt.Errorf("strong: encode a backup's header: %w", err)
	}
	out := &backupWriter{ctx, w, counted{sum: sha256.New()}}
	head := binary.BigEndian.AppendUint32([]byte(backupMagic), uint32(len(header)))
	if _, err = out.Write(append(head, header...)); err == nil {
		_, err = s.WriteTo(out)
	}
	if err == nil {
		_, err = out.Write(out.sum.Sum(nil))
	}
	if err != nil {
		return BackupInfo{}, fmt.Errorf("strong: write a backup: %w", err)
	}
	info.Bytes = out.n
	return info, nil
}

// snapshotSoon takes a snapshot of the tree as soon as there is no other.
func (t *Tier) snapshotSoon(ctx context.Context) (*tree.Snapshot, error) {
	for {
		s, err := t.tree.Snapshot()
		if !errors.Is(err, tree.ErrSnapshotting) {
			return s, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), err)
		case <-time.After(snapshotPatience):
		}
	}
}

// backupWriter writes until ctx ends, and sums up what it has written.
type backupWriter struct {
	ctx context.Context
	w   io.Writer
	counted
}

func (b *backupWriter) Write(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	n, err := b.w.Write(p)
	if _, sumErr := b.counted.Write(p[:n]); err == nil {
		err = sumErr
	}
	return n, err
}

// ReadBackup reads a whole backup and checks all of it. It takes as much memory as the tree in it. Errors: ErrBackup, r's.
func ReadBackup(r io.Reader) (BackupInfo, error) {
	info, _, err := readBackup(r)
	return info, err
}

// readBackup is ReadBackup that keeps the tree.
func readBackup(r io.Reader) (BackupInfo, *tree.Image, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	sum := &counted{sum: sha256.New()}
	summed := io.TeeReader(b, sum)
	info, err := readBackupHeader(summed)
	if err != nil {
		return BackupInfo{}, nil, err
	}
	im, err := tree.ReadImage(summed)
	if err != nil {
		return BackupInfo{}, nil, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	want := sum.sum.Sum(nil)
	got := make([]byte, sha256.Size)
	if _, err := io.ReadFull(b, got); err != nil {
		return BackupInfo{}, nil, fmt.Errorf("%w: it ends too early: %w", ErrBackup, err)
	}
	_, end := b.ReadByte()
	switch {
	case !bytes.Equal(got, want):
		return BackupInfo{}, nil, fmt.Errorf("%w: its checksum does not match: it was changed or damaged", ErrBackup)
	case end == nil:
		return BackupInfo{}, nil, fmt.Errorf("%w: something follows its end", ErrBackup)
	case !errors.Is(end, io.EOF):
		return BackupInfo{}, nil, fmt.Errorf("strong: read a backup: %w", end)
	case im.Zxid() != info.Zxid:
		return BackupInfo{}, nil, fmt.Errorf("%w: its header says zxid %v, its tree %v", ErrBackup, info.Zxid, im.Zxid())
	}
	info.Bytes = sum.n + sha256.Size
	s := im.Stats()
	info.Tree = TreeStatus{Znodes: s.Znodes, Ephemerals: s.Ephemerals, Sessions: s.Sessions, DataBytes: s.DataBytes}
	if at := im.At(); at != 0 {
		info.LastEntry = time.UnixMilli(at).UTC()
	}
	return info, im, nil
}

// readBackupHeader reads up to the tree.
func readBackupHeader(r io.Reader) (info BackupInfo, err error) {
	head := make([]byte, len(backupMagic)+4)
	if _, err := io.ReadFull(r, head); err != nil {
		return info, fmt.Errorf("%w: it ends too early: %w", ErrBackup, err)
	}
	version := len(backupMagic) - 1
	size := binary.BigEndian.Uint32(head[version+1:])
	switch {
	case string(head[:version]) != backupMagic[:version]:
		return info, fmt.Errorf("%w: it does not begin like one", ErrBackup)
	case head[version] != backupMagic[version]:
		return info, fmt.Errorf("%w: format %d is not known to this version: was it written by a newer one?", ErrBackup, head[version])
	case size > maxBackupHeader:
		return info, fmt.Errorf("%w: a header of %d bytes", ErrBackup, size)
	}
	header := make([]byte, size)
	if _, err := io.ReadFull(r, header); err != nil {
		return info, fmt.Errorf("%w: it ends too early: %w", ErrBackup, err)
	}
	if err := json.Unmarshal(header, &info); err != nil {
		return info, fmt.Errorf("%w: its header: %w", ErrBackup, err)
	}
	return info, nil
}

// counted sums up what goes by.
type counted struct {
	sum hash.Hash
	n   int64
}

func (c *counted) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return c.sum.Write(b)
}
