// Package zkcompat serves ZooKeeper's client protocol, as of 3.9, over any [tiers.Tier]: unmodified ZooKeeper clients see one
// tree, one session and one order of replies, whatever tiers their paths belong to.
//
// A connection has one goroutine that reads and parses and one that writes. The reader never waits for a tier: it hands
// writes to Submit and places reads with Follow, in the order of the requests, and each answer fills the slot that its
// request has in the connection's output. The writer sends what is due: events, and the filled slots from the front.
package zkcompat
