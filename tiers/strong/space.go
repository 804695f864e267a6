package strong

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/tiers"
)

// space is how much room the members' disks have.
//
// A full disk would end all writes in ways that nobody chooses. So a part of each disk is kept back (Config.DiskReserve): while a majority of the
// voters, the leader among them, has not more than that, the leader lets no member take what clients write; reads, and what makes room or
// sets free (deletes, the ends of sessions, elections), go on. Each member tells the leader its room when it asks for a sign of life, and
// hears in the answer whether clients are refused, and why. A leader that is short of room itself gives its office to one that is not.
type space struct {
	reserve uint64        // Config.DiskReserve; 0: by the size of the disk
	again   chan struct{} // asks for a measurement now; capacity 1

	mu      sync.Mutex
	own     room                  // guarded by mu
	members map[string]roomReport // guarded by mu; what others told this member, most of it while it leads
	written uint64                // guarded by mu; bytes proposed here since the last measurement
	refusal string                // guarded by mu; why clients are refused, as the leader says it; empty: they are not
}

// room is one member's.
type room struct {
	_msgpack struct{} `msgpack:",as_array"`
	Member   string
	Free     uint64 // bytes
	Reserve  uint64 // bytes; 0: Free is not known
}

// short tells that there is no more than what is kept back.
func (r room) short() bool { return r.Free < r.Reserve }

// starved tells that even of what is kept back most is gone.
func (r room) starved() bool { return r.Free < r.Reserve/4 }

func (r room) String() string {
	return fmt.Sprintf("%s has %d MiB free and keeps %d MiB back", r.Member, r.Free>>20, r.Reserve>>20)
}

type roomReport struct {
	room
	at time.Time
}

const (
	defaultReserve = 64 << 20
	smallDiskPart  = 20 // of a disk where that is less, a twentieth
)

// measured notes the room of this member. When it was short, it must have a quarter more to be short no more.
func (s *space) measured(member string, free, total uint64) {
	reserve := s.reserve
	if reserve == 0 {
		reserve = min(defaultReserve, total/smallDiskPart)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own.short() {
		reserve += reserve / 4
	}
	s.own = room{Member: member, Free: free, Reserve: reserve}
	s.written = 0
}

// wrote notes that so many bytes go to the log: a good part of the reserve is not to be written between two measurements.
func (s *space) wrote(n int) {
	s.mu.Lock()
	s.written += uint64(n)
	due := s.own.Reserve > 0 && s.written > s.own.Reserve/8
	s.mu.Unlock()
	if due {
		select {
		case s.again <- struct{}{}:
		default:
		}
	}
}

// report is what the leader is told.
func (s *space) report() []byte {
	s.mu.Lock()
	own := s.own
	s.mu.Unlock()
	b, err := msgpack.Marshal(&own)
	if err != nil { // it can't be: there is nothing in it that fails
		return nil
	}
	return b
}

// hear notes the report of another member.
func (s *space) hear(body []byte) error {
	var r room
	if len(body) == 0 {
		return nil
	}
	if err := msgpack.Unmarshal(body, &r); err != nil {
		return fmt.Errorf("malformed report of room: %w", err)
	}
	s.mu.Lock()
	s.members[r.Member] = roomReport{r, time.Now()}
	s.mu.Unlock()
	return nil
}

// told notes the leader's word.
func (s *space) told(refusal string) {
	s.mu.Lock()
	s.refusal = refusal
	s.mu.Unlock()
}

// word is the refusal that holds: the last one that a leader said, also while there is none.
func (s *space) word() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusal
}

// judge finds, for a leader, why clients are refused. settled: it has led for long enough to have heard of
// all that live; before, what the last leader said holds unless those that were heard disprove it. roomier tells that it should
// rather not lead: its own disk is short, and not those of a majority.
func (s *space) judge(others []string, now time.Time, patience time.Duration, settled bool) (refusal string, roomier bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	enough, unheard, need, names := 0, 0, (len(others)+1)/2+1, ""
	short := s.own.short()
	if short {
		names = ", " + s.own.String()
	} else {
		enough++
	}
	for _, name := range others {
		r, known := s.members[name]
		switch {
		case known && now.Sub(r.at) < patience && !r.short():
			enough++
		case !known && !settled:
			unheard++
		case known && now.Sub(r.at) < patience:
			short = true
			names += ", " + r.String()
		case settled:
			names += ", " + name + " does not answer"
		}
	}
	roomier = s.own.short() && enough >= need
	switch {
	case s.refusal != "" && enough < need && enough+unheard >= need:
		return s.refusal, roomier
	case !short, enough+unheard >= need && !s.own.starved():
		return "", roomier
	}
	if roomier {
		return s.own.String() + ", and leads: another member takes over", true
	}
	return fmt.Sprintf("%d of %d voters have room on their disks, %d are needed (%s): make room there, deletes are taken", enough, len(others)+1, need, names[2:]), roomier
}

// watchSpace measures this member's room, and judges that of the cluster while this member leads.
func (t *Tier) watchSpace(ctx context.Context) {
	tick := time.NewTicker(t.cfg.Heartbeat)
	defer tick.Stop()
	var next time.Time  // not handed over before
	var hurry time.Time // since when another one should lead; zero: it need not
	var refusing string
	for {
		if err := t.disk.do(ofRoom, false, func(*flight) error {
			free, total, err := t.cfg.Space()
			if err == nil {
				t.space.measured(t.cfg.Name, free, total)
			}
			return err
		}); err != nil {
			t.log.Debug("the room on the disk is not known", "dir", t.cfg.Dir, "err", err)
		}
		now := time.Now()
		if t.leads() != 0 {
			others, _ := t.voters()
			settled := now.Sub(t.Figures().LeadsSince) > 10*t.cfg.Heartbeat
			refusal, roomier := t.space.judge(others, now, 10*t.cfg.Heartbeat, settled)
			t.space.told(refusal)
			switch {
			case !roomier:
				hurry = time.Time{}
			case hurry.IsZero():
				hurry = now
			}
			if waits := now.Sub(hurry); roomier && now.After(next) && (waits > 5*t.cfg.Heartbeat || waits > 2*t.cfg.Heartbeat && refusal != "") {
				next = now.Add(t.cfg.Patience)
				t.log.Warn("the disk is nearly full: another member shall lead", "dir", t.cfg.Dir)
				callCtx, cancel := context.WithTimeout(ctx, t.cfg.Patience)
				if err := t.Handover(callCtx); err != nil {
					t.log.Warn("no other member leads", "err", err)
				}
				cancel()
			}
		}
		switch word := t.space.word(); {
		case word != "" && refusing == "":
			t.log.Error("clients' writes are refused: disks are nearly full", "why", word)
			refusing = word
		case word == "" && refusing != "":
			t.log.Info("clients' writes are taken again")
			refusing = ""
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-t.space.again:
		}
	}
}

// noRoom says why txn is refused for want of room; nil if it isn't.
func (t *Tier) noRoom(txn *tiers.Txn) error {
	word := t.space.word()
	if word == "" {
		return nil
	}
	for i := range txn.Ops {
		if k := txn.Ops[i].Kind; k != tiers.OpDelete && k != tiers.OpCloseSession && k != tiers.OpCheck {
			return fmt.Errorf("%w: %w: %s", tiers.ErrUnavailable, tiers.ErrNoSpace, word)
		}
	}
	return nil
}

// shortOfRoom tells whether this member should not lead if another one can.
func (s *space) shortOfRoom() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own.short() {
		return s.own.String()
	}
	return ""
}
