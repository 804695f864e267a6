// Package coord is what an embedding program imports: one member of a Strata cluster, in your process.
//
//	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
//	...
//	defer node.Close()
//	err = node.Ready(ctx)
//
// A [Node] gives each path prefix its tier ([Route]): linearizable, eventual, or local reads of the linearizable tree. What it offers
// through [Node.Tier] is one tree, and through [Node.Sessions] the sessions that own ephemerals in it. A program that wants
// locks, discovery or configuration uses the packages below this one.
//
// # Who owns what
//
// A Node owns its data directory, which is locked while it is open, its port, its tiers and its sessions. Close gives all
// of it back: Open works again after it.
package coord
