// Package strata is only this page; programs import the folders below.
//
// Strata is a coordination service in a library: each path prefix has a consistency tier of its own. Open a member with
// [github.com/strata-coord/strata/coord]; its locks, discovery and configuration are in coord/lock, coord/discovery and
// coord/config. What tiers promise is said in [github.com/strata-coord/strata/tiers], and cmd/strata is the standalone server
// that ZooKeeper clients connect to. ARCHITECTURE.md tells how it hangs together.
package strata
