package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRestoreCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	m := startMember(t, "one", dir)
	file := filepath.Join(t.TempDir(), "b")
	if code, _, stderr := strata("backup", file, "--admin", m.addrs["admin"]); code != 0 {
		t.Fatal(stderr)
	}
	strataFailsAtEnd(t, "--yes", "restore", file, "--admin", m.addrs["admin"])
	code, stdout, stderr := strata("restore", file, "--admin", m.addrs["admin"], "--yes")
	if code != 0 || !strings.Contains(stdout, "restored 4 znodes") {
		t.Fatal(code, stdout, stderr)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken")
	raw[len(raw)-1] ^= 1
	if err := os.WriteFile(broken, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	strataFails(t, []string{"checksum", "take another"}, "restore", broken, "--admin", m.addrs["admin"], "--yes")
	strataFails(t, []string{"in use"}, "restore", file, "--data-dir", dir, "--name", "one")
	m.stop()
	strataFails(t, []string{"not empty", "choose"}, "restore", file, "--data-dir", dir, "--name", "one")

	fresh := filepath.Join(t.TempDir(), "new")
	strataFails(t, []string{"checksum"}, "restore", broken, "--data-dir", fresh, "--name", "two")
	code, stdout, stderr = strata("restore", file, "--data-dir", fresh, "--name", "two", "--bind", "127.0.0.1:0")
	if code != 0 || !strings.Contains(stdout, "strata serve --name two --data-dir "+fresh) {
		t.Fatal(code, stdout, stderr)
	}
	startMember(t, "two", fresh)
}

// strataFailsAtEnd wants an error with this word; lines of another kind may be before it.
func strataFailsAtEnd(t *testing.T, word string, args ...string) {
	t.Helper()
	code, _, stderr := strata(args...)
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if last := lines[len(lines)-1]; code != 1 || !strings.HasPrefix(last, "strata: ") || !strings.Contains(last, word) {
		t.Errorf("%v: exit code %d: %q", args, code, stderr)
	}
}

func TestRecoverCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	m := startMember(t, "one", dir)
	strataFails(t, []string{"in use", "stop it"}, "recover", "--data-dir", dir, "--dry-run")
	m.stop()
	strataFails(t, []string{"--data-dir"}, "recover")
	strataFails(t, []string{"never belonged"}, "recover", "--data-dir", filepath.Join(dir, "nosuch"), "--yes")
	code, dry, stderr := strata("recover", "--data-dir", dir, "--dry-run")
	if code != 0 || !strings.Contains(dry, "member     one") || !strings.Contains(dry, "drops nobody") {
		t.Fatal(code, dry, stderr)
	}
	strataFailsAtEnd(t, "--yes", "recover", "--data-dir", dir)
	code, stdout, stderr := strata("recover", "--data-dir", dir, "--yes")
	if code != 0 || !strings.HasPrefix(stdout, dry) || !strings.Contains(stdout, "recovered: one") {
		t.Fatal(code, stdout, stderr)
	}
	startMember(t, "one", dir)
}
