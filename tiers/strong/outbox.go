package strong

import (
	"sync"
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// What one batch to the leader, and one raft entry, may hold at most.
const (
	maxBatchTxns  = 4096
	maxBatchBytes = 1 << 20
)

// outbox is the order of what this member was asked: its unanswered txns, numbered, and the reads placed between them.
type outbox struct {
	mu   sync.Mutex
	own  []ownTxn                   // guarded by mu; unanswered, ascending numbers without gaps
	next uint64                     // guarded by mu; the number of the next txn
	last map[tiers.SessionID]uint64 // guarded by mu; the number of each session's last txn in own
	// cursor is the number from which the sender goes on. Guarded by mu.
	cursor uint64
	flaw   flaw
	closed error // guarded by mu; why nothing is accepted any more
	// answered is the last number applied here.
	answered uint64 // guarded by mu
	// behind has the local reads that wait for the txn with that number. Guarded by mu.
	behind map[uint64][]*follower
	// linear has the linearizable reads that still wait for their round, in the order they came. Guarded by mu.
	linear []*follower

	// place is held while an own txn is applied with the reads placed right before it, and while reads that had their round
	// are run: so a placed read sees no txn that was submitted after it. Taken before mu.
	place sync.Mutex

	// wake tells the sender that there is something to do; capacity 1.
	wake chan struct{}
}

type ownTxn struct {
	number  uint64
	size    int
	txn     tiers.Txn
	pending *tiers.Pending

	queuedAt time.Time
	sentAt   time.Time // zero: not yet
}

// follower is a read that waits at its place.
type follower struct {
	query   tiers.Query
	pending *tiers.Pending
	after   uint64 // own txn that must be applied first
	before  uint64 // own txns with greater numbers must not be applied yet
	taken   bool   // guarded by outbox.mu; somebody runs or fails it
	shown   bool   // guarded by outbox.mu until it is taken; it is answered in read-only mode: its View tells its age

	queuedAt time.Time
}

func newOutbox(f flaw) *outbox {
	return &outbox{flaw: f, next: 1, cursor: 1, last: make(map[tiers.SessionID]uint64), behind: make(map[uint64][]*follower), wake: make(chan struct{}, 1)}
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// add queues txn and returns its Pending, which is named after from if that has a number yet.
func (o *outbox) add(txn tiers.Txn, size int, now time.Time, from tree.Origin) *tiers.Pending {
	o.mu.Lock()
	if o.closed != nil {
		err := o.closed
		o.mu.Unlock()
		return tiers.Completed(tiers.Receipt{}, err)
	}
	n := o.next
	o.next++
	p := new(tiers.Pending)
	if from.Member != 0 {
		p = tiers.NewPending(tiers.WriteID{Member: from.Member, Incarnation: from.Incarnation, Number: n})
	}
	o.own = append(o.own, ownTxn{number: n, size: size, txn: txn, pending: p, queuedAt: now})
	o.last[txn.Session] = n
	if o.flaw == flawReorder {
		o.swapLast()
	}
	o.mu.Unlock()
	o.signal()
	return p
}

// leave forgets what is in own no more. Callers hold mu.
func (o *outbox) leave(x *ownTxn) {
	if o.last[x.txn.Session] == x.number {
		delete(o.last, x.txn.Session)
	}
}

// unanswered tells whether a txn of the session waits for its answer.
func (o *outbox) unanswered(id tiers.SessionID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last[id] != 0
}

// placeOf finds what a Follow behind p for a session (0: nobody's) waits for: the number of the own txn (0: nothing), and whether
// p is itself a read that still waits, which the new one must not overtake. A p that was answered at once has no place of its own;
// then it is behind all that the session has unanswered.
func (o *outbox) placeOf(p *tiers.Pending, session tiers.SessionID) (number uint64, read bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if number, read, found := o.find(p); found || session == 0 {
		return number, read
	}
	n := o.last[session]
	if n == 0 {
		return 0, false
	}
	if _, _, told := o.own[n-o.own[0].number].pending.Result(); told {
		return 0, false // that its outcome is unknown
	}
	return n, false
}

// find is the place of p. Callers hold mu.
func (o *outbox) find(p *tiers.Pending) (number uint64, read, found bool) {
	if p == nil {
		return 0, false, false
	}
	for i := len(o.linear) - 1; i >= 0; i-- {
		if o.linear[i].pending == p {
			return o.linear[i].after, true, true
		}
	}
	for i := len(o.own) - 1; i >= 0; i-- {
		if o.own[i].pending == p {
			return o.own[i].number, false, true
		}
	}
	for n, fs := range o.behind {
		for _, f := range fs {
			if f.pending == p {
				return n, false, true
			}
		}
	}
	return 0, false, false
}

// followLocal places a local read; false means that it need not wait and its caller shall run it.
func (o *outbox) followLocal(f *follower) (waits bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed != nil {
		return false, o.closed
	}
	if f.after <= o.answered {
		return false, nil
	}
	o.behind[f.after] = append(o.behind[f.after], f)
	return true, nil
}

// followLinear places a linearizable read.
func (o *outbox) followLinear(f *follower) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed != nil {
		return o.closed
	}
	f.before = o.next - 1
	o.linear = append(o.linear, f)
	return nil
}

// take claims a linearizable read for whoever runs or fails it: only the first call gets true.
func (o *outbox) take(f *follower) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.claim(f)
}

// takeUnlessShown is take, but for a read that needs no round any more.
func (o *outbox) takeUnlessShown(f *follower) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !f.shown && o.claim(f)
}

// claim is take for callers that hold mu.
func (o *outbox) claim(f *follower) bool {
	if f.taken {
		return false
	}
	f.taken = true
	o.dropTaken()
	return true
}

// dropTaken forgets the claimed reads at the head. Callers hold mu.
func (o *outbox) dropTaken() {
	i := 0
	for i < len(o.linear) && o.linear[i].taken {
		o.linear[i] = nil
		i++
	}
	o.linear = o.linear[i:]
}

// locals are the linearizable reads with Local that still wait.
func (o *outbox) locals() (fs []*follower) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.linear {
		if f.query.Local && !f.taken && !f.shown {
			fs = append(fs, f)
		}
	}
	return fs
}

func (o *outbox) show(f *follower) {
	o.mu.Lock()
	f.shown = f.shown || !f.taken
	o.mu.Unlock()
}

// placedBefore claims the linearizable reads that came before own txn n was submitted. The log itself proves them fresh: n was
// proposed after they came, so all that was acknowledged before them is ordered before n.
func (o *outbox) placedBefore(n uint64) []*follower {
	o.mu.Lock()
	defer o.mu.Unlock()
	var due []*follower
	for _, f := range o.linear {
		if f.before >= n {
			break
		}
		if !f.taken {
			f.taken = true
			due = append(due, f)
		}
	}
	o.dropTaken()
	return due
}

// answer removes own txn n and everything before it, and returns its Pending and the local reads placed behind it.
func (o *outbox) answer(n uint64) (p *tiers.Pending, reads []*follower) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.own) > 0 && o.own[0].number <= n {
		if o.own[0].number == n {
			p = o.own[0].pending
		}
		o.leave(&o.own[0])
		o.own[0] = ownTxn{}
		o.own = o.own[1:]
	}
	if n > o.answered {
		o.answered = n
	}
	if n >= o.cursor {
		o.cursor = n + 1
	}
	reads = o.release(nil, n)
	o.dropTaken()
	return p, reads
}

// rewind makes the sender begin again at the oldest unanswered txn.
func (o *outbox) rewind() {
	o.mu.Lock()
	o.cursor = o.answered + 1
	pending := len(o.own) > 0
	o.mu.Unlock()
	if pending {
		o.signal()
	}
}

// nextBatch takes what is to be sent next; nil if there is nothing.
func (o *outbox) nextBatch(from tree.Origin, now time.Time) *tree.Batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.own) == 0 {
		return nil
	}
	i := int(o.cursor - o.own[0].number)
	if o.cursor < o.own[0].number {
		i = 0
	}
	b := &tree.Batch{Origin: from}
	size := 0
	for ; i < len(o.own) && len(b.Txns) < maxBatchTxns; i++ {
		t := &o.own[i]
		if size += t.size; size > maxBatchBytes && len(b.Txns) > 0 {
			break
		}
		if len(b.Txns) == 0 {
			b.First = t.number
		}
		t.sentAt = now
		b.Txns = append(b.Txns, t.txn)
		o.cursor = t.number + 1
	}
	if len(b.Txns) == 0 {
		return nil
	}
	return b
}

// oldest tells since when the oldest sent txn has been without an answer.
func (o *outbox) oldest() (sentAt time.Time, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.own) == 0 || o.own[0].sentAt.IsZero() {
		return time.Time{}, false
	}
	return o.own[0].sentAt, true
}

// skipTo moves past own txns whose answers were lost in a snapshot from the leader: they were decided, but how is not known here.
func (o *outbox) skipTo(n uint64) (unknown []*tiers.Pending, reads []*follower) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.own) > 0 && o.own[0].number <= n {
		unknown = append(unknown, o.own[0].pending)
		o.leave(&o.own[0])
		o.own = o.own[1:]
	}
	o.answered = max(o.answered, n)
	o.cursor = max(o.cursor, n+1)
	for m := range o.behind {
		if m <= n {
			reads = o.release(reads, m)
		}
	}
	return unknown, reads
}

// overdue splits what has waited since before t. refused were never sent: they are withdrawn, and nothing ever happens to them. unknown were sent and
// keep their place. reads are linearizable reads without an answer, claimed for the caller to
// fail; orphans are local reads that waited for one of those txns, for the caller to run: the order of answers is kept, and what
// a txn of unknown outcome will do is not known to them either.
func (o *outbox) overdue(t time.Time) (refused []ownTxn, unknown []*tiers.Pending, reads, orphans []*follower) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.own {
		x := &o.own[i]
		switch {
		case x.queuedAt.After(t) || x.txn.Request == tree.Withdrawn:
			continue
		case x.sentAt.IsZero():
			refused = append(refused, *x)
			x.withdraw()
		default:
			unknown = append(unknown, x.pending)
		}
		orphans = o.release(orphans, x.number)
	}
	if len(refused) > 0 {
		o.recount()
	}
	for _, f := range o.linear {
		if !f.taken && !f.shown && !f.queuedAt.After(t) {
			f.taken = true
			reads = append(reads, f)
		}
	}
	o.dropTaken()
	return refused, unknown, reads, orphans
}

// withdraw leaves the number of a txn that was never sent to one that does nothing: whoever was told the number may ask about it, so no other
// txn gets it.
func (x *ownTxn) withdraw() {
	x.txn, x.size, x.pending = tiers.Txn{Request: tree.Withdrawn}, txnSize(&tiers.Txn{}), new(tiers.Pending)
}

// recount finds the last txn of each session again. Callers hold mu.
func (o *outbox) recount() {
	clear(o.last)
	for i := range o.own {
		if x := &o.own[i]; x.txn.Request != tree.Withdrawn {
			o.last[x.txn.Session] = x.number
		}
	}
}

// release claims the local reads behind own txn n. Callers hold mu.
func (o *outbox) release(to []*follower, n uint64) []*follower {
	for _, f := range o.behind[n] {
		if !f.taken {
			f.taken = true
			to = append(to, f)
		}
	}
	delete(o.behind, n)
	return to
}

// close refuses everything from now on and returns what was waiting.
func (o *outbox) close(why error) (txns []*tiers.Pending, reads []*follower) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = why
	for _, x := range o.own {
		txns = append(txns, x.pending)
	}
	for _, fs := range o.behind {
		reads = append(reads, fs...)
	}
	for _, f := range o.linear {
		if !f.taken {
			f.taken = true
			reads = append(reads, f)
		}
	}
	o.own, o.behind, o.linear = nil, nil, nil
	clear(o.last)
	return txns, reads
}

// given is the last number that was given to a txn.
func (o *outbox) given() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.next - 1
}
