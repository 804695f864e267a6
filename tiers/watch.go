package tiers

// EventType is what happened to a znode; the values are ZooKeeper's.
type EventType int32

const (
	NodeCreated EventType = iota + 1
	NodeDeleted
	NodeDataChanged
	NodeChildrenChanged
)

func (t EventType) String() string {
	switch t {
	case NodeCreated:
		return "NodeCreated"
	case NodeDeleted:
		return "NodeDeleted"
	case NodeDataChanged:
		return "NodeDataChanged"
	case NodeChildrenChanged:
		return "NodeChildrenChanged"
	}
	return "unknown event"
}

// Event is one change of one znode.
type Event struct {
	Type EventType
	Path string
	Zxid Zxid
	ACL  []ACL // of the znode (just before a deletion): a watcher shows the event only to who may read it
}

// Scope is what a watch covers.
type Scope uint8

const (
	ScopeData       Scope = iota + 1 // one event: the znode is created, deleted or its data set
	ScopeChildren                    // one event: the znode's child list changes or it is deleted
	ScopePersistent                  // data and children of the znode, until removed
	ScopeRecursive                   // the znode and all below it, without NodeChildrenChanged, until removed
	ScopeAny                         // for Unwatch: every scope
)

// Watcher gets events.
//
// Notify is called in commit order, one call at a time per tier, by the goroutine that applies. It must not block and must
// not call a Tier, but for its Contract. A change that matches several watches of one Watcher is notified once.
type Watcher interface{ Notify(Event) }
