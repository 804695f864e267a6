package coord

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

func testLogger(name string) *slog.Logger {
	if os.Getenv("STRATA_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", name)
}

func openNode(t *testing.T, cfg Config) *Node {
	t.Helper()
	cfg.Logger = testLogger(cfg.Name)
	n, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close %s: %v", cfg.Name, err)
		}
	})
	return n
}

func ready(t *testing.T, ns ...*Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, n := range ns {
		if err := n.Ready(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func create(path string, mode tiers.CreateMode) tiers.Op {
	return tiers.Op{Kind: tiers.OpCreate, Path: path, Data: []byte(path), Mode: mode, ACL: tiers.OpenACL}
}

func do(t *testing.T, tier tiers.Tier, s tiers.SessionID, op tiers.Op) tiers.Receipt {
	t.Helper()
	r, err := tiers.Do(t.Context(), tier, tiers.Txn{Session: s, Ops: []tiers.Op{op}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOneMember(t *testing.T) {
	dir := t.TempDir()
	for start := range 2 {
		n := openNode(t, Config{Name: "one", Dir: dir, Bind: "127.0.0.1:0"})
		ready(t, n)
		s, err := n.Session(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, parent := range []string{"/locks", "/services", "/config"} {
			if start == 0 && parent != "/services" {
				do(t, n.Tier(), s.ID(), create(parent, tiers.Persistent))
			}
			do(t, n.Tier(), s.ID(), create(parent+"/kept"+fmt.Sprint(start), tiers.Persistent))
			do(t, n.Tier(), s.ID(), create(parent+"/e", tiers.Ephemeral))
			v, err := n.Tier().Read(t.Context(), tiers.Query{Path: parent, Want: tiers.WantChildren})
			if err != nil || len(v.Children) != start+2 {
				t.Errorf("start %d: %s: %v, %v", start, parent, v.Children, err)
			}
		}
		v, err := n.Tier().Read(t.Context(), tiers.Query{Path: "/", Want: tiers.WantChildren})
		if err != nil || strings.Join(v.Children, " ") != "config locks services zookeeper" {
			t.Errorf("the root has %v, %v", v.Children, err)
		}
		st := n.Status()
		if !st.Ready || st.RaftState != "leader" || st.Leader != "one" || len(st.Members) != 1 || st.Members[0].State != "alive" || st.Sessions.Opened != 1 {
			t.Errorf("%+v", st)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func threeNodes(t *testing.T) []*Node {
	t.Helper()
	var ns []*Node
	var join []string
	for i := range 3 {
		n := openNode(t, Config{Name: fmt.Sprintf("m%d", i), Dir: t.TempDir(), Bind: "127.0.0.1:0", Join: join, BootstrapExpect: 3, Tick: 500 * time.Millisecond})
		join = append(join, n.Addr().String())
		ns = append(ns, n)
	}
	ready(t, ns...)
	return ns
}

func TestThreeMembers(t *testing.T) {
	ns := threeNodes(t)
	s, err := ns[0].NewSession(t.Context(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	do(t, ns[0].Tier(), s.ID(), create("/locks", tiers.Persistent))
	do(t, ns[0].Tier(), s.ID(), create("/locks/e", tiers.Ephemeral))
	do(t, ns[0].Tier(), s.ID(), create("/services/e", tiers.Ephemeral))
	for _, n := range ns {
		if _, err := n.Tier().Read(t.Context(), tiers.Query{Path: "/locks/e"}); err != nil {
			t.Error(err)
		}
		until(t, "the registration is everywhere", func() bool {
			_, err := n.Tier().Read(t.Context(), tiers.Query{Path: "/services/e"})
			return err == nil
		})
	}

	// A fourth one is taken in.
	more := openNode(t, Config{Name: "m3", Dir: t.TempDir(), Bind: "127.0.0.1:0", Join: []string{ns[0].Addr().String()}, Role: Replica, Tick: 500 * time.Millisecond})
	ready(t, more)
	if _, err := more.Tier().Read(t.Context(), tiers.Query{Path: "/locks/e"}); err != nil {
		t.Error(err)
	}

	// The holder's context ends before its ephemeral does.
	if err := ns[0].Abort(); err != nil {
		t.Fatal(err)
	}
	until(t, "the dead member's session ends", func() bool {
		_, err := ns[1].Tier().Read(t.Context(), tiers.Query{Path: "/locks/e"})
		return errors.Is(err, tiers.ErrNoNode)
	})
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("it never came about that %s", what)
}

// A session that owns nothing in the log, and one that does, move to another member when theirs dies, and end nowhere.
func TestSessionsMove(t *testing.T) {
	ns := threeNodes(t)
	do(t, ns[0].Tier(), 0, create("/locks", tiers.Persistent))
	var leases []tiers.Lease
	for range 2 {
		l, err := ns[0].Sessions().Open(t.Context(), 5*time.Second, func(error) {})
		if err != nil {
			t.Fatal(err)
		}
		leases = append(leases, l)
	}
	do(t, ns[0].Tier(), leases[0].ID, create("/locks/e", tiers.Ephemeral))
	do(t, ns[0].Tier(), leases[1].ID, create("/services/e", tiers.Ephemeral))
	until(t, "gossip has spread it", func() bool {
		_, err := ns[1].Tier().Read(t.Context(), tiers.Query{Path: "/services/e"})
		return err == nil
	})
	if err := ns[0].Abort(); err != nil {
		t.Fatal(err)
	}
	for i, l := range leases {
		var moved tiers.Lease
		until(t, "the session has moved", func() bool {
			var err error
			moved, err = ns[1].Sessions().Attach(t.Context(), l.ID, l.Password[:], 5*time.Second, func(error) {})
			if err != nil && !errors.Is(err, tiers.ErrUnavailable) {
				t.Fatalf("session %d: %v", i, err)
			}
			return err == nil
		})
		if moved.ID != l.ID || moved.Password != l.Password {
			t.Errorf("%+v became %+v", l, moved)
		}
	}
	if _, err := ns[1].Sessions().Attach(t.Context(), leases[0].ID, make([]byte, 16), time.Second, nil); !errors.Is(err, tiers.ErrBadPassword) {
		t.Errorf("with another password: %v", err)
	}
	for _, path := range []string{"/locks/e", "/services/e"} {
		if _, err := ns[2].Tier().Read(t.Context(), tiers.Query{Path: path}); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatOpenRefuses(t *testing.T) {
	foreign, corrupt := t.TempDir(), t.TempDir()
	write := func(path, content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(foreign, "letter.txt"), "dear")
	write(filepath.Join(corrupt, metaFile), "{")
	dir := t.TempDir()
	one := openNode(t, Config{Name: "one", Dir: dir, Bind: "127.0.0.1:0"})
	addr := one.Addr().String()
	for _, c := range []struct {
		cfg  Config
		want error
	}{
		{Config{Name: "two", Dir: foreign, Bind: "127.0.0.1:0"}, ErrForeignDir},
		{Config{Name: "two", Dir: corrupt, Bind: "127.0.0.1:0"}, ErrCorruptDir},
		{Config{Name: "one", Dir: dir, Bind: "127.0.0.1:0"}, ErrDirInUse},
		{Config{Name: "two", Dir: dir, Bind: "127.0.0.1:0"}, ErrOtherName},
		{Config{Name: "one", Dir: t.TempDir(), Bind: "127.0.0.1:0", Join: []string{addr}}, ErrNameTaken},
		{Config{Name: "two", Dir: t.TempDir(), Bind: addr}, nil},
	} {
		n, err := Open(t.Context(), c.cfg)
		if err == nil {
			n.Close()
			t.Errorf("%+v was opened", c.cfg)
		} else if c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), ": ") {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
	if b, err := os.ReadDir(foreign); err != nil || len(b) != 1 {
		t.Errorf("the foreign directory was touched: %v, %v", b, err)
	}
}
