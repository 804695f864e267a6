//go:build foreign

package compare

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// counter numbers the znodes of stories, so that both servers have the same.
var counter int

// stage plays s to both servers and compares.
func stage(s *Story) ([]Difference, error) {
	counter++
	root := fmt.Sprintf("/story%06d", counter)
	var theirs, own *Transcript
	failed := make(chan error, 1)
	go func() {
		var err error
		theirs, err = real.Play(s, root)
		failed <- err
	}()
	own, err := ours.Play(s, root)
	if other := <-failed; other != nil {
		return nil, fmt.Errorf("ZooKeeper: %w", other)
	}
	if err != nil {
		return nil, fmt.Errorf("Strata: %w", err)
	}
	return Compare(s, theirs, own), nil
}

// TestStories plays all stories.
func TestStories(t *testing.T) {
	ledger := Ledger{Expected: Expected}
	files, err := filepath.Glob("stories/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		stories, err := ParseStories(string(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			for i := range stories {
				t.Run(stories[i].Name, func(t *testing.T) {
					ds, err := stage(&stories[i])
					if err != nil {
						t.Fatal(err)
					}
					for _, d := range ledger.Unexpected(ds) {
						t.Error(d)
					}
				})
			}
		})
	}
	if only := flag.Lookup("test.run"); only.Value.String() == "" && !t.Failed() {
		for _, e := range ledger.Unmet() {
			t.Errorf("an expected difference does not occur any more, remove it: %+v", e)
		}
	}
}
