package faults

import (
	"sync"
	"time"
)

// Clock is a member's wall clock, which can jump and drift. Timers are not its business: they are monotonic. Its methods may be called concurrently.
type Clock struct {
	mu     sync.Mutex
	offset time.Duration // guarded by mu; what the clock was ahead at since
	drift  float64       // guarded by mu; seconds gained in each
	since  time.Time     // guarded by mu
}

// NewClock is a clock that is right.
func NewClock() *Clock { return &Clock{since: time.Now()} }

// Now is what the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead())
}

// ahead is by how much the clock is wrong. Callers hold mu.
func (c *Clock) ahead() time.Duration {
	return c.offset + time.Duration(float64(time.Since(c.since))*c.drift)
}

// Jump moves the clock, back too.
func (c *Clock) Jump(by time.Duration) {
	c.mu.Lock()
	c.offset += by
	c.mu.Unlock()
}

// Drift makes the clock gain that many seconds in each from now on; negative: lose.
func (c *Clock) Drift(rate float64) {
	c.mu.Lock()
	c.offset, c.since, c.drift = c.ahead(), time.Now(), rate
	c.mu.Unlock()
}

// Correct makes the clock right again.
func (c *Clock) Correct() {
	c.mu.Lock()
	c.offset, c.since, c.drift = 0, time.Now(), 0
	c.mu.Unlock()
}
