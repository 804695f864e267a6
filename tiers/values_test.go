package tiers_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

func TestSessionID(t *testing.T) {
	seen := make(map[tiers.SessionID]bool)
	for _, member := range []uint32{1, 2, 1<<15 - 1} {
		for _, incarnation := range []uint32{0, 1, 1<<20 - 1} {
			for _, counter := range []uint32{0, 1, 1<<28 - 1} {
				id, ok := tiers.NewSessionID(member, incarnation, counter)
				if !ok || id <= 0 || seen[id] {
					t.Errorf("member %d, incarnation %d, counter %d: %v, %v", member, incarnation, counter, id, ok)
				}
				seen[id] = true
				if m, inc := id.Home(); m != member || inc != incarnation {
					t.Errorf("the home of %v is %d, %d; want %d, %d", id, m, inc, member, incarnation)
				}
			}
		}
	}
	for _, parts := range [][3]uint32{{0, 1, 1}, {1 << 15, 1, 1}, {1, 1 << 20, 1}, {1, 1, 1 << 28}} {
		if id, ok := tiers.NewSessionID(parts[0], parts[1], parts[2]); ok || id != 0 {
			t.Errorf("%v fits as %v", parts, id)
		}
	}
	if s := tiers.SessionID(0x1000f).String(); s != "0x1000f" {
		t.Error(s)
	}
}

func TestCreateModes(t *testing.T) {
	for mode, want := range map[tiers.CreateMode][3]bool{ // ephemeral, sequential, TTL
		tiers.Persistent: {}, tiers.Ephemeral: {true}, tiers.PersistentSequential: {false, true}, tiers.EphemeralSequential: {true, true},
		tiers.Container: {}, tiers.PersistentTTL: {false, false, true}, tiers.PersistentSequentialTTL: {false, true, true}, 99: {},
	} {
		if got := [3]bool{mode.IsEphemeral(), mode.IsSequential(), mode.IsTTL()}; got != want {
			t.Errorf("mode %d: %v, want %v", mode, got, want)
		}
	}
}

// Errors say what is wrong to people, and to errors.Is.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		is   error
		says []string
	}{
		{&tiers.OpError{Op: "create", Path: "/a", Err: tiers.ErrNodeExists}, tiers.ErrNodeExists, []string{"create", "/a", "exists"}},
		{&tiers.OpError{Op: "session", Err: tiers.ErrSessionExpired}, tiers.ErrSessionExpired, []string{"session: "}},
		{&tiers.ContractError{Tier: "eventual", Path: "/s", What: "a check", Hint: "route it"}, tiers.ErrContract, []string{"/s", "eventual", "a check", "route it"}},
		{&tiers.StaleError{Path: "/c"}, tiers.ErrStale, []string{"/c", "not caught up"}},
		{&tiers.StaleError{Path: "/c", Known: true, Staleness: 3 * time.Second, Bound: time.Second}, tiers.ErrStale, []string{"/c", "3s", "1s"}},
		{&tiers.UnknownOutcomeError{Cause: tiers.ErrClosed}, tiers.ErrUnknownOutcome, []string{"unknown", "closed"}},
		{&tiers.UnknownOutcomeError{Cause: tiers.ErrClosed}, tiers.ErrClosed, nil},
	} {
		if !errors.Is(c.err, c.is) {
			t.Errorf("%v is not %v", c.err, c.is)
		}
		for _, s := range c.says {
			if !strings.Contains(c.err.Error(), s) {
				t.Errorf("%q does not say %q", c.err, s)
			}
		}
	}
}

func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	for k := tiers.OpCreate; k <= tiers.OpCloseSession; k++ {
		seen[k.String()] = true
	}
	for e := tiers.NodeCreated; e <= tiers.NodeChildrenChanged; e++ {
		seen[e.String()] = true
	}
	if len(seen) != 11 || seen["unknown op"] || seen["unknown event"] {
		t.Errorf("names: %v", seen)
	}
	if tiers.OpKind(99).String() != "unknown op" || tiers.EventType(99).String() != "unknown event" || tiers.Zxid(255).String() != "0xff" {
		t.Error("names of what has none")
	}
}
