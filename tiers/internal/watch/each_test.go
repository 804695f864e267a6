package watch

import (
	"fmt"
	"slices"
	"testing"

	"github.com/strata-coord/strata/tiers"
)

func TestEachData(t *testing.T) {
	h, a, b := New(), &ear{}, &ear{}
	h.Add("/a", tiers.ScopeData, a)
	h.Add("/a", tiers.ScopePersistent, a) // one line with the one before
	h.Add("/a", tiers.ScopeChildren, b)   // not in that table
	h.Add("/b", tiers.ScopePersistent, b)
	h.Add("/c", tiers.ScopeRecursive, a)
	var got []string
	h.EachData(func(w tiers.Watcher, path string) { got = append(got, fmt.Sprint(path, w == a)) })
	slices.Sort(got)
	if want := []string{"/atrue", "/bfalse", "/ctrue"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
