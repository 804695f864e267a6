// Package history records what callers of a tier saw, and checks it.
//
//	rec := history.New()
//	tier := rec.Client("c1", member.Tier) // a tiers.Tier that writes down each call and its answer
//	...
//	err := rec.Check(history.Options{}) // nil, or a *Violation with the story around it
//
// The checks know nothing of how a tier works. They take its word for one thing, the zxid of each answer, and hold it to that: the
// zxids are a witness of the order in which everything happened, and an order that was claimed can be checked in one pass (commit order, sessions, watches).
// For txns and linearizable reads of single paths there is a second opinion which does not even believe the zxids: porcupine's
// search for any order that explains the answers (Horn and Kroening, Faster linearizability checking via P-compositionality, 2015).
//
// A recorder takes part in synctest bubbles: it reads the clock and does nothing else that could block.
package history
