package coord

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// mustClaim makes path the directory of a member.
func mustClaim(t *testing.T, path, name string) *dataDir {
	t.Helper()
	d, err := openDir(path, name)
	if err == nil {
		err = d.claim()
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDataDirIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d, err := openDir(path, "one")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("made before it was claimed: %v", err)
	}
	if err := d.claim(); err != nil {
		t.Fatal(err)
	}
	if err := d.alive([]tiers.SessionID{3, 1 << 62}); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := openDir(path, "one"); !errors.Is(err, ErrDirInUse) {
		t.Errorf("opened twice: %v", err)
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
	again, err := openDir(path, "one")
	if err != nil {
		t.Fatal(err)
	}
	defer again.close()
	if again.identity() != d.identity() || again.identity() == [16]byte{} || again.new {
		t.Errorf("identity %x became %x", d.identity(), again.identity())
	}
	if age := time.Since(again.lastAlive); age < 0 || age > time.Minute {
		t.Errorf("last alive %v ago", age)
	}
	if !slices.Equal(again.guests, []tiers.SessionID{3, 1 << 62}) {
		t.Errorf("guests %v", again.guests)
	}
}

func TestDataDirsDiffer(t *testing.T) {
	a, b := mustClaim(t, t.TempDir(), "one"), mustClaim(t, t.TempDir(), "one")
	defer a.close()
	defer b.close()
	if a.identity() == b.identity() {
		t.Error("two directories have one identity")
	}
}

func TestTwoClaimOneDirectory(t *testing.T) {
	path := t.TempDir()
	var ds []*dataDir
	for range 2 {
		d, err := openDir(path, "one")
		if err != nil {
			t.Fatal(err)
		}
		ds = append(ds, d)
	}
	if err := ds[0].claim(); err != nil {
		t.Fatal(err)
	}
	if err := ds[1].claim(); !errors.Is(err, ErrDirInUse) {
		t.Errorf("%v", err)
	}
	if err := ds[0].close(); err != nil {
		t.Error(err)
	}
	if err := ds[1].claim(); !errors.Is(err, ErrDirInUse) { // it is free, but another's
		t.Errorf("%v", err)
	}
	if err := ds[1].close(); err != nil {
		t.Error(err)
	}
}

func TestCorruptDataDirs(t *testing.T) {
	good := `{"format": 1, "name": "one", "identity": "000102030405060708090a0b0c0d0e0f"}`
	for text, want := range map[string]error{
		good:            nil,
		"":              ErrCorruptDir,
		"\x07\x14noise": ErrCorruptDir,
		`{"format": 2, "name": "one", "identity": "000102030405060708090a0b0c0d0e0f"}`: ErrCorruptDir,
		`{"format": 1, "name": "", "identity": "000102030405060708090a0b0c0d0e0f"}`:    ErrCorruptDir,
		`{"format": 1, "name": "one", "identity": "0001"}`:                             ErrCorruptDir,
		`{"format": 1, "name": "one", "identity": "zz0102030405060708090a0b0c0d0e0f"}`: ErrCorruptDir,
		`{"format": 1, "name": "two", "identity": "000102030405060708090a0b0c0d0e0f"}`: ErrOtherName,
	} {
		path := t.TempDir()
		if err := os.WriteFile(filepath.Join(path, metaFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := openDir(path, "one")
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
		if err == nil {
			d.close()
		} else if files, err := os.ReadDir(path); err != nil || len(files) != 1 {
			t.Errorf("%q: the directory was touched: %v, %v", text, files, err)
		}
	}
}

// What can't start leaves no trace.
func TestAFailedFirstStartMakesNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	one := openNode(t, Config{Name: "one", Dir: t.TempDir(), Bind: "127.0.0.1:0"})
	for what, cfg := range map[string]Config{
		"taken port": {Name: "two", Bind: l.Addr().String()},
		"taken name": {Name: "one", Bind: "127.0.0.1:0", Join: []string{one.Addr().String()}},
		"bad route":  {Name: "two", Bind: "127.0.0.1:0", Routes: []Route{{Prefix: "/", Tier: "weak"}}},
	} {
		cfg.Dir = filepath.Join(t.TempDir(), "data")
		n, err := Open(t.Context(), cfg)
		if err == nil {
			t.Errorf("%s: opened", what)
			n.Close()
		}
		if _, err := os.Stat(cfg.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the data directory was made (%v)", what, err)
		}
	}
}
