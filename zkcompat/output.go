package zkcompat

import (
	"sync"

	"github.com/strata-coord/strata/tiers"
)

// What a connection may have waiting, so that a client that sends without reading costs a bounded amount of memory.
const (
	maxSlots      = 1000    // requests without a sent reply; the reader waits beyond
	maxCost       = 4 << 20 // bytes of those requests, likewise (but one is always let in)
	maxEventBytes = 4 << 20 // of events that the client does not take; beyond, the connection is closed
	batchBytes    = 128 << 10
)

// eventOverhead is the length of an event on the wire without its path, and about what one costs in memory.
const eventOverhead = 100

// output is the order of what one connection sends.
//
// Replies go in the order of the requests. An event goes at once, before all replies that are not there yet, but not before
// the reply that tells the client of the watch's arming, nor before replies from an older state that are there. While an event waits for that, events behind it wait too, and an
// answered reply from a zxid not before the event's takes the event along in front of itself: so no reply shows a change whose
// event comes later, and a client's own write is answered after its own event. A ping is answered in its turn when the replies
// before it are there, else at once: clients take that out of order, and learn that somebody is alive.
type output struct {
	mu   sync.Mutex
	work sync.Cond // of mu: the writer waits for something to send
	room sync.Cond // of mu: the reader waits for slots to be sent

	// replicated tells whether the zxids of a path's events compare with those of replies. Constant; nil: as the watch says.
	replicated func(path string) bool

	// All below is guarded by mu.

	slots   []*slot  // not sent; the oldest first
	made    uint64   // seq of the newest slot
	sent    uint64   // seq of the newest sent slot
	cost    int      // of slots
	pings   []uint64 // unanswered pings, each with the seq of the slot before it
	events  []event
	bytes   int // of events
	arms    arms
	caller  []tiers.Identity // the client's credentials: replaced, never changed
	leaving bool             // no request is wanted any more: the reader waits for no room
	ending  bool             // no request comes any more: the writer ends when everything is sent
	known   tiers.Zxid       // the greatest zxid that the connection has heard of
	dead    error            // why nothing is sent any more; nil: alive
	figures figures
}

// event is one that is not sent yet.
type event struct {
	tiers.Event
	after uint64 // seq of the slot that it must not overtake; 0: none
	firm  bool   // see arming
}

// item is one thing to send: a reply, an event or a ping's answer.
type item struct {
	slot  *slot
	event tiers.Event // if slot is nil; Type 0: a ping
}

func newOutput(caller []tiers.Identity) *output {
	o := &output{caller: caller}
	o.work.L, o.room.L = &o.mu, &o.mu
	return o
}

// open gives s its place, once there is room. It returns false when the connection is over, or about to be.
func (o *output) open(s *slot) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.dead == nil && !o.leaving && (len(o.slots) >= maxSlots || len(o.slots) > 0 && o.cost+s.cost > maxCost) {
		o.room.Wait()
	}
	if o.dead != nil || o.leaving {
		return false
	}
	o.made++
	s.seq, s.arm.seq, s.floor = o.made, o.made, o.known
	o.figures.received++
	o.slots = append(o.slots, s)
	o.cost += s.cost
	o.arms.add(s.arm)
	return true
}

// fill makes s ready to be sent; set, called first, is what the answer is. alive is false if nobody will send it.
func (o *output) fill(s *slot, set func()) (alive bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if set != nil {
		set()
	}
	s.filled = true
	o.known = max(o.known, s.position())
	if len(o.slots) > 0 && o.slots[0] == s {
		o.work.Signal()
	}
	return o.dead == nil
}

// fillPart is told of each part of s; the last one fills it.
func (o *output) fillPart(s *slot, at tiers.Zxid) (alive bool) {
	o.mu.Lock()
	s.waiting--
	s.receipt.Zxid = max(s.receipt.Zxid, at)
	last, alive := s.waiting == 0, o.dead == nil
	o.mu.Unlock()
	if last {
		return o.fill(s, nil)
	}
	return alive
}

// ping has a ping answered, once there is room.
func (o *output) ping() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.dead == nil && !o.leaving && len(o.pings) >= maxSlots {
		o.room.Wait()
	}
	o.pings = append(o.pings, o.made)
	o.figures.received++
	o.work.Signal()
}

// notify sends an event, unless the client may not read the znode.
func (o *output) notify(ev tiers.Event) (overflow bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dead != nil || !mayRead(ev.ACL, o.caller) {
		return false
	}
	ev.ACL = nil
	o.known = max(o.known, ev.Zxid)
	e := event{Event: ev}
	e.after, e.firm = o.arms.hold(&ev)
	e.firm = e.firm && (o.replicated == nil || !o.replicated(ev.Path)) // a recursive watch may reach into tiers of any kind
	o.events = append(o.events, e)
	o.bytes += eventOverhead + len(ev.Path)
	o.work.Signal()
	return o.bytes > maxEventBytes
}

// start says what is applied when the first request may come.
func (o *output) start(z tiers.Zxid) {
	o.mu.Lock()
	o.known = max(o.known, z)
	o.mu.Unlock()
}

// setCaller replaces the credentials.
func (o *output) setCaller(ids []tiers.Identity) {
	o.mu.Lock()
	o.caller = ids
	o.mu.Unlock()
}

// leave says that no slot is to be opened any more.
func (o *output) leave() {
	o.mu.Lock()
	o.leaving = true
	o.mu.Unlock()
	o.room.Broadcast()
}

// finish says that no slot will be opened any more.
func (o *output) finish() {
	o.mu.Lock()
	o.ending = true
	o.mu.Unlock()
	o.work.Signal()
}

// kill drops everything. The first reason counts.
func (o *output) kill(why error) {
	o.mu.Lock()
	if o.dead == nil {
		o.dead = why
	}
	o.mu.Unlock()
	o.work.Broadcast()
	o.room.Broadcast()
}

// deadWith is why nothing is sent any more; nil: alive.
func (o *output) deadWith() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dead
}

// waitTurn returns when all before s is sent, or the connection is over.
func (o *output) waitTurn(s *slot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.dead == nil && o.sent+1 < s.seq {
		o.room.Wait()
	}
}

// take waits for something to send and returns it in order, appended to batch; nothing at the end of the connection.
func (o *output) take(batch []item) []item {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.dead == nil {
		if batch = o.due(batch); len(batch) > 0 {
			o.room.Signal()
			return batch
		}
		if o.ending && len(o.slots) == 0 {
			return nil
		}
		if o.dead == nil {
			o.work.Wait()
		}
	}
	return nil
}

// due takes what may be sent now, about batchBytes of it at most. Callers hold mu.
func (o *output) due(batch []item) []item {
	for size := 0; size < batchBytes; {
		n := 0
		for n < len(o.events) && o.events[n].after <= o.sent && !o.precedes(o.events[n].Zxid) && size < batchBytes {
			batch = append(batch, item{event: o.events[n].Event})
			size += eventOverhead + len(o.events[n].Path)
			n++
		}
		o.drop(n)
		open := len(o.slots) == 0 || !o.slots[0].filled
		for len(o.pings) > 0 && (open || o.pings[0] <= o.sent) {
			o.pings = o.pings[1:]
			batch = append(batch, item{})
		}
		if size >= batchBytes || open {
			break
		}
		s := o.slots[0]
		if s.fatal {
			o.dead = s.err
			break
		}
		if len(o.events) > 0 {
			batch = o.overtaken(batch, s.position())
		}
		o.slots[0] = nil
		o.slots = o.slots[1:]
		o.sent = s.seq
		o.cost -= s.cost
		o.arms.remove(s.arm)
		o.figures.reply(s)
		size += s.size()
		batch = append(batch, item{slot: s})
	}
	return batch
}

// precedes tells whether the next reply is there, from a state before zxid z: then it goes first. Callers hold mu.
func (o *output) precedes(z tiers.Zxid) bool {
	if len(o.slots) == 0 || !o.slots[0].filled || o.slots[0].fatal {
		return false
	}
	p := o.slots[0].position()
	return 0 < p && p < z
}

// drop forgets the first n events. Callers hold mu.
func (o *output) drop(n int) {
	for i := range n {
		o.bytes -= eventOverhead + len(o.events[i].Path)
		o.events[i] = event{}
	}
	if o.events = o.events[n:]; len(o.events) == 0 {
		o.events = nil
	}
}

// overtaken takes the events that a reply from zxid z must not overtake: those that the state of z shows. None of them is from a
// watch that is armed behind that reply, as that state is not older. Callers hold mu.
func (o *output) overtaken(batch []item, z tiers.Zxid) []item {
	left := o.events[:0]
	for _, e := range o.events {
		if e.Zxid > z || e.firm && e.after > o.sent {
			left = append(left, e)
			continue
		}
		o.bytes -= eventOverhead + len(e.Path)
		batch = append(batch, item{event: e.Event})
	}
	clear(o.events[len(left):])
	o.events = left
	return batch
}

// wrote counts what goes to the socket.
func (o *output) wrote(n int, seen int64) {
	o.mu.Lock()
	o.figures.sent += uint64(n)
	o.figures.lastZxid = seen
	o.mu.Unlock()
}
