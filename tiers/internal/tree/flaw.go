package tree

// Flaw is a known bug that a test plants, to show that its checkers find it. The zero value is none, and nothing but tests plants one.
type Flaw uint8

const (
	FlawNone          Flaw = iota
	FlawRepeat             // a txn that was sent again is applied again
	FlawGap                // a txn is applied although numbers before it are missing
	FlawOrphan             // ephemerals outlive their session
	FlawForgetZxid         // a restore does not restore the zxid
	FlawRestoreEvent       // what a restore changes is not told to watchers
	FlawSessionEvent       // what the end of a session deletes is not told to watchers
	FlawLeakySnapshot      // a snapshot shows, of what it walks late, changes made after it was taken
)

// Plant plants a flaw. To be called before the first Apply.
func (t *Tree) Plant(f Flaw) {
	t.flaw = f
	t.content.leak(f)
}

// leak hands the flaw to the tables.
func (c *content) leak(f Flaw) {
	c.znodes.leaky = f == FlawLeakySnapshot
	c.sessions.leaky = f == FlawLeakySnapshot
}
