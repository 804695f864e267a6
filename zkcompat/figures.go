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

	latencySum, latencyCount atomic.Int64 // ns
	latencyMin, latencyMax   atomic.Int64 // ns; the least is math.MaxInt64 before the first
	lastSize, minSize        atomic.Int64 // of replies, bytes; -1 before the first
	maxSize                  atomic.Int64
}

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
	t.latencySum.Store(0)
	t.latencyCount.Store(0)
	t.latencyMin.Store(math.MaxInt64)
	t.latencyMax.Store(0)
	t.lastSize.Store(-1)
	t.minSize.Store(-1)
	t.maxSize.Store(-1)
}

// reply counts a reply of that length.
func (t *totals) reply(d time.Duration, size int) {
	t.latencySum.Add(int64(d))
	t.latencyCount.Add(1)
	lower(&t.latencyMin, int64(d))
	raise(&t.latencyMax, int64(d))
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
	s := Stats{
		Outstanding: int(t.outstanding.Load()), Received: t.received.Load(), Sent: t.sent.Load(), MaxLatency: time.Duration(t.latencyMax.Load()),
	}
	if n := t.latencyCount.Load(); n > 0 {
		s.MinLatency = time.Duration(t.latencyMin.Load())
		s.AvgLatency = time.Duration(t.latencySum.Load() / n)
	}
	return s
}
