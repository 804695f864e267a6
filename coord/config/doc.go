// Package config binds a znode to a typed value of the program.
//
//	features, err := config.Bind[Features](ctx, node, "/config/features", config.JSON)
//	if features.Load().NewCheckout { ... }
//
// The value is the znode's data, decoded once per change. [Value.Load] is a read of local memory: it takes no lock and no
// network, and goes on answering with the last good value when the cluster, or this member's way to it, is gone.
//
// # What can go wrong, and what is loaded then
//
//	the znode does not exist (yet)       the default ([WithDefault], else the zero value); Err is nil
//	the znode is deleted                 the last good value; Err is tiers.ErrNoNode
//	the new data can't be decoded        the last good value; Err is a *DecodeError
//	the path can't be read now           the last good value; Err is that of the read, and it is tried again
//
// Put configuration on a readonly route (/config is one by default): every member reads its own copy, and writes go
// through the majority. Values bound to a path on another tier work as well, under that tier's contract.
package config
