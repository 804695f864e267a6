package watch

import (
	"math/bits"

	"github.com/strata-coord/strata/tiers"
)

// scopes is the set of scopes that one watcher has on one path, a bit for each.
type scopes uint8

const (
	data       = scopes(1) << tiers.ScopeData
	children   = scopes(1) << tiers.ScopeChildren
	persistent = scopes(1) << tiers.ScopePersistent
	recursive  = scopes(1) << tiers.ScopeRecursive
	all        = data | children | persistent | recursive
)

func (s scopes) len() int { return bits.OnesCount8(uint8(s)) }

// scopesOf is the set that s names; empty for what is no scope.
func scopesOf(s tiers.Scope) scopes {
	switch s {
	case tiers.ScopeAny:
		return all
	case tiers.ScopeData, tiers.ScopeChildren, tiers.ScopePersistent, tiers.ScopeRecursive:
		return 1 << s
	}
	return 0
}

// matched are the scopes that see an event on the very path of their watch (zk-protocol 7.2), and those of them that
// it consumes. A child watch sees the deletion of its znode; a recursive one never sees NodeChildrenChanged.
func matched(t tiers.EventType) (oneShot, matching scopes) {
	switch t {
	case tiers.NodeCreated, tiers.NodeDataChanged:
		return data, data | persistent | recursive
	case tiers.NodeDeleted:
		return data | children, data | children | persistent | recursive
	case tiers.NodeChildrenChanged:
		return children, children | persistent
	}
	return 0, 0
}
