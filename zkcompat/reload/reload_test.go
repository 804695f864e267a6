package reload_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/zkcompat/reload"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	// As careful programs do: another file takes the name.
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func TestValueFollowsItsFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	write(t, file, "one")
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		loads := 0
		v, err := reload.New([]string{file}, func() (string, error) {
			loads++
			b, err := os.ReadFile(file)
			if err == nil && len(b) > 5 {
				err = errors.New("it is too long")
			}
			return string(b), err
		}, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		// after is what the value is once that much time has passed.
		after := func(d time.Duration, want string, loaded int) {
			t.Helper()
			time.Sleep(d) // of the bubble's clock
			if got := v.Get(); got != want || loads != loaded {
				t.Errorf("%q after %d loads, want %q after %d", got, loads, want, loaded)
			}
		}
		after(time.Hour, "one", 1)
		write(t, file, "two")
		after(time.Millisecond, "one", 1) // looked at a moment ago
		after(time.Second, "two", 2)

		write(t, file, "much too long")
		after(time.Second, "two", 3)
		if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "it is too long") {
			t.Errorf("log: %s", log.String())
		}
		after(time.Second, "two", 3) // a file that can't be loaded is tried once
		write(t, file, "three")
		after(time.Second, "three", 4)

		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		after(time.Second, "three", 5)
		write(t, file, "four")
		if err := v.Reload(); err != nil || v.Get() != "four" {
			t.Errorf("%q, %v", v.Get(), err)
		}
		write(t, file, "much too long")
		if err := v.Reload(); err == nil || v.Get() != "four" {
			t.Errorf("%q, %v", v.Get(), err)
		}
	})
}

func TestFirstLoadFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := reload.New(nil, func() (int, error) { return 0, broken }, slog.New(slog.DiscardHandler)); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}
