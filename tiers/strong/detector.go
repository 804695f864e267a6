package strong

import (
	"sync"
	"time"
)

// detector tells whether the leader that this member follows is gone. It only judges: what follows from it is in succession.go.
//
// The leader is asked, every Heartbeat/4 and when the connection to it breaks, whether it leads. It is gone when it says no, when its address refuses connections
// (its process has ended), and when it has been silent for longer than a bound that adapts: 3/2 of Heartbeat, or 4 times
// the longest round trip of the last half minute, at most MaxHeartbeat. Time in which this process did not run does not count:
// it could not hear. A member without a leader finds it gone after a third of the bound.
type detector struct {
	every   time.Duration // between two ticks
	low     time.Duration // the bounds of the bound
	high    time.Duration
	mu      sync.Mutex
	watched epoch            // guarded by mu, as all below
	heard   time.Time        // when the last question was sent that was answered with a yes, or the watch began
	deaf    time.Time        // when this process last went on after a pause
	lost    time.Time        // since when there is no leader, through all terms without one; zero: there is one
	verdict string           // why the leader is gone before its silence says so; "" for not
	open    int              // questions without an answer
	ticked  time.Time        // the last tick
	rtts    [2]time.Duration // the longest of this quarter minute and of the one before
	quarter time.Time        // when rtts[0] began
}

const quarterMinute = 15 * time.Second

// maxOpen bounds the questions that wait for an answer.
const maxOpen = 64

func newDetector(heartbeat, high time.Duration, now time.Time) *detector {
	return &detector{every: heartbeat / 4, low: heartbeat * 3 / 2, high: high, heard: now, ticked: now, quarter: now}
}

// tick is to be called every d.every, and may be oftener, with what this member follows. ask tells to ask the leader once more.
func (d *detector) tick(e epoch, now time.Time) (ask bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if deaf := now.Sub(d.ticked) - d.every; deaf > d.every {
		d.heard, d.deaf = d.heard.Add(deaf), now
	}
	d.ticked = now
	if e != d.watched {
		switch {
		case e.leader != "":
			d.lost = time.Time{}
		case d.watched.leader != "" || d.lost.IsZero():
			d.lost = now
		}
		d.watched, d.heard, d.verdict = e, now, ""
	}
	if now.Sub(d.quarter) > quarterMinute {
		d.rtts, d.quarter = [2]time.Duration{0, d.rtts[0]}, now
	}
	if e.leader == "" || d.open >= maxOpen {
		return false
	}
	d.open++
	return true
}

// answered notes how a question about e, sent at that time, ended. dead: the leader's address refused the connection. An err that is not dead
// says nothing.
func (d *detector) answered(e epoch, sent, now time.Time, leads, dead bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	if e != d.watched {
		return // also its round trip says nothing: it may have hung until now
	}
	if err == nil && sent.After(d.deaf) && now.Sub(d.ticked) <= 2*d.every { // else this process was paused meanwhile
		d.rtts[0] = max(d.rtts[0], now.Sub(sent))
	}
	switch {
	case dead:
		d.verdict = "refuses connections"
	case err == nil && !leads:
		d.verdict = "says that it does not lead"
	case err == nil:
		d.verdict = ""
		if sent.After(d.heard) {
			d.heard = sent
		}
	}
}

// gone is the judgement now, with the reason in words for the log.
func (d *detector) gone(now time.Time) (gone bool, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	silence := now.Sub(d.heard)
	switch {
	case d.watched.leader == "":
		return silence > d.bound()/3, "there is no leader"
	case d.verdict != "":
		return true, d.verdict
	default:
		return silence > d.bound(), "has been silent for " + silence.Round(time.Millisecond).String()
	}
}

// bound is for callers that hold mu.
func (d *detector) bound() time.Duration { return min(max(d.low, 4*d.longest()), d.high) }

func (d *detector) longest() time.Duration { return max(d.rtts[0], d.rtts[1]) }

// leaderless is for how long there has been no leader, as far as this member knows; 0 when there is one.
func (d *detector) leaderless(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.watched.leader != "" || d.lost.IsZero() {
		return 0
	}
	return now.Sub(d.lost)
}

// figures are the bound on silence and the longest round trip of the last half minute.
func (d *detector) figures() (bound, rtt time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bound(), d.longest()
}
