package compare

import (
	"slices"
	"strings"
	"testing"
)

// TestRandomStories: each line can be read and sent, and a seed makes one story.
func TestRandomStories(t *testing.T) {
	verbsSeen := map[string]int{}
	for seed := range uint64(50) {
		s := Random(seed, 60)
		if again := Random(seed, 60); again.Text() != s.Text() || len(s.Lines) != 60 || s.Lines[59].More {
			t.Fatalf("seed %d makes\n%sand\n%s", seed, s.Text(), again.Text())
		}
		sc := scene{root: "/r", marks: map[string]int64{}}
		for _, l := range s.Lines {
			verbsSeen[l.Verb]++
			if parsed, err := ParseLine(l.text); err != nil || parsed.Verb != l.Verb {
				t.Fatalf("%q: %v", l.text, err)
			}
			if l.Verb == "connect" {
				continue
			}
			if q, err := sc.encode(&l, 1); err != nil || len(q.body) < 8 {
				t.Fatalf("%q: %v", l.text, err)
			}
		}
	}
	for _, v := range []string{"create", "multi", "setWatches", "addWatch", "connect", "close", "auth", "setACL"} {
		if verbsSeen[v] == 0 {
			t.Errorf("no %s among %v", v, verbsSeen)
		}
	}
}

func TestShrink(t *testing.T) {
	stories, err := ParseStories(`== long
A get $/1
A& set $/2 data=x v=1
B multi create $/a ; delete $/b v=2 ; set $/c data=y
A get $/3 w
A ls $/4
B exists $/5 w
A ls $/6
`)
	if err != nil {
		t.Fatal(err)
	}
	tries := 0
	short := Shrink(&stories[0], func(s *Story) bool {
		tries++
		text := s.Text()
		return strings.Contains(text, "delete $/b") && strings.Contains(text, "exists $/5")
	})
	var lines []string
	for _, l := range short.Lines {
		lines = append(lines, l.text)
	}
	if want := []string{"B multi delete $/b", "B exists $/5"}; !slices.EqualFunc(lines, want, func(a, b string) bool { return strings.TrimRight(a, " ;") == b }) {
		t.Errorf("after %d tries: %q, want %q", tries, lines, want)
	}
}
