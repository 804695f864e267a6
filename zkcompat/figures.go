package zkcompat

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/strata-coord/strata/zkcompat/jute"
)

// figures are one connection's, for the word cons. output.mu guards them.
type figures struct {
	received, sent uint64
	lastOp         jute.Opcode
	lastXid        int32
	lastZxid       int64
	lastReply      time.Time
	latency        latency
}

// reply counts a reply on its way to the socket.
func (f *figures) reply(s *slot) {
	f.lastReply = time.Now()
	f.latency.add(f.lastReply.Sub(s.at))
	f.lastOp, f.lastXid = s.op, s.xid
}

// latency sums up durations.
type latency struct {
	last, min, max, sum time.Duration
	count               int64
}

func (l *latency) add(d time.Duration) {
	if l.count == 0 || d < l.min {
		l.min = d
	}
	l.last, l.max, l.sum = d, max(l.max, d), l.sum+d
	l.count++
}

func (l *latency) avg() time.Duration {
	if l.count == 0 {
		return 0
	}
	return l.sum / time.Duration(l.count)
}

// totals are the server's figures.
type totals struct {
	received, sent atomic.Uint64
	outstanding    atomic.Int64
	authFailures   atomic.Uint64
	handshakes     atomic.Int64 // of TLS, under way

	latency, reads, updates    meter        // of all requests but pings, and of the two kinds of them
	lastSize, minSize, maxSize atomic.Int64 // of replies, bytes; -1 before the first
}

// meter sums up durations; it may be used by many at once.
type meter struct {
	count, sum, min, max atomic.Int64 // ns; min is math.MaxInt64 before the first
}

func (m *meter) reset() {
	m.count.Store(0)
	m.sum.Store(0)
	m.min.Store(math.MaxInt64)
	m.max.Store(0)
}

func (m *meter) add(d time.Duration) {
	m.count.Add(1)
	m.sum.Add(int64(d))
	lower(&m.min, int64(d))
	raise(&m.max, int64(d))
}

// Measure sums up what was measured.
type Measure struct {
	Count         int64
	Sum, Min, Max time.Duration
}

func (m Measure) avg() time.Duration {
	if m.Count == 0 {
		return 0
	}
	return m.Sum / time.Duration(m.Count)
}

func (m *meter) measure() Measure {
	x := Measure{Count: m.count.Load(), Sum: time.Duration(m.sum.Load()), Max: time.Duration(m.max.Load())}
	if x.Count > 0 {
		x.Min = time.Duration(m.min.Load())
	}
	return x
}

// byKind is how long requests take, from reading one to handing its reply to the socket, by what they do.
func (t *totals) byKind() (reads, updates Measure) { return t.reads.measure(), t.updates.measure() }

func newTotals() *totals {
	t := new(totals)
	t.reset()
	return t
}

// reset begins again, but for what is outstanding.
func (t *totals) reset() {
	t.received.Store(0)
	t.sent.Store(0)
	t.authFailures.Store(0)
	t.latency.reset()
	t.reads.reset()
	t.updates.reset()
	t.lastSize.Store(-1)
	t.minSize.Store(-1)
	t.maxSize.Store(-1)
}

// reply counts a reply of that length.
func (t *totals) reply(op jute.Opcode, d time.Duration, size int) {
	t.latency.add(d)
	if op.Writes() {
		t.updates.add(d)
	} else {
		t.reads.add(d)
	}
	t.lastSize.Store(int64(size))
	raise(&t.maxSize, int64(size))
	if t.minSize.Load() >= 0 || !t.minSize.CompareAndSwap(-1, int64(size)) {
		lower(&t.minSize, int64(size))
	}
}

func lower(a *atomic.Int64, v int64) {
	for old := a.Load(); v < old && !a.CompareAndSwap(old, v); old = a.Load() {
	}
}

func raise(a *atomic.Int64, v int64) {
	for old := a.Load(); v > old && !a.CompareAndSwap(old, v); old = a.Load() {
	}
}

// Stats are a server's figures.
type Stats struct {
	Connections int    // open now
	Outstanding int    // requests without an answer yet
	Received    uint64 // requests, since the start or the last srst
	Sent        uint64 // replies and events, likewise

	// From reading a request to handing its reply to the socket, likewise. Pings are not counted.
	MinLatency, AvgLatency, MaxLatency time.Duration
}

func (t *totals) stats() Stats {
	l := t.latency.measure()
	return Stats{
		Outstanding: int(t.outstanding.Load()), Received: t.received.Load(), Sent: t.sent.Load(),
		MinLatency: l.Min, AvgLatency: l.avg(), MaxLatency: l.Max,
	}
}
