package strata_test

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestEngineFaultsNamesTests: every test that docs/engine-faults.md names is there.
func TestEngineFaultsNamesTests(t *testing.T) {
	text, err := os.ReadFile("docs/engine-faults.md")
	if err != nil {
		t.Fatal(err)
	}
	missing := make(map[string]bool)
	for _, name := range regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Za-z]+)`").FindAllStringSubmatch(string(text), -1) {
		missing[name[1]] = true
	}
	if len(missing) < 20 {
		t.Fatalf("it names %d tests", len(missing))
	}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Za-z]+)\(`)
	if err := fs.WalkDir(os.DirFS("."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, name := range declared.FindAllSubmatch(b, -1) {
			delete(missing, string(name[1]))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for name := range missing {
		t.Errorf("docs/engine-faults.md names %s, which is nowhere", name)
	}
}
