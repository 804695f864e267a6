package coord

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/strata-coord/strata/tiers"
)

const (
	dirFormat  = 1
	strongDir  = "strong" // of the strong tier
	metaFile   = "strata.json"
	lockFile   = "strata.lock"
	aliveFile  = "alive"
	aliveEvery = time.Second
)

// What can be wrong with a data directory.
var (
	ErrForeignDir = errors.New("not a data directory of Strata")
	ErrCorruptDir = errors.New("data directory is corrupt")
	ErrDirInUse   = errors.New("data directory is in use by another process")
	ErrOtherName  = errors.New("data directory belongs to another member")
)

// dataDir is the member's place on disk, locked for this process.
type dataDir struct {
	path string
	lock *flock.Flock
	meta dirMeta
	new  bool // nothing has been written yet
	// lastAlive is when the previous start was last known to run; zero if unknown.
	lastAlive time.Time
	guests    []tiers.SessionID // that it kept for others then
	noted     []tiers.SessionID // what this start has noted of them
}

// dirMeta is strata.json.
type dirMeta struct {
	Format   int    `json:"format"`
	Name     string `json:"name"`
	Identity string `json:"identity"` // 16 bytes in hexadecimal: who this directory is, whatever its member's name
	// Promised is whom this member has promised to follow into a new cluster (see form).
	Promised string `json:"promised,omitempty"`
}

// openDir, with an empty name for anyone's, reads who the directory belongs to, and locks it. Nothing is changed in one that is refused, and nothing is made of one that is
// new: claim does that, when the member is sure to start.
func openDir(path, name string) (*dataDir, error) {
	d := &dataDir{path: path}
	if err := d.look(name); err != nil {
		return nil, err
	}
	if d.new {
		id := make([]byte, 16)
		rand.Read(id)
		d.meta = dirMeta{Format: dirFormat, Name: name, Identity: hex.EncodeToString(id)}
		return d, nil
	}
	if err := d.takeLock(); err != nil {
		return nil, err
	}
	// Now it can't change any more.
	if err := d.look(name); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// claim makes a new directory this member's, durably; another one is cleaned.
func (d *dataDir) claim() error {
	if !d.new {
		return d.dropSpools()
	}
	if err := d.reserve(); err != nil {
		return err
	}
	return d.save()
}

// reserve makes a new directory, and sees that nobody else does.
func (d *dataDir) reserve() error {
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return fmt.Errorf("coord: make data directory %s: %w", d.path, err)
	}
	if err := d.takeLock(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(d.path, metaFile)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("coord: %s: %w: another process has just begun to use it", d.path, ErrDirInUse)
	}
	return nil
}

func (d *dataDir) takeLock() error {
	lock := flock.New(filepath.Join(d.path, lockFile), flock.SetPermissions(0o600))
	switch locked, err := lock.TryLock(); {
	case err != nil:
		return fmt.Errorf("coord: lock data directory %s: %w", d.path, err)
	case !locked:
		return fmt.Errorf("coord: %s: %w: stop it, or give this member a directory of its own", d.path, ErrDirInUse)
	}
	d.lock = lock
	return nil
}

// look reads the directory, as far as there is one.
func (d *dataDir) look(name string) error {
	entries, err := os.ReadDir(d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.new = true
		return nil
	case err != nil:
		return fmt.Errorf("coord: look into data directory %s: %w", d.path, err)
	}
	return d.inspect(entries, name)
}

// inspect decides whether the directory is ours.
func (d *dataDir) inspect(entries []fs.DirEntry, name string) error {
	others := 0
	for _, e := range entries {
		if e.Name() != lockFile {
			others++
		}
	}
	if others == 0 {
		d.new = true
		return nil
	}
	path := filepath.Join(d.path, metaFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("coord: %s: %w: it holds other files and no %s; choose an empty directory", d.path, ErrForeignDir, metaFile)
	}
	if err != nil {
		return fmt.Errorf("coord: read %s: %w", path, err)
	}
	if err := json.Unmarshal(b, &d.meta); err != nil {
		return fmt.Errorf("coord: %s: %w: %w: put the file back from a backup, or start with an empty directory and let the cluster fill it", path, ErrCorruptDir, err)
	}
	identity, err := hex.DecodeString(d.meta.Identity)
	switch {
	case d.meta.Format != dirFormat:
		return fmt.Errorf("coord: %s: %w: format %d is not known to this version: was it written by a newer one?", path, ErrCorruptDir, d.meta.Format)
	case err != nil || len(identity) != 16 || d.meta.Name == "":
		return fmt.Errorf("coord: %s: %w: name or identity is missing: put the file back from a backup, or start with an empty directory and let the cluster fill it", path, ErrCorruptDir)
	case name != "" && d.meta.Name != name:
		return fmt.Errorf("coord: %s: %w: it was made by member %q, and this one is called %q: use that name, or another directory", d.path, ErrOtherName, d.meta.Name, name)
	}
	return d.readAlive()
}

func (d *dataDir) identity() (id [16]byte) {
	b, err := hex.DecodeString(d.meta.Identity)
	if err == nil {
		copy(id[:], b)
	}
	return id
}

// save makes strata.json durable, whole or not at all.
func (d *dataDir) save() error {
	b, err := json.MarshalIndent(&d.meta, "", "  ")
	if err != nil {
		return fmt.Errorf("coord: encode %s: %w", metaFile, err)
	}
	path := filepath.Join(d.path, metaFile)
	f, err := os.CreateTemp(d.path, metaFile+".*")
	if err != nil {
		return fmt.Errorf("coord: write %s: %w", path, err)
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("coord: write %s: %w", path, err), os.Remove(f.Name()))
	}
	d.new = false
	if dir, err := os.Open(d.path); err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
		if err != nil {
			return fmt.Errorf("coord: sync %s: %w", d.path, err)
		}
	}
	return nil
}

// alive notes that the member runs, and which sessions it keeps for others, for its next start.
func (d *dataDir) alive(guests []tiers.SessionID) error {
	path := filepath.Join(d.path, aliveFile)
	now := time.Now()
	err := fs.ErrNotExist
	if slices.Equal(guests, d.noted) {
		err = os.Chtimes(path, now, now)
	}
	if errors.Is(err, fs.ErrNotExist) {
		var b strings.Builder
		for _, id := range guests {
			fmt.Fprintln(&b, id)
		}
		next := path + ".next"
		if err = os.WriteFile(next, []byte(b.String()), 0o600); err == nil {
			err = os.Rename(next, path)
		}
		d.noted = guests
	}
	if err != nil {
		return fmt.Errorf("coord: note that the member runs: %w", err)
	}
	return nil
}

// readAlive reads what the previous start noted last.
func (d *dataDir) readAlive() error {
	path := filepath.Join(d.path, aliveFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return fmt.Errorf("coord: read %s: %w", path, err)
	}
	d.guests = nil
	for line := range strings.Lines(string(b)) {
		id, err := strconv.ParseInt(strings.TrimSuffix(line, "\n"), 0, 64)
		if err != nil {
			return fmt.Errorf("coord: %s: %w: %q is no session: it can be deleted, then clients that own nothing get new sessions", path, ErrCorruptDir, line)
		}
		d.guests = append(d.guests, tiers.SessionID(id))
	}
	d.lastAlive = info.ModTime()
	return nil
}

func (d *dataDir) close() error {
	if d.lock == nil {
		return nil
	}
	return d.lock.Unlock()
}
