package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// member is a running member of a test.
type member struct {
	addrs map[string]string // of its ready line
	stop  func()
}

// startMember runs a member, as the process does, until it is stopped or the test ends.
func startMember(t *testing.T, name, dir string, args ...string) *member {
	t.Helper()
	s := &settings{}
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	s.register(flags)
	args = append([]string{"--name", name, "--data-dir", dir, "--bind", "127.0.0.1:0", "--zk-listen", "", "--admin-listen", "127.0.0.1:0", "--log-level", "error"}, args...)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	if err := s.complete(); err != nil {
		t.Fatal(err)
	}
	routes, err := parseRoutes(s.routes)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := serve(ctx, s, routes, w, t.Output())
		w.CloseWithError(fmt.Errorf("the member has ended: %v", err))
		done <- err
	}()
	m := &member{addrs: make(map[string]string)}
	stopped := false
	m.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				t.Errorf("member %s: %v", name, err)
			}
		}
	}
	t.Cleanup(m.stop)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if line, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			for field := range strings.FieldsSeq(line) {
				k, v, _ := strings.Cut(field, "=")
				m.addrs[k] = v
			}
			return m
		}
	}
	t.Fatal(lines.Err())
	return nil
}

// strata runs a command in this process.
func strata(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

// strataFails wants one line on stderr with these words.
func strataFails(t *testing.T, words []string, args ...string) {
	t.Helper()
	code, _, stderr := strata(args...)
	if code != 1 || strings.Count(stderr, "\n") != 1 {
		t.Errorf("%v: exit code %d: %q", args, code, stderr)
	}
	for _, w := range words {
		if !strings.Contains(stderr, w) {
			t.Errorf("%v: %q does not say %q", args, stderr, w)
		}
	}
}

func TestBackupCommand(t *testing.T) {
	m := startMember(t, "one", filepath.Join(t.TempDir(), "d"))
	dir := t.TempDir()
	file := filepath.Join(dir, "b")
	if code, _, stderr := strata("backup", file, "--admin", m.addrs["admin"]); code != 0 || !strings.Contains(stderr, "4 znodes") {
		t.Fatal(code, stderr)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: others can read it", info, err)
	}
	code, stdout, stderr := strata("backup", "verify", file)
	if code != 0 || !strings.Contains(stdout, "by member one") || !strings.Contains(stdout, "znodes     4,") {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	code, stdout, stderr = strata("backup", "-", "--stale", "--admin", "http://"+m.addrs["admin"])
	if whole, err := os.ReadFile(file); err != nil || code != 0 || len(stdout) < len(whole)/2 {
		t.Errorf("to stdout: %d, %d bytes, %s%v", code, len(stdout), stderr, err)
	}
	if err := os.WriteFile(file, []byte(stdout[:len(stdout)-1]), 0o600); err != nil {
		t.Fatal(err)
	}
	strataFails(t, []string{file, "not a whole backup", "take another"}, "backup", "verify", file)
	strataFails(t, []string{"nosuch"}, "backup", "verify", filepath.Join(dir, "nosuch"))
	strataFails(t, []string{"--admin", "URL"}, "backup", file, "--admin", "http://")
	m.stop()
	strataFails(t, []string{"no member listens", "--admin"}, "backup", filepath.Join(dir, "c"), "--admin", m.addrs["admin"])
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("files were left behind: %v, %v", left, err)
	}
}
