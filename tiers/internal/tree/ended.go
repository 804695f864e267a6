package tree

import (
	"github.com/RoaringBitmap/roaring/v2/roaring64"

	"github.com/strata-coord/strata/tiers"
)

// endedSet is every session that was opened in the tree and has ended, for ever: ids that one start of a member has handed out
// follow each other, so most cost a bit or less.
type endedSet struct{ ids *roaring64.Bitmap }

func newEndedSet() *endedSet {
	ids := roaring64.New()
	ids.SetCopyOnWrite(true)
	return &endedSet{ids}
}

func (e *endedSet) has(id tiers.SessionID) bool { return e.ids.Contains(uint64(id)) }
func (e *endedSet) add(id tiers.SessionID)      { e.ids.Add(uint64(id)) }
func (e *endedSet) remove(id tiers.SessionID)   { e.ids.Remove(uint64(id)) }

// now is the set of this moment, for one reader, while the original goes on: the two share memory until a change.
func (e *endedSet) now() *endedSet { return &endedSet{e.ids.Clone()} }

// maxRun is the longest run that is written as one, so that a restore allocates in proportion to what it reads.
const maxRun = 1 << 16

// runs calls f with the ids in order, as runs of n ids that follow each other, until it returns false.
func (e *endedSet) runs(f func(first uint64, n uint64) bool) {
	var first, n uint64
	for it := e.ids.Iterator(); it.HasNext(); {
		id := it.Next()
		if n > 0 && n < maxRun && id == first+n {
			n++
			continue
		}
		if n > 0 && !f(first, n) {
			return
		}
		first, n = id, 1
	}
	if n > 0 {
		f(first, n)
	}
}

// addRun adds a run; it refuses one that runs did not make.
func (e *endedSet) addRun(first, n uint64) bool {
	if n == 0 || n > maxRun || first+(n-1) < first {
		return false
	}
	e.ids.AddRange(first, first+(n-1)) // without the last one, as a range can't reach beyond the last number
	e.ids.Add(first + (n - 1))
	return true
}
