package strong

import (
	"context"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// touches is when sessions were heard of.
//
// Every interval a host sends the sessions touched there, with their ages, to all voters: one batch, whatever the number of
// sessions. What a majority of the voters has acknowledged is a renewal: whoever leads later must ask a majority before it
// expires anyone, and so meets at least one voter that knows. Ages instead of times make it independent of clocks; a
// receiver errs by the time on the way, to the session's favour.
type touches struct {
	// mu comes after the tree's lock: whoever holds it must not call the tree.
	mu sync.Mutex
	// fresh are the sessions touched here since the last batch. Guarded by mu.
	fresh map[tiers.SessionID]time.Time
	// renewed is the latest touch of a session hosted here that a majority has acknowledged. Guarded by mu.
	renewed map[tiers.SessionID]time.Time
	// heard is, at every member, the latest touch that it was told of. Guarded by mu.
	heard map[tiers.SessionID]time.Time
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
		since:   time.Now(),
		now:     make(chan struct{}, 1),
	}
}

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

func (s *touches) hearAll(batch []touched, now time.Time) {
	s.mu.Lock()
	for _, x := range batch {
		if at := now.Add(-time.Duration(x.Age) * time.Millisecond); at.After(s.heard[x.Session]) {
			s.heard[x.Session] = at
		}
	}
	s.mu.Unlock()
}

// lastHeard is the latest moment at which the session may have been heard, as far as this member knows.
func (s *touches) lastHeard(id tiers.SessionID) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
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
	own := t.origin()
	batch := t.touches.takeFresh(func(id tiers.SessionID) bool {
		info, status := t.tree.Session(id)
		return status == tree.SessionLive && info.Host == own
	})
	if len(batch) == 0 {
		return
	}
	now := time.Now()
	lines := make([]touched, 0, len(batch))
	for id, at := range batch {
		lines = append(lines, touched{Session: id, Age: ageMillis(now.Sub(at))})
	}
	if t.hears() {
		t.touches.hearAll(lines, now)
	}
	body, err := msgpack.Marshal(lines)
	if err != nil {
		t.log.Error("could not encode a batch of touches", "err", err)
		return
	}
	if err := t.majority(ctx, methodTouch, body, func(string, []byte) bool { return true }); err != nil {
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
	t.touches.mu.Lock()
	for id, at := range batch {
		if at.After(t.touches.renewed[id]) {
			t.touches.renewed[id] = at
		}
	}
	t.touches.mu.Unlock()
}

// Renewed is the latest touch of a session hosted here that a majority of the voters has heard: the cluster will not expire the
// session before Renewed plus its timeout. Zero when there is none yet.
func (t *Tier) Renewed(id tiers.SessionID) time.Time {
	t.touches.mu.Lock()
	defer t.touches.mu.Unlock()
	return t.touches.renewed[id]
}
