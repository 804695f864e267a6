package strong

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	"github.com/vmihailenco/msgpack/v5"
)

// Raft's own timers wait for a silence that must be long enough never to be an accident, and then draw lots. Here who finds the
// leader gone (detector.go) canvasses the other voters; when a majority, itself included, finds so too, the one of them with the
// most complete log stands for election at once. The canvass is a pre-vote that also names the candidate: a member that is
// alone in not hearing the leader deposes nobody, and two rarely stand at a time. The election itself is raft's: the candidate
// gets the message with which a leader hands over. That message is safe at any time; it makes a member stand, never win.
// Raft's timers, at 5/2 of Heartbeat, stay behind as the second line.

// canvassed is a voter's answer.
type canvassed struct {
	_msgpack  struct{} `msgpack:",as_array"`
	Term      uint64
	Gone      bool // it finds the leader gone as well
	Stands    bool // it is a candidate already
	Unfit     bool // its disk is in trouble
	LastTerm  uint64
	LastIndex uint64
}

// ahead orders by raft's rule of the more complete log; the name decides between equals, so that all choose the same one.
func ahead(a canvassed, aName string, b canvassed, bName string) bool {
	switch {
	case a.LastTerm != b.LastTerm:
		return a.LastTerm > b.LastTerm
	case a.LastIndex != b.LastIndex:
		return a.LastIndex > b.LastIndex
	}
	return aName < bName
}

// succeed watches over the leader until ctx ends.
func (t *Tier) succeed(ctx context.Context) {
	tick := time.NewTicker(t.detector.every)
	defer tick.Stop()
	var busy atomic.Bool // a canvass is under way
	var next time.Time   // no canvass before
	var failed int
	outcome := make(chan bool, 1)
	broken := make(chan struct{}, 1) // the call that the leader holds has ended
	var held epoch                   // whose call that is
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			held = t.holdOn(held, broken)
		case <-broken:
			held = epoch{} // and another one at the next tick: it may end at once
		}
		select {
		case elected := <-outcome:
			failed++
			wait := t.cfg.Heartbeat / 4 << min(failed, 4)
			if elected {
				failed, wait = 0, t.electionTime()
			}
			next = time.Now().Add(wait)
		default:
		}
		t.lookAtLeader()
		t.stretchTimers()
		now := time.Now()
		if t.raft.State() != raft.Follower || now.Before(next) || busy.Load() || t.disk.unfit() != nil {
			continue
		}
		gone, why := t.detector.gone(now)
		if !gone {
			failed = 0
			continue
		}
		others, self := t.voters()
		if !self {
			continue
		}
		busy.Store(true)
		t.work.Go(func() {
			defer busy.Store(false)
			elected, err := t.canvass(ctx, others, why)
			if err != nil {
				t.log.Debug("no election", "leader", t.epoch().leader, "why", why, "err", err)
			}
			select {
			case outcome <- elected:
			case <-ctx.Done(): // nobody takes it any more
			}
		})
	}
}

// electionTime is about what an election takes: who has called for one lets it happen.
func (t *Tier) electionTime() time.Duration {
	_, rtt := t.detector.figures()
	return min(max(t.cfg.Heartbeat/2, 5*rtt), t.cfg.MaxHeartbeat)
}

// stretchTimers keeps raft's own timers, the second line, behind the detector's bound. The longer there is no leader the longer they get, up
// to MaxHeartbeat: where an election takes longer than its timeout, as disks or processors are slow, the next one would only begin it again.
func (t *Tier) stretchTimers() {
	bound, _ := t.detector.figures()
	want := max(t.cfg.Heartbeat*5/2, bound*5/3, min(t.detector.leaderless(time.Now())/2, t.cfg.MaxHeartbeat))
	rc := t.raft.ReloadableConfig()
	if want > rc.HeartbeatTimeout || want < rc.HeartbeatTimeout*3/4 {
		rc.HeartbeatTimeout, rc.ElectionTimeout = want, want
		if err := t.raft.ReloadConfig(rc); err != nil {
			t.log.Warn("raft keeps its timers", "timeout", want, "err", err)
		}
	}
}

// lookAtLeader lets the detector tick, and asks the leader if it wants to know.
func (t *Tier) lookAtLeader() {
	e, sent := t.epoch(), time.Now()
	if t.raft.State() == raft.Leader || e.leader == t.cfg.Name {
		e = epoch{t.cfg.Name, e.term}
		t.detector.tick(e, sent)
		t.detector.answered(e, sent, sent, true, false, nil)
		return
	}
	if !t.detector.tick(e, sent) {
		return
	}
	t.askLeader(e, sent, func() {})
}

func (t *Tier) askLeader(e epoch, sent time.Time, then func()) {
	t.peers.get(e.leader).Go(methodLeads, t.space.report(), func(b []byte, err error) {
		leads := len(b) >= 8 && binary.BigEndian.Uint64(b) == e.term
		if leads {
			t.space.told(string(b[8:]))
		}
		t.detector.answered(e, sent, time.Now(), leads, errors.Is(err, syscall.ECONNREFUSED), err)
		then()
	})
}

// holdOn leaves a call with the leader that is not answered while it leads: its end is the fastest sign that there is something to look at.
func (t *Tier) holdOn(held epoch, broken chan<- struct{}) epoch {
	e := t.epoch()
	if e == held || e.leader == "" || e.leader == t.cfg.Name {
		return held
	}
	t.peers.get(e.leader).Go(methodHold, nil, func([]byte, error) {
		if e == t.epoch() {
			select {
			case broken <- struct{}{}:
			default:
			}
		}
	})
	return e
}

// holdLimit bounds how long a call is held, so that none is held for ever for somebody who is gone.
const holdLimit = 10 * time.Second

// handleHold answers holdOn: when this member does not lead any more.
func (t *Tier) handleHold(ctx context.Context) {
	limit := time.NewTimer(holdLimit)
	defer limit.Stop()
	for {
		moved := t.lead.changed()
		if t.raft.State() != raft.Leader {
			return
		}
		select {
		case <-moved:
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// handleLeads answers askLeader: the term in which this member leads and could serve, or 0; and why clients are refused for want of room.
func (t *Tier) handleLeads(report []byte) ([]byte, error) {
	if err := t.space.hear(report); err != nil {
		return nil, err
	}
	var term uint64
	if t.raft.State() == raft.Leader {
		term = t.raft.CurrentTerm()
	}
	return append(binary.BigEndian.AppendUint64(nil, term), t.space.word()...), nil
}

// canvass asks the other voters but the leader, and has the best one stand when a majority finds the leader gone.
func (t *Tier) canvass(ctx context.Context, others []string, why string) (elected bool, err error) {
	e := t.epoch()
	mine := t.view(true)
	type answer struct {
		from string
		canvassed
		err error
	}
	answers := make(chan answer, len(others))
	asked, have, need := 0, 1, (len(others)+1)/2+1
	for _, v := range others {
		if v == e.leader {
			continue
		}
		asked++
		t.peers.get(v).Go(methodCanvass, nil, func(b []byte, err error) {
			a := answer{from: v, err: err}
			if err == nil {
				a.err = msgpack.Unmarshal(b, &a.canvassed)
			}
			answers <- a
		})
	}
	best, who := mine, t.cfg.Name
	late := time.NewTimer(t.electionTime())
	defer late.Stop()
	var last error
	for range asked {
		select {
		case a := <-answers:
			switch {
			case a.err != nil:
				last = fmt.Errorf("%s: %w", a.from, a.err)
			case a.Term > mine.Term:
				return false, fmt.Errorf("%s is in term %d already", a.from, a.Term)
			case a.Stands:
				return true, fmt.Errorf("%s stands already", a.from)
			case !a.Gone:
				last = fmt.Errorf("%s hears the leader", a.from)
			default:
				if have++; have == need { // the others may know of a better one, but not for long
					late.Reset(t.electionTime() / 8)
				}
				if !a.Unfit && ahead(a.canvassed, a.from, best, who) {
					best, who = a.canvassed, a.from
				}
			}
		case <-late.C:
			asked = 0
			last = errors.New("the others do not answer")
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
		if asked == 0 {
			break
		}
	}
	if have < need {
		return false, fmt.Errorf("%d of %d voters agree, %d are needed: %w", have, len(others)+1, need, last)
	}
	t.log.Info("calls for an election", "leader", e.leader, "term", e.term, "why", why, "agree", have, "voters", len(others)+1, "candidate", who)
	if who == t.cfg.Name {
		return true, t.stand(ctx, mine.Term)
	}
	callCtx, cancel := context.WithTimeout(ctx, t.electionTime())
	defer cancel()
	_, err = t.peers.get(who).Call(callCtx, methodStand, binary.BigEndian.AppendUint64(nil, best.Term))
	return err == nil, err
}

// view is what this member has to say in a canvass.
func (t *Tier) view(gone bool) canvassed {
	state := t.raft.State()
	c := canvassed{Term: t.raft.CurrentTerm(), Gone: gone && state != raft.Leader, Stands: state == raft.Candidate, Unfit: t.disk.unfit() != nil, LastIndex: t.raft.LastIndex()}
	c.LastTerm, _ = strconv.ParseUint(t.raft.Stats()["last_log_term"], 10, 64)
	return c
}

// handleCanvass answers with this member's own judgement. It asks the leader first: what the asker knows may be seen from here now.
func (t *Tier) handleCanvass(ctx context.Context) ([]byte, error) {
	gone, _ := t.detector.gone(time.Now())
	if e := t.epoch(); !gone && e.leader != "" && e.leader != t.cfg.Name && t.detector.tick(e, time.Now()) {
		seen := make(chan struct{})
		t.askLeader(e, time.Now(), func() { close(seen) })
		patience := time.NewTimer(t.electionTime() / 4)
		defer patience.Stop()
		select {
		case <-seen:
		case <-patience.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		gone, _ = t.detector.gone(time.Now())
	}
	b, err := msgpack.Marshal(t.view(gone))
	if err != nil {
		return nil, fmt.Errorf("strong: encode the answer to a canvass: %w", err)
	}
	return b, nil
}

// handleStand is for the candidate whom another's canvass has found.
func (t *Tier) handleStand(ctx context.Context, body []byte) error {
	if len(body) != 8 {
		return errors.New("malformed call to stand for election")
	}
	if _, self := t.voters(); !self {
		return errors.New("no voter")
	}
	if err := t.disk.unfit(); err != nil {
		return err
	}
	return t.stand(ctx, binary.BigEndian.Uint64(body))
}

// stand makes raft stand for election, if that term still is this member's and it follows.
func (t *Tier) stand(ctx context.Context, term uint64) error {
	if t.raft.State() != raft.Follower || t.raft.CurrentTerm() != term {
		return nil
	}
	answered := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{RespChan: answered, Command: &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}}
	select {
	case t.transport.injected <- rpc:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.transport.closed:
		return errClosed
	}
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.transport.closed:
		return errClosed
	}
}
