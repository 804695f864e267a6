package history

import (
	"cmp"
	"fmt"
	"slices"
)

// grant is a lock in somebody's hands.
type grant struct {
	lock, client string
	token        int64
	shared       bool
	weight, of   int // of a semaphore's capacity
	from, until  stamp
	rec          *Recorder
}

func (g *grant) exclusive() bool { return !g.shared && g.of == 1 }

func (g *grant) String() string {
	return fmt.Sprintf("%s holds %s with token %d [until %v]", g.client, g.lock, g.token, g.until.at)
}

// Grant writes down that client holds a lock from now on, with a fencing token. Call the returned function at the moment at which it
// stops to act as the holder: when its context has ended, or before it releases.
func (r *Recorder) Grant(lock, client string, token int64) (over func()) {
	return r.grant(&grant{lock: lock, client: client, token: token, weight: 1, of: 1})
}

// GrantShared is Grant to a reader: readers hold a lock together.
func (r *Recorder) GrantShared(lock, client string, token int64) (over func()) {
	return r.grant(&grant{lock: lock, client: client, token: token, shared: true, weight: 1, of: 1})
}

// GrantPart is Grant of weight out of a semaphore's capacity.
func (r *Recorder) GrantPart(lock, client string, token int64, weight, capacity int) (over func()) {
	return r.grant(&grant{lock: lock, client: client, token: token, weight: weight, of: capacity})
}

func (r *Recorder) grant(g *grant) func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	g.from, g.until, g.rec = r.now(), stamp{seq: never}, r
	r.grants = append(r.grants, g)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if g.until.seq == never {
			g.until = r.now()
		}
	}
}

// checkLocks: no two hold a lock at a time, readers and the parts of a semaphore apart; no token is given twice, and the tokens of exclusive
// grants are higher than all before, and lower than all after.
func (h *history) checkLocks() error {
	byLock := make(map[string][]*grant)
	for _, g := range h.grants {
		byLock[g.lock] = append(byLock[g.lock], g)
	}
	for lock, gs := range byLock {
		tokens := make(map[int64]*grant)
		var highest, exclusive *grant // of those before: that with the highest token, and the last exclusive one
		for i, g := range gs {
			if other := tokens[g.token]; other != nil {
				return h.violation("token reuse", fmt.Sprintf("%s: %s and %s have token %d", lock, other.client, g.client, g.token), g.from)
			}
			tokens[g.token] = g
			// Readers may be let in in any order, but not across a writer, nor the writer across them.
			before := exclusive
			if g.exclusive() {
				before = highest
			}
			if before != nil && before.token > g.token {
				return h.violation("token order", fmt.Sprintf("%s: %s has token %d after %s had %d", lock, g.client, g.token, before.client, before.token), g.from)
			}
			if highest == nil || g.token > highest.token {
				highest = g
			}
			if g.exclusive() {
				exclusive = g
			}
			sum := g.weight
			for _, other := range gs[:i] {
				if other.until.seq < g.from.seq || g.shared && other.shared {
					continue
				}
				if sum += other.weight; sum > g.of {
					return h.violation("mutual exclusion", fmt.Sprintf("%s: %s holds it with token %d while %s does with token %d", lock, g.client, g.token, other.client, other.token), g.from)
				}
			}
		}
	}
	return nil
}

func byCall(a, b *Op) int { return cmp.Compare(a.called.seq, b.called.seq) }

func sortByCall(ops []*Op) { slices.SortFunc(ops, byCall) }
