package crdt

import "maps"

// Cursor walks through what one map has and another lacks, in deltas of bounded size. The map walked over may have gaps, records of
// an origin without all those before them, and may change meanwhile: so what was passed on need not be all up to its last number.
type Cursor struct {
	known  Vector // what the receiver knows for certain
	passed Vector // the greatest numbers that were passed to it
}

// NewCursor begins for a receiver that knows v.
func NewCursor(v Vector) *Cursor { return &Cursor{known: maps.Clone(v), passed: make(Vector)} }

// At is the vector for the next [Map.Delta].
func (c *Cursor) At() Vector {
	v := maps.Clone(c.known)
	for o, n := range c.passed {
		v[o] = max(v[o], n)
	}
	return v
}

// Pass takes note of the delta of At, and is what the receiver may [Map.Learn] once it has merged it: not what lies beyond a gap.
func (c *Cursor) Pass(rs []*Record, upTo Vector) Vector {
	learn := make(Vector, len(upTo))
	for o, n := range upTo {
		if c.passed[o] <= c.known[o] {
			learn[o] = n
		}
	}
	for o, n := range learn {
		c.known[o] = max(c.known[o], n)
	}
	for _, r := range rs {
		c.passed[r.Origin] = max(c.passed[r.Origin], r.Seq)
	}
	return learn
}
