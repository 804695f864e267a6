package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strata-coord/strata/zkcompat/jute"
)

// wire is a client that does what no library does.
type wire struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

// dial opens a session at m.
func dial(t *testing.T, m *member) *wire {
	t.Helper()
	nc, err := net.Dial("tcp", m.zk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	w := &wire{t: t, nc: nc, r: bufio.NewReaderSize(nc, 1<<20)}
	q := jute.ConnectRequest{Timeout: 20000, Password: make([]byte, 16)}
	if _, err := nc.Write(frame(nil, q.Append(nil))); err != nil {
		t.Fatal(err)
	}
	w.body()
	return w
}

// frame appends a frame.
func frame(b, body []byte) []byte { return append(jute.AppendInt(b, int32(len(body))), body...) }

// request appends the frame of a request.
func request(b []byte, xid int32, op jute.Opcode, record []byte) []byte {
	h := jute.RequestHeader{Xid: xid, Op: op}
	return frame(b, append(h.Append(nil), record...))
}

// body reads a frame, valid until the next.
func (w *wire) body() []byte {
	w.t.Helper()
	if err := w.nc.SetReadDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(w.r, head); err != nil {
		w.t.Fatalf("reading a frame: %v", err)
	}
	b := make([]byte, jute.NewDecoder(head).Int())
	if _, err := io.ReadFull(w.r, b); err != nil {
		w.t.Fatalf("reading a frame: %v", err)
	}
	return b
}

// reply reads the header of a reply or an event.
func (w *wire) reply() (h jute.ReplyHeader) {
	w.t.Helper()
	if err := h.Decode(jute.NewDecoder(w.body())); err != nil {
		w.t.Fatal(err)
	}
	return h
}

// resident is the memory of a member's process in bytes.
func (m *member) resident(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// One client asks a million times before it reads anything: the member's memory stays as it was, others are served, and once it reads, every
// answer is there, in order.
func TestAMillionRequestsAtOnce(t *testing.T) {
	const requests = 1_000_000
	m := newMember(t, "one", "--bind", "127.0.0.1:0")
	m.start(t)
	m.waitReady(t)
	greedy, other := dial(t, m), connect(t, 10*time.Second, m)
	before := m.resident(t)
	q := jute.NodeOp{Op: jute.OpGetData, Path: "/zookeeper/quota"}
	record := q.Append(nil)
	var written atomic.Int64
	failed := make(chan error, 1)
	go func() {
		var b []byte
		for xid := int32(1); xid <= requests; xid++ {
			if b = request(b, xid, q.Op, record); len(b) > 256<<10 || xid == requests {
				if _, err := greedy.nc.Write(b); err != nil {
					failed <- err
					return
				}
				written.Add(int64(len(b)))
				b = b[:0]
			}
		}
		failed <- nil
	}()
	// When the other client has been answered so often without a byte more having been taken, nothing more is taken.
	for last, quiet := int64(-1), 0; quiet < 200; quiet++ {
		if _, _, err := other.Exists("/"); err != nil {
			t.Fatalf("another client: %v", err)
		}
		if n := written.Load(); n != last {
			last, quiet = n, 0
		}
	}
	taken := written.Load()
	if grown := m.resident(t) - before; grown > 64<<20 {
		t.Errorf("the member has grown by %d MiB for a client that does not read", grown>>20)
	}
	begin := time.Now()
	for xid := int32(1); xid <= requests; xid++ {
		if h := greedy.reply(); h.Xid != xid || h.Code != 0 {
			t.Fatalf("reply to %d with code %d, want %d", h.Xid, h.Code, xid)
		}
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes of requests were taken while nothing was read; then %d replies in %v; resident %d MiB, before %d MiB",
		taken, requests, time.Since(begin).Round(time.Millisecond), m.resident(t)>>20, before>>20)
}

// A client comes back with 100,000 watches in one request, and none is lost.
func TestAHundredThousandWatchesOfOneClient(t *testing.T) {
	const watches, batch = 100_000, 1000
	m := newMember(t, "one", "--bind", "127.0.0.1:0")
	m.start(t)
	m.waitReady(t)
	before := m.resident(t)
	watcher, writer := dial(t, m), dial(t, m)
	q := jute.SetWatches{Since: 1 << 40, Data: []string{}, Exist: make([]string, watches), Children: []string{}}
	for i := range q.Exist {
		q.Exist[i] = fmt.Sprintf("/watched-%06d", i)
	}
	begin := time.Now()
	if _, err := watcher.nc.Write(request(nil, -8, jute.OpSetWatches, q.Append(nil, false))); err != nil {
		t.Fatal(err)
	}
	if h := watcher.reply(); h.Xid != -8 || h.Code != 0 {
		t.Fatalf("setWatches: %+v", h)
	}
	armed := time.Since(begin)
	grown := m.resident(t) - before
	begin = time.Now()
	go func() {
		open := []jute.ACL{{Perms: 31, Scheme: jute.NullString{S: "world", Valid: true}, ID: "anyone"}}
		for i := 0; i < watches; i += batch {
			var record []byte
			for _, path := range q.Exist[i : i+batch] {
				part, c := jute.MultiHeader{Op: jute.OpCreate, Code: -1}, jute.NodeOp{Op: jute.OpCreate, Path: path, ACL: open}
				record = append(part.Append(record), c.Append(nil)...)
			}
			if _, err := writer.nc.Write(request(nil, int32(i+1), jute.OpMulti, jute.MultiEnd.Append(record))); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	seen := make(map[string]bool, watches)
	for len(seen) < watches {
		d := jute.NewDecoder(watcher.body())
		var h jute.ReplyHeader
		var e jute.WatcherEvent
		if h.Decode(d) != nil || e.Decode(d) != nil || h.Xid != jute.XidEvent || e.Type != 1 || seen[e.Path] {
			t.Fatalf("%+v %+v, after %d events", h, e, len(seen))
		}
		seen[e.Path] = true
	}
	told := time.Since(begin)
	for i := 0; i < watches; i += batch {
		if h := writer.reply(); h.Xid != int32(i+1) || h.Code != 0 {
			t.Fatalf("multi %d: %+v", i, h)
		}
	}
	t.Logf("%d watches armed in %v with %d MiB, all told in %v of %d creates", watches, armed.Round(time.Millisecond), grown>>20, told.Round(time.Millisecond), watches)
}
