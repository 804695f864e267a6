//go:build foreign

package compare

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// counter numbers the znodes of stories, so that both servers have the same.
var counter int

// heard counts what ZooKeeper has said: replies by their code, and other frames.
var heard = map[string]int{}

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
	for _, h := range theirs.Heard {
		for _, f := range h.Frames {
			if f.Kind == "reply" {
				heard["err "+f.Fields[1].Text]++
			} else {
				heard[f.Kind]++
			}
		}
	}
	return Compare(s, theirs, own), nil
}

var (
	firstSeed = flag.Uint64("compare.seed", 1, "first seed of TestRandom")
	howMany   = flag.Int("compare.stories", 60, "stories of TestRandom")
	howLong   = flag.Int("compare.lines", 50, "lines of each of them")
)

// TestRandom plays random stories, and shortens those in which the servers differ.
func TestRandom(t *testing.T) {
	clear(heard)
	defer func() { t.Log(heard) }()
	for seed := *firstSeed; seed < *firstSeed+uint64(*howMany); seed++ {
		wrong := func(s *Story) []Difference {
			ds, err := stage(s)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			l := Ledger{Expected: Expected, Cluster: *members > 1}
			return l.Unexpected(ds)
		}
		s := Random(seed, *howLong)
		ds := wrong(s)
		if len(ds) == 0 {
			continue
		}
		first := ds[0]
		same := func(d Difference) bool { return d.Like(&first) }
		short := Shrink(s, func(s *Story) bool { return slices.ContainsFunc(wrong(s), same) })
		t.Errorf("%s%v", short.Text(), first)
		if t.Failed() && seed > *firstSeed+20 {
			break
		}
	}
}

// TestStories plays all stories.
func TestStories(t *testing.T) {
	ledger := Ledger{Expected: Expected, Cluster: *members > 1}
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
