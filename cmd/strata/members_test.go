package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

func TestMembersAndStatus(t *testing.T) {
	m := startMember(t, "one", filepath.Join(t.TempDir(), "d"))
	two := startMember(t, "two", filepath.Join(t.TempDir(), "d"), "--join", m.addrs["members"], "--role", "replica")
	at := []string{"--admin", two.addrs["admin"]}
	code, stdout, stderr := strata(append([]string{"status"}, at...)...)
	for _, want := range []string{"member    two, replica", "clients are served", "leader    one,", "one   voter (leader)  alive  0 "} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%q is missing: %d %s%s", want, code, stdout, stderr)
		}
	}
	code, stdout, _ = strata(append([]string{"status", "-o", "json"}, at...)...)
	var s struct {
		Members []struct {
			Name   string
			Behind *int
		}
	}
	if err := json.Unmarshal([]byte(stdout), &s); code != 0 || err != nil || len(s.Members) != 2 || s.Members[1].Behind == nil {
		t.Errorf("%v %s", err, stdout)
	}
	strataFails(t, []string{"two", "alive", "stop it"}, append([]string{"members", "remove", "two"}, at...)...)
	strataFails(t, []string{"three", "one, two"}, append([]string{"members", "demote", "three"}, at...)...)
	strataFails(t, []string{"last voter"}, append([]string{"members", "demote", "one"}, at...)...)
	strataFails(t, []string{"xml", "json"}, append([]string{"members", "-o", "xml"}, at...)...)
	if code, stdout, stderr = strata(append([]string{"members", "promote", "two"}, at...)...); code != 0 || stdout != "two: has a vote\n" {
		t.Fatal(code, stdout, stderr)
	}
	if _, stdout, _ = strata("members", "--admin", m.addrs["admin"]); !strings.Contains(stdout, "two   voter ") {
		t.Error(stdout)
	}
	if code, stdout, stderr = strata("members", "demote", "two", "--admin", m.addrs["admin"], "--force"); code != 0 {
		t.Fatal(stdout, stderr)
	}
	two.stop()
	if code, stdout, stderr = strata("members", "remove", "two", "--admin", m.addrs["admin"]); code != 0 || stdout != "two: removed\n" {
		t.Fatal(code, stdout, stderr)
	}
}
