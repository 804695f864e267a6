package lock

import (
	"regexp"
	"testing"
)

func TestSequence(t *testing.T) {
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
		"notes":           -1,
		"":                -1,
	} {
		n, ok := sequence(name)
		if ok != (want >= 0) || ok && n != want {
			t.Errorf("sequence(%q) = %d, %v, want %d", name, n, ok, want)
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
	if anyContender([]string{"note", "__lock__"}) || !anyContender(children) {
		t.Error("anyContender is wrong")
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
