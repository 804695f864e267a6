// Package tiers is the contract between the rooms of Strata.
//
// A [Tier] is a tree of znodes kept under one consistency contract. The strong, readonly and eventual tiers implement it,
// and so does [Router], which joins them by path prefix. Everything above (coord, zkcompat, the recipes) speaks only this
// vocabulary; everything below (Raft, gossip) is hidden by it. The package imports the standard library only.
//
// # Order
//
// Submit takes the txns of one session in order and applies them in that order. [Tier.Follow] places a read into the same
// order: after the txn it follows, before any txn submitted later. Events of one tier reach a [Watcher] in commit order, and
// the events of a txn are notified before its [Pending] completes. A watch armed by a read sees every change after that read
// and none before it.
//
// # Sessions
//
// A session is opened in a tier by a txn with [OpOpenSession] before it may own ephemeral znodes there, and ended by
// [OpCloseSession]. [Sessions] is the table that hands sessions to clients and does both when they are needed.
package tiers
