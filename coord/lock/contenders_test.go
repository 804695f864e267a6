package lock

import (
	"regexp"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int64{
		"6ba7b8109dad41d180b400c04fd430c8__lock__0000000007":      7,
		"_c_6ba7b810-9dad-41d1-80b4-00c04fd430c8-lock-0000000123": 123,
		"_c_6ba7b8109dad41d180b400c04fd430c8-lock-2147483647":     2147483647, // go-zookeeper
		"lock-0000000000": 0,
		"6ba7b8109dad41d180b400c04fd430c8__rlock__0000000007":        -1, // kazoo's reader is none of a mutex
		"_c_6ba7b810-9dad-41d1-80b4-00c04fd430c8-__READ__0000000001": -1,
		"6ba7b8109dad41d180b400c04fd430c8__lock__":                   -1,
		"6ba7b8109dad41d180b400c04fd430c8__lock__000000007":          -1,
		"lock--000000007": -1,
		"0000000007":      -1,
		"6ba7b8109dad41d180b400c04fd430c8__WRIT__0000000007": -1,
		"notes": -1,
		"":      -1,
	} {
		k, n := parse(name)
		if isExclusive(k) != (want >= 0) || isExclusive(k) && n != want {
			t.Errorf("parse(%q) = %v, %d, want %d", name, k, n, want)
		}
	}
}

func TestBefore(t *testing.T) {
	t.Parallel()
	// Sorted by name, as a tier lists them: not the order of the queue.
	children := []string{
		"_c_1-lock-0000000009", "_c_2-lock-0000000002", "a__lock__0000000010", "b__lock__0000000004", "lock-0000000001", "note",
	}
	for name, want := range map[string]string{
		"lock-0000000001":      "",
		"_c_2-lock-0000000002": "lock-0000000001",
		"b__lock__0000000004":  "_c_2-lock-0000000002",
		"_c_1-lock-0000000009": "b__lock__0000000004",
		"a__lock__0000000010":  "_c_1-lock-0000000009",
	} {
		if got, found := before(children, name); got != want || !found {
			t.Errorf("before(%s) = %s, %v, want %s", name, got, found, want)
		}
	}
	if _, found := before(children, "c__lock__0000000011"); found {
		t.Error("a contender that is not there was found")
	}
	any := anyOf(isExclusive)
	if any([]string{"note", "__lock__", "a__rlock__0000000003"}) || !any(children) {
		t.Error("anyOf is wrong")
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	// The patterns by which the other clients find contenders, and their own creates.
	for want, name := range map[string]string{
		`^[0-9a-f]{32}__lock__(-?\d{10})$`:                           new(options).mutexName(newID()) + "0000000001",
		`^_c_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-lock-\d{10}$`: (&options{curator: true}).mutexName(newID()) + "0000000001",
	} {
		if !regexp.MustCompile(want).MatchString(name) {
			t.Errorf("%s does not match %s", name, want)
		}
	}
	if newID() == newID() {
		t.Error("two ids are equal")
	}
}

func TestWhomReadersAndWritersWaitFor(t *testing.T) {
	t.Parallel()
	children := []string{
		"a__lock__0000000003", "b__rlock__0000000004", "_c_1-__READ__0000000005", "_c_2-__WRIT__0000000006", "c__rlock__0000000007",
		"d__rlock__0000000001", "note0000000002", "e__lock__0000000008",
	}
	for name, want := range map[string]struct {
		k     kind
		ahead string
	}{
		"d__rlock__0000000001":    {reader, ""},
		"a__lock__0000000003":     {exclusive, "d__rlock__0000000001"},
		"b__rlock__0000000004":    {reader, "a__lock__0000000003"},
		"_c_1-__READ__0000000005": {reader, "a__lock__0000000003"},
		"_c_2-__WRIT__0000000006": {writer, "_c_1-__READ__0000000005"},
		"c__rlock__0000000007":    {reader, "_c_2-__WRIT__0000000006"},
		"e__lock__0000000008":     {exclusive, "c__rlock__0000000007"},
	} {
		k, _ := parse(name)
		if k != want.k {
			t.Errorf("%s is %v, want %v", name, k, want.k)
		}
		waitsFor := isAny
		if k == reader {
			waitsFor = isWriter
		}
		if got, found := nearest(children, name, waitsFor); got != want.ahead || !found {
			t.Errorf("%s waits for %q, %v, want %q", name, got, found, want.ahead)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"a__lock__0000000003", "__rlock__9999999999", "lock-+000000001", "_c_-__WRIT__0000000000", "\xff0000000001", ""} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		k, n := parse(name)
		if k == none && n != 0 || n < 0 || n > 9999999999 {
			t.Errorf("parse(%q) = %v, %d", name, k, n)
		}
		if ahead, _ := nearest([]string{name}, "x__lock__5000000000", isAny); (ahead != "") != (k != none && n < 5000000000) {
			t.Errorf("%q is ahead: %q", name, ahead)
		}
	})
}
