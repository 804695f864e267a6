package strong

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/internal/faults"
	"github.com/strata-coord/strata/internal/simdisk"
)

// planted is a known bug, the faults that bring it out, and what must find it.
type planted struct {
	name  string
	flaw  flaw
	found []string // the checks, one of which must find it: the beginnings of what they say
	trial trial
	first uint64 // seed; 0: 1
	seeds uint64 // within as many the bug is found
}

// every repeats steps, each of them at its time after the beginning of a period.
func every(period time.Duration, steps ...faults.Step) func(*rand.Rand) faults.Schedule {
	return func(*rand.Rand) faults.Schedule {
		s := faults.Schedule{Length: 4 * period}
		for at := time.Second; at < s.Length-period/2; at += period {
			for _, step := range steps {
				step.At += at
				s.Steps = append(s.Steps, step)
			}
		}
		return s
	}
}

func step(at, last time.Duration, f faults.Fault) faults.Step {
	return faults.Step{At: at, For: last, Fault: f}
}

// resets breaks the leader's streams many times, on a slow network.
func resets(n int) []faults.Step {
	steps := []faults.Step{step(0, 2500*ms, faults.Delay{Low: ms, High: 20 * ms})}
	for i := range n {
		steps = append(steps, step(time.Duration(100+i*110)*ms, 0, faults.Reset{Who: faults.Leader}))
	}
	return steps
}

// snapshotOften makes members that were away for seconds catch up by a snapshot.
func snapshotOften(c *Config) {
	tune := c.tune
	c.tune = func(rc *raft.Config) {
		tune(rc)
		rc.SnapshotInterval, rc.SnapshotThreshold, rc.TrailingLogs = 500*ms, 30, 5
	}
}

const ms = time.Millisecond

// brisk clients keep going, whatever happens.
var brisk = pace{60 * ms, 60 * ms}

// flawed are the planted bugs. The load is that of TestFaults.
var flawed = []planted{
	{
		name: "stale read after deposition", flaw: flawNoRound, found: []string{"real-time order", "stale or lost", "linearizability", "back in time"}, seeds: 20,
		trial: trial{pace: brisk, faults: every(8*time.Second,
			step(0, 3*time.Second, faults.DiskStall{Who: faults.Leader}), step(50*ms, 3*time.Second, faults.Partition{Shape: faults.Isolate}))},
	},
	{
		name: "read before the round's index is applied", flaw: flawNoWait, found: []string{"real-time order", "stale or lost", "back in time"}, seeds: 10,
		trial: trial{pace: brisk, faults: every(6*time.Second, step(0, 5*time.Second, faults.DiskSlow{Who: faults.Follower, By: 150 * ms}))},
	},
	{
		name: "acknowledged before commit", flaw: flawEarlyAck, found: []string{"real-time order", "stale or lost", "zxid reuse", "wrong stat", "linearizability", "session order", "out of nothing"}, seeds: 10,
		trial: trial{pace: brisk, faults: every(5*time.Second, step(0, time.Second, faults.Kill{}))},
	},
	{
		name: "double grant: expiry without a majority's word", flaw: flawExpireAlone, found: []string{"early expiry", "mutual exclusion"}, first: 15, seeds: 30,
		trial: trial{size: 5, pace: brisk, faults: every(16*time.Second,
			step(0, 15*time.Second, faults.Partition{Shape: faults.Deaf, Who: faults.Follower, Link: true}),
			step(7*time.Second, time.Second, faults.Kill{Who: faults.Leader}), step(9*time.Second, time.Second, faults.Kill{Who: faults.Leader}),
			step(11*time.Second, time.Second, faults.Kill{Who: faults.Leader}), step(13*time.Second, time.Second, faults.Kill{Who: faults.Leader}))},
	},
	{
		name: "early expiry at an election", flaw: flawLeaderHears, found: []string{"early expiry", "mutual exclusion"}, seeds: 20,
		trial: trial{pace: brisk, faults: every(9*time.Second, step(0, time.Second, faults.Kill{Who: faults.Leader}))},
	},
	{
		name: "sessions timed by the wall clock", flaw: flawWallClock, found: []string{"early expiry", "mutual exclusion"}, seeds: 10,
		trial: trial{pace: brisk, faults: every(9*time.Second, step(0, time.Second, faults.ClockJump{Who: faults.Leader, By: time.Minute}))},
	},
	{
		name: "sessions never expire", flaw: flawNeverExpire, found: []string{"late expiry"}, seeds: 10,
		trial: trial{pace: brisk, faults: every(5*time.Second, step(0, time.Second, faults.Kill{}))},
	},
	{
		name: "a read overtakes its session's write", flaw: flawOvertake, found: []string{"overtaken write"}, seeds: 10,
		trial: trial{pace: brisk, faults: every(5*time.Second, step(0, 4*time.Second, faults.Delay{Low: 5 * ms, High: 40 * ms}))},
	},
	{
		name: "a session's txns out of order", flaw: flawReorder, found: []string{"session order"}, seeds: 10,
		trial: trial{pace: brisk, faults: every(5*time.Second, step(0, time.Second, faults.Kill{}))},
	},
	{
		name: "a lost end of the log is accepted", flaw: flawShortLog,
		found: []string{"stale or lost", "real-time order", "zxid reuse", "the trees of", "linearizability", "lost or repeated write", "applied twice", "wrong stat", "out of nothing"}, seeds: 20,
		trial: trial{pace: brisk, faults: every(6*time.Second, step(0, time.Second, faults.Kill{All: true, Tail: simdisk.TailLost}))},
	},
	{
		name: "term and vote forgotten", flaw: flawForgetVote,
		found: []string{"stale or lost", "real-time order", "zxid reuse", "the trees of", "the members stay apart", "linearizability", "lost or repeated write", "applied twice", "out of nothing"}, seeds: 20,
		trial: trial{pace: brisk, faults: every(4*time.Second,
			step(0, 3*time.Second, faults.Partition{Shape: faults.Isolate}), step(300*ms, 500*ms, faults.Kill{Who: faults.Follower}), step(time.Second, 200*ms, faults.Kill{All: true}))},
	},
	{
		name: "a batch sent again is applied again", flaw: flawRepeat, found: []string{"lost or repeated write", "applied twice", "out of nothing"}, first: 24, seeds: 40,
		trial: trial{crowd: 8, pace: brisk, faults: every(4*time.Second,
			step(0, 2500*ms, faults.DiskStall{Who: faults.Leader}), step(3*time.Second, 500*ms, faults.Kill{Who: faults.Leader}))},
	},
	{
		name: "a gap is accepted", flaw: flawGap, found: []string{"stale or lost", "real-time order", "session order", "lost or repeated write", "zxid reuse", "token reuse", "linearizability", "wrong stat", "overtaken write", "out of nothing"}, seeds: 30,
		trial: trial{crowd: 12, pace: pace{20 * ms, 20 * ms}, tune: slowTimers, faults: every(3*time.Second, resets(20)...)},
	},
	{
		name: "ephemerals outlive their session", flaw: flawOrphan, found: []string{"late expiry", "does not serve"}, seeds: 10,
		trial: trial{pace: brisk, faults: every(12*time.Second, step(0, 10*time.Second, faults.Partition{Shape: faults.Isolate, Who: faults.Follower}))},
	},
	{
		name: "zxids begin again after a restore", flaw: flawForgetZxid, found: []string{"the members stay apart", "zxid reuse", "real-time order", "the trees of", "token"}, seeds: 10,
		trial: trial{pace: pace{20 * ms, 20 * ms}, faults: every(8*time.Second, step(6*time.Second, time.Second, faults.Kill{All: true}))},
	},
	{
		name: "lost watch: changes that came by a snapshot", flaw: flawRestoreEvent, found: []string{"lost watch", "late watch"}, seeds: 30,
		trial: trial{crowd: 8, pace: brisk, tune: snapshotOften, faults: every(7*time.Second, step(0, 4*time.Second, faults.Partition{Shape: faults.Isolate, Who: faults.Follower}))},
	},
	{
		name: "lost watch: the end of a session", flaw: flawSessionEvent, found: []string{"lost watch", "late watch"}, seeds: 10,
		trial: trial{pace: brisk, faults: every(12*time.Second, step(0, 10*time.Second, faults.Partition{Shape: faults.Isolate, Who: faults.Follower}))},
	},
	{
		name: "a snapshot mixed with later changes", flaw: flawLeakySnapshot, found: []string{"the trees of", "the members stay apart", "lost or repeated write"}, seeds: 20,
		trial: trial{pace: pace{20 * ms, 20 * ms}, bulk: 64, faults: every(16*time.Second,
			step(0, 12*time.Second, faults.DiskSlow{Who: "m1", By: 40 * ms}), step(13*time.Second, time.Second, faults.Kill{Who: "m1"}))},
	},
}

// TestPlanted shows that the kit bites: each planted bug is found by its checks, and without it the same seeds are clean.
func TestPlanted(t *testing.T) {
	for _, p := range flawed {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			first := max(p.first, 1)
			for seed := first; seed < first+p.seeds; seed++ {
				wrong := p.run(t, seed, p.flaw)
				if wrong == "" {
					continue
				}
				for _, name := range p.found {
					if strings.Contains(wrong, name) {
						t.Logf("seed %d, %v: %.200s", seed, time.Since(begun).Round(ms), firstLine(wrong))
						if clean := p.run(t, seed, flawNone); clean != "" {
							t.Errorf("without the flaw, seed %d: %s", seed, clean)
						}
						return
					}
				}
				t.Fatalf("seed %d found something else than %v: %s", seed, p.found, wrong)
			}
			t.Errorf("not found in %d seeds", p.seeds)
		})
	}
}

func firstLine(s string) string {
	first, _, _ := strings.Cut(s, "\n")
	return first
}

// run returns what was wrong.
func (p *planted) run(t *testing.T, seed uint64, f flaw) string {
	x := p.trial
	x.seed, x.size, x.rounds = seed, max(x.size, 3), 1
	tune := x.tune
	x.tune = func(c *Config) {
		if tune != nil {
			tune(c)
		}
		c.flaw = f
	}
	if f == flawShortLog {
		x.prepare = func(c *faultCluster) {
			for _, m := range c.members {
				m.disk.Set(simdisk.Faults{Lies: 300 * ms})
			}
		}
	}
	o := x.run(t)
	if len(o.wrong) == 0 {
		return ""
	}
	return fmt.Sprintf("%s\n%v", strings.Join(o.wrong, "\n"), o.report)
}
