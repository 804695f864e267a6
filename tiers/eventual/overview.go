package eventual

import "github.com/strata-coord/strata/tiers"

// EachDataWatch calls f with the watches of data at this member; see the hub's EachData for what f may do.
func (t *Tier) EachDataWatch(f func(w tiers.Watcher, path string)) { t.view.hub.EachData(f) }

// Owners are the sessions that own ephemerals here, of all members, in no order.
func (t *Tier) Owners() (ids []tiers.SessionID) {
	t.view.mu.RLock()
	defer t.view.mu.RUnlock()
	for id := range t.view.owned {
		ids = append(ids, tiers.SessionID(id))
	}
	return ids
}
