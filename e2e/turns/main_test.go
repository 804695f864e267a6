package main

import (
	"bufio"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// TestDriver speaks with it as e2e/turns.py does.
func TestDriver(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"curator"}} {
		in, commands := io.Pipe()
		answers, out := io.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- run(in, out, args)
			_ = out.Close()
		}()
		lines := bufio.NewScanner(answers)
		expect := func(want string) {
			t.Helper()
			if !lines.Scan() || !strings.HasPrefix(lines.Text(), want) {
				t.Fatalf("it says %q, want %q", lines.Text(), want)
			}
		}
		tell := func(command, want string) {
			t.Helper()
			if _, err := io.WriteString(commands, command+"\n"); err != nil {
				t.Fatal(err)
			}
			expect(want)
		}
		expect("clients 127.0.0.1:")
		for _, kind := range []string{"mutex", "rlock", "wlock", "semaphore:3"} {
			tell("take x "+kind, "held x")
			tell("free x", "freed x")
		}
		tell("work rlock 3 "+filepath.Join(t.TempDir(), "guard"), "worked 0")
		tell("take x election:data", "held x")
		tell("leader", "leader data")
		tell("free x", "freed x")
		for _, what := range []string{"up", "down", "wait"} {
			tell("barrier "+what, "barrier "+what)
		}
		tell("enter x 1", "entered x")
		tell("leave x", "left x")
		tell("add c 3", "added 3")
		tell("get c", "value 3")
		tell("leader", "failed")
		tell("free x", "failed")
		tell("dance", "failed")
		if err := commands.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
