package coord

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/strata-coord/strata/internal/simnet"
	"github.com/strata-coord/strata/tiers"
)

// A member gives everything back, and starts again, with its data.
func TestOpenCloseOpen(t *testing.T) {
	leak := goleak.IgnoreCurrent()
	dir := t.TempDir()
	for round := range 5 {
		n, err := Open(t.Context(), Config{Name: "one", Dir: dir, Bind: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		ready(t, n)
		s, err := n.NewSession(t.Context(), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		do(t, n.Tier(), s.ID(), create(fmt.Sprintf("/kept%d", round), tiers.Persistent))
		do(t, n.Tier(), s.ID(), create("/owned", tiers.Ephemeral)) // free again: its session ended with the member
		if err := errors.Join(n.Close(), n.Close()); err != nil {
			t.Fatal(err)
		}
		if cause := context.Cause(s.Context()); !errors.Is(cause, tiers.ErrClosed) {
			t.Errorf("the session of a closed member: %v", cause)
		}
		if _, err := n.NewSession(t.Context(), time.Second); !errors.Is(err, tiers.ErrClosed) {
			t.Errorf("a session of a closed member: %v", err)
		}
	}
	goleak.VerifyNone(t, leak)
}

// Whoever is refused, at whatever step, leaves nothing behind.
func TestNoLeakWhenRefused(t *testing.T) {
	one := openNode(t, Config{Name: "one", Dir: t.TempDir(), Bind: "127.0.0.1:0"})
	ready(t, one)
	leak := goleak.IgnoreCurrent()
	for _, cfg := range []Config{
		{Name: "one", Dir: t.TempDir(), Bind: "127.0.0.1:0", Join: []string{one.Addr().String()}},
		{Name: "two", Dir: t.TempDir(), Bind: one.Addr().String()},
		{Name: "two", Dir: one.cfg.Dir, Bind: "127.0.0.1:0"},
		{Name: "two", Dir: t.TempDir(), Bind: "127.0.0.1:0", Routes: []Route{{Prefix: "/a/", Tier: TierStrong}}},
	} {
		if n, err := Open(t.Context(), cfg); err == nil {
			n.Close()
			t.Errorf("opened: %+v", cfg)
		}
	}
	goleak.VerifyNone(t, leak)
}

func TestReadyErr(t *testing.T) {
	alone := openNode(t, Config{Name: "m0", Dir: t.TempDir(), Bind: "127.0.0.1:0", BootstrapExpect: 3})
	until(t, "it says what is missing", func() bool {
		return strings.Contains(fmt.Sprint(alone.ReadyErr()), "2 more of 3 voters")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := alone.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 more of 3 voters") {
		t.Errorf("%v", err)
	}
	if st := alone.Status(); st.Ready || st.Reason == "" {
		t.Errorf("%+v", st)
	}
	if _, err := alone.Session(t.Context()); !errors.Is(err, tiers.ErrUnavailable) {
		t.Errorf("a session: %v", err)
	}
	// A member that may not form a cluster waits for one.
	late := openNode(t, Config{Name: "late", Dir: t.TempDir(), Bind: "127.0.0.1:0", Join: []string{alone.Addr().String()}})
	if err := late.ReadyErr(); err == nil || !strings.Contains(err.Error(), "waiting") {
		t.Errorf("%v", err)
	}
}

// One's own address may be among those to join, also by another name of the host.
func TestJoinsItself(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err = errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	ready(t, openNode(t, Config{Name: "one", Dir: t.TempDir(), Bind: "127.0.0.1:" + port, Join: []string{"localhost:" + port, "127.0.0.1:" + port}}))
}

// The owner of a lock learns that it is lost before the others can have it.
func TestAHolderThatIsCutOffLetsGoFirst(t *testing.T) {
	network := simnet.New(1)
	var ns []*Node
	var join []string
	for i := range 3 {
		ip := fmt.Sprintf("10.0.0.%d", i+1)
		join = append(join, ip+":7400")
		ns = append(ns, openNode(t, Config{
			Name: "m" + fmt.Sprint(i), Dir: t.TempDir(), Bind: ip + ":7400", Join: join, BootstrapExpect: 3, Tick: 250 * time.Millisecond,
			Network: network.Host(ip),
		}))
	}
	ready(t, ns...)
	for _, holder := range []int{0, 1, 2} { // one of them leads
		s, err := ns[holder].NewSession(t.Context(), 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		path := "/held" + fmt.Sprint(holder)
		do(t, ns[holder].Tier(), s.ID(), create(path, tiers.Ephemeral))
		do(t, ns[holder].Tier(), s.ID(), create("/services/"+path[1:], tiers.Ephemeral))
		let := make(chan time.Time, 1)
		s.Go(func(ctx context.Context) {
			<-ctx.Done()
			let <- time.Now()
		})
		ip := func(i int) string { return fmt.Sprintf("10.0.0.%d", i%3+1) }
		other := (holder + 1) % 3
		cut := time.Now()
		network.Partition([]string{ip(holder)}, []string{ip(holder + 1), ip(holder + 2)})
		until(t, "the znode is gone", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := ns[other].Tier().Read(ctx, tiers.Query{Path: path})
			return errors.Is(err, tiers.ErrNoNode)
		})
		gone := time.Now()
		select {
		case at := <-let:
			if kept := at.Sub(cut); kept < time.Second {
				t.Errorf("the holder at %d let go after %v already", holder, kept)
			}
			t.Logf("the holder let go after %v, the znode was gone after %v", at.Sub(cut), gone.Sub(cut))
		default:
			t.Errorf("the znode is gone after %v, and the holder at %d still holds it", gone.Sub(cut), holder)
		}
		network.Heal()
		until(t, "the session is over at its host, too", func() bool {
			_, err := ns[holder].Tier().Read(t.Context(), tiers.Query{Path: path})
			return errors.Is(err, tiers.ErrNoNode)
		})
		ready(t, ns...)
	}
}
