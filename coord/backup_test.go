package coord

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

func backup(t *testing.T, n *Node) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := n.Backup(t.Context(), &b, false); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// grant is what a lock takes: a child by number, whose czxid is its token.
func grant(t *testing.T, n *Node, s tiers.SessionID) tiers.Result {
	t.Helper()
	return do(t, n.Tier(), s, create("/locks/l/n-", tiers.EphemeralSequential)).Results[0]
}

func newSession(t *testing.T, n *Node) *Session {
	t.Helper()
	s, err := n.NewSession(t.Context(), 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRestoreEndsLocksAndTokensGrow(t *testing.T) {
	n := openNode(t, Config{Name: "one", Dir: t.TempDir(), Bind: "127.0.0.1:0"})
	ready(t, n)
	s := newSession(t, n)
	do(t, n.Tier(), s.ID(), create("/locks", tiers.Persistent))
	do(t, n.Tier(), s.ID(), create("/locks/l", tiers.Persistent))
	grant(t, n, s.ID())
	raw := backup(t, n)
	last := grant(t, n, s.ID())
	damaged := bytes.Clone(raw)
	damaged[len(raw)/3] ^= 4
	before := n.Zxid()
	if _, err := n.Restore(t.Context(), bytes.NewReader(damaged)); !errors.Is(err, ErrBackup) || s.Context().Err() != nil || n.Zxid() != before {
		t.Errorf("a damaged backup: %v, the session: %v", err, s.Context().Err())
	}
	done, err := n.Restore(t.Context(), bytes.NewReader(raw))
	if err != nil || done.Ended != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	select {
	case <-s.Context().Done():
		if why := context.Cause(s.Context()); !errors.Is(why, tiers.ErrSessionExpired) {
			t.Errorf("the session ended because of %v", why)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a holder does not learn that its locks are gone")
	}
	v, err := n.Tier().Read(t.Context(), tiers.Query{Path: "/locks/l", Want: tiers.WantChildren})
	if err != nil || len(v.Children) != 0 {
		t.Errorf("locks live on: %v, %v", v.Children, err)
	}
	next := newSession(t, n)
	if next.ID() <= s.ID() {
		t.Errorf("session %v after %v", next.ID(), s.ID())
	}
	if got := grant(t, n, next.ID()); got.Path <= last.Path || got.Stat.Czxid <= last.Stat.Czxid {
		t.Errorf("%s with token %v, after %s with %v", got.Path, got.Stat.Czxid, last.Path, last.Stat.Czxid)
	}
	if left, err := filepath.Glob(filepath.Join(n.cfg.Dir, spoolPattern)); err != nil || len(left) != 0 {
		t.Errorf("files were left behind: %v, %v", left, err)
	}
}

func TestRestoreDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "old")
	old := openNode(t, Config{Name: "one", Dir: dir, Bind: "127.0.0.1:0"})
	ready(t, old)
	s := newSession(t, old)
	do(t, old.Tier(), 0, create("/locks", tiers.Persistent))
	do(t, old.Tier(), 0, create("/locks/l", tiers.Persistent))
	do(t, old.Tier(), 0, create("/kept", tiers.Persistent))
	grant(t, old, s.ID())
	raw := backup(t, old)
	var last tiers.Result
	for range 20 { // given away after the backup
		last = grant(t, old, s.ID())
	}
	cfg := Config{Name: "fresh", Dir: filepath.Join(t.TempDir(), "new"), Bind: "127.0.0.1:0"}
	if _, err := RestoreDir(t.Context(), bytes.NewReader(raw[:len(raw)-7]), cfg); !errors.Is(err, ErrBackup) {
		t.Errorf("a cut backup: %v", err)
	}
	if _, err := os.Stat(cfg.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused backup has left something: %v", err)
	}
	for _, used := range []string{dir, filepath.Dir(dir)} {
		if _, err := RestoreDir(t.Context(), bytes.NewReader(raw), Config{Name: "fresh", Dir: used, Bind: cfg.Bind}); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("into %s, which is in use: %v", used, err)
		}
	}
	done, err := RestoreDir(t.Context(), bytes.NewReader(raw), cfg)
	if err != nil || done.Zxid <= old.Zxid() {
		t.Fatalf("%+v, %v", done, err)
	}
	n := openNode(t, cfg)
	ready(t, n)
	if n.cluster() == old.cluster() {
		t.Error("the new cluster takes members of the old one for its own")
	}
	if number, _ := n.number(); number < 10 {
		t.Errorf("member number %d may have been another's", number)
	}
	next := newSession(t, n)
	if got := grant(t, n, next.ID()); got.Path <= last.Path || got.Stat.Czxid <= last.Stat.Czxid || next.ID() <= s.ID() {
		t.Errorf("session %v, %s with token %v, after %v, %s with %v", next.ID(), got.Path, got.Stat.Czxid, s.ID(), last.Path, last.Stat.Czxid)
	}
	v, err := n.Tier().Read(t.Context(), tiers.Query{Path: "/locks/l", Want: tiers.WantChildren})
	if err != nil || len(v.Children) != 1 {
		t.Errorf("locks of before live on: %v, %v", v.Children, err)
	}
	second := openNode(t, Config{Name: "second", Dir: t.TempDir(), Bind: "127.0.0.1:0", Join: []string{n.Addr().String()}})
	ready(t, second)
	if _, err := second.Tier().Read(t.Context(), tiers.Query{Path: "/kept", Want: tiers.WantData}); err != nil {
		t.Errorf("at a member that has joined: %v", err)
	}
}

// TestRecover: two of three members are lost with their disks; the third goes on alone, and others join it.
func TestRecover(t *testing.T) {
	ns := nodesAt(t, 3)
	ready(t, ns...)
	survivor := ns[1]
	s := newSession(t, survivor)
	do(t, survivor.Tier(), 0, create("/locks", tiers.Persistent))
	do(t, survivor.Tier(), 0, create("/locks/l", tiers.Persistent))
	do(t, survivor.Tier(), 0, create("/kept", tiers.Persistent))
	last := grant(t, survivor, s.ID())
	if _, _, err := Recover(survivor.cfg.Dir, true, nil); !errors.Is(err, ErrDirInUse) {
		t.Errorf("while it runs: %v", err)
	}
	was := survivor.cluster()
	for _, n := range ns {
		if err := n.Abort(); err != nil {
			t.Fatal(err)
		}
	}
	r, _, err := Recover(survivor.cfg.Dir, true, nil)
	if err != nil || r.Member != survivor.Name() || len(r.Members) != 3 || r.Zxid < last.Stat.Czxid || r.Tree.Ephemerals != 1 || r.Changed.IsZero() || r.Index == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	again, zxid, err := Recover(survivor.cfg.Dir, false, nil)
	if err != nil || again.Index != r.Index || again.Zxid != r.Zxid || zxid <= r.Zxid {
		t.Fatalf("%+v, %v, %v", again, zxid, err)
	}
	cfg := survivor.cfg
	cfg.Bind, cfg.Advertise, cfg.BootstrapExpect = "127.0.0.1:0", "", 0
	n := openNode(t, cfg)
	ready(t, n)
	if n.cluster() == was {
		t.Error("members of the lost cluster are taken for its own")
	}
	if _, err := tiers.Do(t.Context(), n.Tier(), tiers.Txn{Session: s.ID(), Ops: []tiers.Op{create("/x", tiers.Ephemeral)}}); !errors.Is(err, tiers.ErrSessionExpired) {
		t.Errorf("a session of before: %v", err)
	}
	next := newSession(t, n)
	if got := grant(t, n, next.ID()); got.Path <= last.Path || got.Stat.Czxid <= zxid {
		t.Errorf("%s with token %v, after %s with %v", got.Path, got.Stat.Czxid, last.Path, last.Stat.Czxid)
	}
	if v, err := n.Tier().Read(t.Context(), tiers.Query{Path: "/kept", Want: tiers.WantData}); err != nil || string(v.Data) != "/kept" {
		t.Errorf("%q, %v", v.Data, err)
	}
	// A new one, and one under the name of a lost one.
	for _, name := range []string{"new", ns[0].Name()} {
		m := openNode(t, Config{Name: name, Dir: t.TempDir(), Bind: "127.0.0.1:0", Join: []string{n.Addr().String()}})
		ready(t, m)
		until(t, name+" has a vote", func() bool {
			for _, v := range votersOf(n) {
				if v == name {
					return true
				}
			}
			return false
		})
	}
}

func TestRecoverRefuses(t *testing.T) {
	if _, _, err := Recover(t.TempDir(), false, nil); !errors.Is(err, ErrNoState) {
		t.Errorf("an empty directory: %v", err)
	}
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Recover(foreign, false, nil); !errors.Is(err, ErrForeignDir) {
		t.Errorf("a foreign directory: %v", err)
	}
	dir := t.TempDir()
	n := openNode(t, Config{Name: "one", Dir: dir, Bind: "127.0.0.1:0"})
	ready(t, n)
	for range 50 {
		do(t, n.Tier(), 0, tiers.Op{Kind: tiers.OpSetData, Path: "/", Data: bytes.Repeat([]byte("x"), 1000), Version: -1})
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, strongDir, "log", "*.wal"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("%v, %v", segments, err)
	}
	whole, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(whole, bytes.Repeat([]byte("x"), 1000))
	whole[at+500] ^= 1
	if err := os.WriteFile(segments[0], whole, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} {
		if _, _, err := Recover(dir, dry, nil); !errors.Is(err, ErrCorruptDir) {
			t.Errorf("a damaged log, dry %v: %v", dry, err)
		}
	}
	after, err := os.ReadFile(segments[0])
	if err != nil || !bytes.Equal(after, whole) {
		t.Errorf("a refused recovery has changed the log: %v", err)
	}
}
