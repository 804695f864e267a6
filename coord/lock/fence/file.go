package fence

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
)

// File is a [Store] in one file, for one process at a time. A token that is larger than all before it costs a write of the whole file
// and two fsyncs; others cost nothing. The file is replaced as a whole: after a crash it has the state before or after.
type File struct {
	path string

	mu      sync.Mutex       // held while the file is written
	highest map[string]int64 // what the file has, and perhaps one more; guarded by mu
}

// contents is the file: JSON.
type contents struct {
	Version int              `json:"version"`
	Tokens  map[string]int64 `json:"tokens"`
}

const fileVersion = 1

// OpenFile reads the file at path, which may be missing. An unreadable one is an error: what it has forgotten could be a newer token.
func OpenFile(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &File{path: path, highest: make(map[string]int64)}, nil
	} else if err != nil {
		return nil, fmt.Errorf("fencing tokens: %w", err)
	}
	tokens, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("fencing tokens: %s: %w", path, err)
	}
	return &File{path: path, highest: tokens}, nil
}

func decode(data []byte) (map[string]int64, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var c contents
	if err := d.Decode(&c); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind the end")
	}
	if c.Version != fileVersion {
		return nil, fmt.Errorf("its version is %d, not %d", c.Version, fileVersion)
	}
	if c.Tokens == nil {
		return nil, errors.New("it has no tokens")
	}
	for resource, token := range c.Tokens {
		if token <= 0 {
			return nil, fmt.Errorf("the token of %q is %d", resource, token)
		}
	}
	return c.Tokens, nil
}

// Raise implements [Store].
func (f *File) Raise(_ context.Context, resource string, token int64) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if highest := f.highest[resource]; token <= highest {
		return highest, nil
	}
	// What can't be kept was not seen: nothing is done in its name.
	next := maps.Clone(f.highest)
	next[resource] = token
	if err := f.write(next); err != nil {
		return 0, fmt.Errorf("keep the fencing token: %w", err)
	}
	f.highest = next
	return token, nil
}

// write replaces the file.
func (f *File) write(tokens map[string]int64) (err error) {
	data, err := json.Marshal(contents{Version: fileVersion, Tokens: tokens})
	if err != nil {
		return err
	}
	dir := filepath.Dir(f.path)
	tmp, err := os.CreateTemp(dir, filepath.Base(f.path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name()) // it may be renamed already
		}
	}()
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if closing := tmp.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), f.path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the renaming durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
