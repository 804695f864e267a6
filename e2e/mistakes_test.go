package e2e

import (
	"crypto/sha256"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// refused starts a member that can't start: exit code 1, and one line on stderr (the last one) that names every one of want.
func refused(t *testing.T, m *member, want ...string) {
	t.Helper()
	m.start(t)
	if code := m.wait(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	lines := strings.Split(strings.TrimSpace(m.stderr.String()), "\n")
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, "strata: ") || strings.Count(m.stderr.String(), "strata: ") != 1 {
		t.Errorf("want one error, at the end of stderr:\n%s", m.stderr.String())
	}
	for _, w := range want {
		if !strings.Contains(last, w) {
			t.Errorf("the error does not name %q: %s", w, last)
		}
	}
	if strings.Contains(m.stdout.String(), "ready") {
		t.Errorf("stdout says ready:\n%s", m.stdout.String())
	}
}

// fingerprint is the content of a directory.
func fingerprint(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	files := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if d.Name() == "stable.db" {
			return nil // bolt writes a page of its own whenever it opens a file; what Strata keeps there does not change
		}
		b, err := os.ReadFile(path)
		files[path] = sha256.Sum256(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func same(t *testing.T, what string, before, after map[string][32]byte) {
	t.Helper()
	for path, sum := range before {
		if after[path] != sum {
			t.Errorf("%s: %s was touched", what, path)
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			t.Errorf("%s: %s is new", what, path)
		}
	}
}

func TestTakenPorts(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, flag := range []string{"--zk-listen", "--admin-listen", "--bind"} {
		m := newMember(t, "one", "--bind", freePort(t), flag, l.Addr().String())
		refused(t, m, flag, l.Addr().String(), "in use")
		if _, err := os.Stat(m.dir); !os.IsNotExist(err) {
			t.Errorf("%s taken: the data directory was made (%v)", flag, err)
		}
	}
}

func TestForeignDataDirectory(t *testing.T) {
	t.Parallel()
	m := newMember(t, "one", "--bind", freePort(t))
	writeFile(t, filepath.Join(m.dir, "photos", "cat.jpg"), "a cat")
	writeFile(t, filepath.Join(m.dir, "letter.txt"), "Dear ...")
	before := fingerprint(t, m.dir)
	refused(t, m, m.dir, "--data-dir")
	same(t, "a foreign directory", before, fingerprint(t, m.dir))
}

func TestDataDirectoryOfAnotherMember(t *testing.T) {
	t.Parallel()
	m := startOne(t)
	m.signal(t, 15)
	before := fingerprint(t, m.dir)
	other := newMember(t, "other", "--bind", freePort(t), "--data-dir", m.dir)
	refused(t, other, m.dir, "one", "other")
	same(t, "another member's directory", before, fingerprint(t, m.dir))
}

func TestDataDirectoryInUse(t *testing.T) {
	t.Parallel()
	m := startOne(t)
	second := newMember(t, "one", "--bind", freePort(t), "--data-dir", m.dir)
	refused(t, second, m.dir)
	if err := connect(t, 4*time.Second, m).sees("/", true)(); err != nil {
		t.Errorf("the first one, afterwards: %v", err)
	}
}

func TestCorruptDataDirectory(t *testing.T) {
	t.Parallel()
	m := startOne(t)
	c := connect(t, 4*time.Second, m)
	c.makePath(t, "/a/b/c")
	c.kill()
	m.signal(t, 15)
	for _, path := range append(slices.Collect(maps.Keys(fingerprint(t, m.dir))), filepath.Join(m.dir, "strong", "stable.db")) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// Every file in turn is overwritten with noise of its length.
		if len(b) == 0 {
			continue
		}
		damaged := make([]byte, len(b))
		for i := range damaged {
			damaged[i] = byte(i*7 + 13)
		}
		writeFile(t, path, string(damaged))
		before := fingerprint(t, m.dir)
		again := newMember(t, "one", "--bind", freePort(t), "--data-dir", m.dir)
		refused(t, again, m.dir)
		same(t, "noise in "+filepath.Base(path), before, fingerprint(t, m.dir))
		writeFile(t, path, string(b))
	}
	m.start(t)
	m.waitReady(t)
	if err := connect(t, 4*time.Second, m).sees("/a/b/c", true)(); err != nil {
		t.Errorf("with everything put back: %v", err)
	}
}

func TestUnknownKeyInTheFile(t *testing.T) {
	t.Parallel()
	m := newMember(t, "one", "--bind", freePort(t))
	file := filepath.Join(t.TempDir(), "strata.yaml")
	writeFile(t, file, "name: one\ntikc: 2s\n")
	m.args = append(m.args, "--config", file)
	refused(t, m, file+":2", "tikc", "tick")
	if _, err := os.Stat(m.dir); !os.IsNotExist(err) {
		t.Errorf("the data directory was made (%v)", err)
	}
}

func TestTwoMembersWithOneName(t *testing.T) {
	t.Parallel()
	m := startOne(t)
	twin := newMember(t, "one", "--bind", freePort(t), "--join", m.bind)
	refused(t, twin, "one", "--name")
	if err := connect(t, 4*time.Second, m).sees("/", true)(); err != nil {
		t.Errorf("the first one, afterwards: %v", err)
	}
}
