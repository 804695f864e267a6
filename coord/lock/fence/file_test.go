package fence_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/strata-coord/strata/coord/lock/fence"
)

func open(t *testing.T, path string) *fence.File {
	t.Helper()
	f, err := fence.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFileSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "tokens")
	c := fence.NewChecker(open(t, path))
	var wg sync.WaitGroup
	for _, token := range []int64{4, 9, 2, 8} {
		wg.Go(func() { _ = c.Check(t.Context(), "db", token) }) // refused or not, by their order
	}
	wg.Wait()
	if err := c.Check(t.Context(), "other\nname", 1); err != nil {
		t.Error(err)
	}
	c = fence.NewChecker(open(t, path))
	wantStale(t, c.Check(t.Context(), "db", 8), 8, 9)
	if err := c.Check(t.Context(), "db", 9); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

func TestFileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f := open(t, filepath.Join(dir, "tokens"))
	c := fence.NewChecker(f)
	if err := c.Check(t.Context(), "db", 5); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := c.Check(t.Context(), "db", 6); err == nil {
		t.Error("a token that could not be kept has passed")
	}
	if err := c.Check(t.Context(), "db", 5); err != nil {
		t.Errorf("the token that was kept: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.Check(t.Context(), "db", 6); err != nil {
		t.Errorf("when it can be kept: %v", err)
	}
}

var badFiles = []string{
	"", "{}", `{"version":1}`, `{"version":2,"tokens":{}}`, `{"version":1,"tokens":{"db":0}}`, `{"version":1,"tokens":{"db":-5}}`,
	`{"version":1,"tokens":{"db":1.5}}`, `{"version":1,"tokens":{"db":5}`, `{"version":1,"tokens":{"db":5}} {}`, `{"version":1,"tokens":{},"more":1}`,
	strings.Repeat("\x00", 100),
}

func TestFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range badFiles {
		path := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if f, err := fence.OpenFile(path); err == nil {
			t.Errorf("%q was read as %v", bad, f)
		}
	}
	if _, err := fence.OpenFile(t.TempDir()); err == nil {
		t.Error("a folder was opened")
	}
}

// FuzzFile: whatever is read can be kept, and read again.
func FuzzFile(f *testing.F) {
	for _, bad := range badFiles {
		f.Add([]byte(bad))
	}
	f.Add([]byte(`{"version":1,"tokens":{"db":5,"x\ny":9223372036854775807}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		before, err := fence.OpenFile(path)
		if err != nil {
			return
		}
		if _, err := before.Raise(t.Context(), "fuzz", 1<<62); err != nil {
			t.Fatal(err)
		}
		after := open(t, path)
		for _, resource := range []string{"fuzz", "db"} {
			x, err1 := before.Raise(t.Context(), resource, 1)
			y, err2 := after.Raise(t.Context(), resource, 1)
			if x != y || err1 != nil || err2 != nil {
				t.Errorf("%s: %d, %v before and %d, %v after", resource, x, err1, y, err2)
			}
		}
	})
}
