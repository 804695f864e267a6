package e2e

import (
	"context"
	be "encoding/binary"
	"flag"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	bare "github.com/strata-coord/strata/e2e/wire"
	"github.com/strata-coord/strata/zkcompat/jute"
)

var pausedTrials = flag.Int("paused.trials", 12, "how often TestAPausedLeaderNeverShowsThePast pauses a leader")

// observer reads a znode at one member, and knows what each read has to show at least.
type observer struct {
	*bare.Conn
	work sync.WaitGroup

	mu    sync.Mutex
	stale []string // guarded by mu
	reads int      // guarded by mu
}

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

func observe(t *testing.T, m *member) *observer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := bare.Dial(ctx, dialTCP, m.zk, bare.Session{Timeout: 40 * time.Second})
	if err != nil {
		t.Fatalf("connect to %s: %v", m.name, err)
	}
	t.Cleanup(c.Close)
	return &observer{Conn: c}
}

// read sends a read that must show at least that number.
func (o *observer) read(path, when string, least uint64) {
	o.work.Add(1)
	op := jute.NodeOp{Op: jute.OpGetData, Path: path}
	o.Send(op.Op, op.Append(nil), func(r bare.Reply) {
		defer o.work.Done()
		o.mu.Lock()
		defer o.mu.Unlock()
		if !r.OK() { // refused, or the connection is lost: not the past
			return
		}
		o.reads++
		if data := jute.NewDecoder(r.Body).Buffer(); len(data) != 8 || be.BigEndian.Uint64(data) < least {
			o.stale = append(o.stale, fmt.Sprintf("%s: a read %s shows %x, and %d was acknowledged before it was sent", path, when, data, least))
		}
	})
}

// The leader is stopped, a write is acknowledged without it, and it goes on: with reads that arrived before, reads that waited in its
// socket, and reads that come now. None that was sent after the write was acknowledged shows the time before. With -paused.trials 1000, some minutes.
func TestAPausedLeaderNeverShowsThePast(t *testing.T) {
	t.Parallel()
	const path = "/clock"
	c := startCluster(t)
	observers := make(map[*member]*observer)
	for _, m := range c {
		observers[m] = observe(t, m)
	}
	do := func(o *observer, op jute.NodeOp) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for {
			r := o.Do(ctx, op)
			switch {
			case r.OK():
				return
			case r.Err == nil && r.Code == jute.CodeConnectionLoss: // no majority in time, on a busy machine; the same again harms nothing
			default:
				t.Fatalf("%d of %s: %v", op.Op, op.Path, r.String())
			}
		}
	}
	number := func(n uint64) []byte { return be.BigEndian.AppendUint64(nil, n) }
	acl := []jute.ACL{{Perms: 31, Scheme: jute.NullString{S: "world", Valid: true}, ID: "anyone"}}
	do(observers[c[0]], jute.NodeOp{Op: jute.OpCreate, Path: path, Data: number(0), ACL: acl})
	reads, begun := 0, time.Now()
	for n := uint64(1); n <= uint64(*pausedTrials); n++ {
		leader := c.leader(t)
		past, now := observers[leader], observers[c.without(leader)[n%2]]
		past.read(path, "before the pause", n-1)
		if err := leader.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			past.read(path, "into the pause", n-1)
		}
		do(now, jute.NodeOp{Op: jute.OpSetData, Path: path, Data: number(n), Version: -1})
		for range 16 {
			past.read(path, "that waited in the socket", n)
		}
		if err := leader.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		for range 16 {
			past.read(path, "after the pause", n)
			now.read(path, "at another member", n)
		}
		past.work.Wait()
		now.work.Wait()
		if past.Lost() != nil {
			again := observe(t, leader)
			again.reads, again.stale = past.reads, past.stale
			observers[leader] = again
		}
	}
	for _, o := range observers {
		reads += o.reads
		for _, s := range o.stale {
			t.Error(s)
		}
	}
	if want := *pausedTrials * 30; reads < want {
		t.Errorf("only %d reads were answered, of at least %d", reads, want)
	}
	t.Logf("%d pauses, %d reads, %v", *pausedTrials, reads, time.Since(begun).Round(time.Second))
}
