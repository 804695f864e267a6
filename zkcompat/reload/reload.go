// Package reload keeps values that are made from files as new as the files are.
package reload

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// every is how long a look at the files counts.
const every = time.Second

// Value is made from files. Its methods may be called concurrently.
type Value[T any] struct {
	files []string
	load  func() (T, error)
	log   *slog.Logger

	mu sync.Mutex
	// All below is guarded by mu.
	value  T
	stamps []stamp   // of the files before the last attempt to load them
	looked time.Time // when the stamps were last compared
}

// stamp tells versions of a file apart without reading it. A file that replaces another one by a rename is another one.
type stamp struct {
	info os.FileInfo // nil: not there
}

func (s stamp) equal(o stamp) bool {
	if s.info == nil || o.info == nil {
		return s.info == o.info
	}
	return os.SameFile(s.info, o.info) && s.info.Size() == o.info.Size() && s.info.ModTime().Equal(o.info.ModTime())
}

// New makes the value for the first time. load reads all of the files, and nothing else decides what it returns.
func New[T any](files []string, load func() (T, error), log *slog.Logger) (*Value[T], error) {
	v := &Value[T]{files: files, load: load, log: log, looked: time.Now()}
	v.stamps = v.look()
	var err error
	v.value, err = load()
	return v, err
}

// Get returns the value. At most once a second it looks whether the files have changed; if they can't be loaded, it logs why and
// the old value stays until they change once more.
func (v *Value[T]) Get() T {
	v.mu.Lock()
	defer v.mu.Unlock()
	if time.Since(v.looked) < every {
		return v.value
	}
	v.looked = time.Now()
	if now := v.look(); !slices.EqualFunc(now, v.stamps, stamp.equal) {
		v.stamps = now
		if err := v.reload(); err != nil {
			v.log.Warn("changed files are not taken over, what they were before stays in use: mend them", "err", err)
		}
	}
	return v.value
}

// Reload loads the files now, changed or not. After an error the old value stays.
func (v *Value[T]) Reload() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.looked, v.stamps = time.Now(), v.look()
	return v.reload()
}

// reload replaces the value. Callers hold mu.
func (v *Value[T]) reload() error {
	value, err := v.load()
	if err != nil {
		return fmt.Errorf("load %q: %w", v.files, err)
	}
	v.value = value
	v.log.Info("changed files are taken over", "files", v.files)
	return nil
}

func (v *Value[T]) look() []stamp {
	stamps := make([]stamp, len(v.files))
	for i, f := range v.files {
		if info, err := os.Stat(f); err == nil { // load tells what is wrong with a file that can't be looked at
			stamps[i].info = info
		}
	}
	return stamps
}
