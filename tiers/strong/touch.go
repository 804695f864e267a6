package strong

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// touches is when sessions were heard of.
//
// Every interval a host sends the sessions touched there, with their ages, to all voters: one batch, whatever the number of
// sessions. What a majority of the voters has acknowledged in one term, that term's leader among them, is a renewal:
//
//   - Whoever leads a later term must ask a majority before it expires anyone, and so meets at least one voter that heard of the session
//     before it came to that term.
//   - The leader of the term itself has not decided to expire the session, or it would have refused: the entry of a decided expiry may be on
//     its way into the log for long. Entries of earlier leaders are settled when a leader has started its term.
//
// Ages instead of times make it independent of clocks; a receiver errs by the time on the way, to the session's favour.
type touches struct {
	// mu comes after the tree's lock: whoever holds it must not call the tree.
	mu sync.Mutex
	// fresh are the sessions touched here since the last batch. Guarded by mu.
	fresh map[tiers.SessionID]time.Time
	// renewed is the latest touch of a session hosted here that a majority has acknowledged. Guarded by mu.
	renewed map[tiers.SessionID]time.Time
	// heard is, at every member, the latest touch that it was told of. Guarded by mu.
	heard map[tiers.SessionID]time.Time
	// ending are the sessions that this member has decided to expire, and the last term in which that entry may be: undecided while it is on
	// its way. Guarded by mu.
	ending map[tiers.SessionID]uint64
	// since is when this member began to hear; nothing in heard is older, and who is absent may have been heard then.
	since time.Time
	// now asks for a batch before its time; capacity 1.
	now chan struct{}
}

func newTouches() *touches {
	return &touches{
		fresh:   make(map[tiers.SessionID]time.Time),
		renewed: make(map[tiers.SessionID]time.Time),
		heard:   make(map[tiers.SessionID]time.Time),
		ending:  make(map[tiers.SessionID]uint64),
		since:   time.Now(),
		now:     make(chan struct{}, 1),
	}
}

const undecided = math.MaxUint64

// touched is one session's line in a batch.
type touched struct {
	_msgpack struct{} `msgpack:",as_array"`
	Session  tiers.SessionID
	Age      int64 // milliseconds, rounded up
}

func ageMillis(d time.Duration) int64 {
	return int64((max(d, 0) + time.Millisecond - 1) / time.Millisecond)
}

// sendNow has the next batch sent at once.
func (s *touches) sendNow() {
	select {
	case s.now <- struct{}{}:
	default:
	}
}

func (s *touches) touch(id tiers.SessionID, at time.Time) {
	s.mu.Lock()
	s.fresh[id] = at
	s.mu.Unlock()
}

func (s *touches) hear(id tiers.SessionID, at time.Time) {
	s.mu.Lock()
	if at.After(s.heard[id]) {
		s.heard[id] = at
	}
	s.mu.Unlock()
}

// hearAll notes a batch, at the leader of a term or, with term 0, elsewhere. It returns the sessions that are not renewed by it, as this leader
// has decided to expire them.
func (s *touches) hearAll(batch []touched, now time.Time, term uint64) (refused []tiers.SessionID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range batch {
		if last, ending := s.ending[x.Session]; ending && last >= term && term > 0 {
			refused = append(refused, x.Session)
			continue
		}
		if at := now.Add(-time.Duration(x.Age) * time.Millisecond); at.After(s.heard[x.Session]) {
			s.heard[x.Session] = at
		}
	}
	return refused
}

// condemn decides to expire a session, unless it was heard within its timeout.
func (s *touches) condemn(id tiers.SessionID, timeout time.Duration, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.last(id)) <= timeout {
		return false
	}
	s.ending[id] = undecided
	return true
}

// decided says that the entry of these expiries was applied or is dropped, but for one in the log of that term or an earlier one; 0: there is none.
func (s *touches) decided(xs []tree.Expiry, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range xs {
		if _, ending := s.ending[x.Session]; ending && last > 0 {
			s.ending[x.Session] = last
		} else {
			delete(s.ending, x.Session)
		}
	}
}

// lastHeard is the latest moment at which the session may have been heard, as far as this member knows.
func (s *touches) lastHeard(id tiers.SessionID) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last(id)
}

// last is lastHeard for callers that hold mu.
func (s *touches) last(id tiers.SessionID) time.Time {
	if at, ok := s.heard[id]; ok {
		return at
	}
	return s.since
}

func (s *touches) forget(id tiers.SessionID) {
	s.mu.Lock()
	delete(s.fresh, id)
	delete(s.renewed, id)
	delete(s.heard, id)
	delete(s.ending, id)
	s.mu.Unlock()
}

// takeFresh takes the batch; of sessions that are not hosted here nothing is sent. hosted is called without the lock.
func (s *touches) takeFresh(hosted func(tiers.SessionID) bool) map[tiers.SessionID]time.Time {
	s.mu.Lock()
	batch := s.fresh
	s.fresh = make(map[tiers.SessionID]time.Time, len(batch))
	s.mu.Unlock()
	for id := range batch {
		if !hosted(id) {
			delete(batch, id)
		}
	}
	return batch
}

// sendTouches sends the batches until ctx ends.
func (t *Tier) sendTouches(ctx context.Context) {
	tick := time.NewTicker(t.cfg.TouchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-t.touches.now:
		}
		t.sendTouchBatch(ctx)
	}
}

func (t *Tier) sendTouchBatch(ctx context.Context) {
	origin := t.origin()
	batch := t.touches.takeFresh(func(id tiers.SessionID) bool {
		info, status := t.tree.Session(id)
		return status == tree.SessionLive && info.Host == origin
	})
	if len(batch) == 0 {
		return
	}
	now := time.Now()
	lines := make([]touched, 0, len(batch))
	for id, at := range batch {
		lines = append(lines, touched{Session: id, Age: ageMillis(now.Sub(at))})
	}
	own := t.noteTouches(lines, now)
	body, err := msgpack.Marshal(lines)
	if err != nil {
		t.log.Error("could not encode a batch of touches", "err", err)
		return
	}
	refused, err := t.renew(ctx, body, own)
	if err != nil {
		t.log.Debug("touches not heard by a majority", "sessions", len(lines), "err", err)
		// They were not renewed: they go again, with their true ages, unless touched since.
		t.touches.mu.Lock()
		for id, at := range batch {
			if _, again := t.touches.fresh[id]; !again {
				t.touches.fresh[id] = at
			}
		}
		t.touches.mu.Unlock()
		return
	}
	for _, id := range refused {
		delete(batch, id)
	}
	t.touches.mu.Lock()
	for id, at := range batch {
		if at.After(t.touches.renewed[id]) {
			t.touches.renewed[id] = at
		}
	}
	t.touches.mu.Unlock()
}

// touchReply answers a batch. The answerer is in that term; if it leads it, it has decided to expire the refused sessions.
type touchReply struct {
	_msgpack struct{} `msgpack:",as_array"`
	Term     uint64
	Leads    bool
	Refused  []tiers.SessionID
}

// noteTouches is what this member has to say about a batch.
func (t *Tier) noteTouches(batch []touched, now time.Time) touchReply {
	term := t.leads()
	var refused []tiers.SessionID
	if t.hears() {
		refused = t.touches.hearAll(batch, now, term)
	}
	// The leader of a later term asks a voter about sessions only after that has come to the term: so the term is read when all is noted.
	if term != 0 && t.leads() == term {
		return touchReply{Term: term, Leads: true, Refused: refused}
	}
	return touchReply{Term: t.raft.CurrentTerm()}
}

// renewal gathers the answers to a batch.
type renewal struct {
	need    int
	answers []touchReply
}

// add tells whether the sessions are renewed, but for the refused ones.
func (r *renewal) add(a touchReply) (refused []tiers.SessionID, ok bool) {
	r.answers = append(r.answers, a)
	for _, leader := range r.answers {
		if !leader.Leads {
			continue
		}
		same := 0
		for _, x := range r.answers {
			same += boolInt(x.Term == leader.Term)
		}
		if same >= r.need {
			return leader.Refused, true
		}
	}
	return nil, false
}

// renew sends a batch to the other voters. own is this member's answer.
func (t *Tier) renew(ctx context.Context, body []byte, own touchReply) (refused []tiers.SessionID, err error) {
	moved := t.lead.changed()
	voters, self := t.voters()
	r := &renewal{need: (len(voters)+boolInt(self))/2 + 1}
	if self {
		if refused, ok := r.add(own); ok {
			return refused, nil
		}
	}
	type reply struct {
		body []byte
		err  error
	}
	replies := make(chan reply, len(voters))
	for _, v := range voters {
		t.peers.get(v).Go(methodTouch, body, func(b []byte, err error) { replies <- reply{b, err} })
	}
	timeout := time.NewTimer(10 * t.cfg.Heartbeat)
	defer timeout.Stop()
	var last error
	for range voters {
		select {
		case x := <-replies:
			var a touchReply
			if x.err == nil {
				x.err = msgpack.Unmarshal(x.body, &a)
			}
			if x.err != nil {
				last = x.err
				continue
			}
			if refused, ok := r.add(a); ok {
				return refused, nil
			}
			if len(r.answers) == r.need {
				timeout.Reset(t.cfg.Heartbeat) // the others have heard; the leader is not waited for long, as the next batch waits behind this one
			}
		case <-moved:
			return nil, errMoved
		case <-timeout.C:
			return nil, fmt.Errorf("no leader and majority of one term answered in time: %w", errors.Join(errNoLeader, last))
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, fmt.Errorf("no leader and majority of one term: %w", errors.Join(errNoLeader, last))
}

// Renewed is the latest touch of a session hosted here that the leader and a majority of the voters have heard: the cluster will not expire the
// session before Renewed plus its timeout. Zero when there is none yet.
func (t *Tier) Renewed(id tiers.SessionID) time.Time {
	t.touches.mu.Lock()
	defer t.touches.mu.Unlock()
	return t.touches.renewed[id]
}
