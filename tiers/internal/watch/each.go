package watch

import "github.com/strata-coord/strata/tiers"

// EachData calls f with every watch that sees changes of a znode's data, once for each watcher and path: what ZooKeeper keeps in its
// table of data watches, and its words wchs, wchc and wchp tell of. The order is none. f runs under the hub's lock: it must be quick and
// not call the hub.
func (h *Hub) EachData(f func(w tiers.Watcher, path string)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for path, ws := range h.paths {
		for w, has := range ws {
			if has&(data|persistent|recursive) != 0 {
				f(w, path)
			}
		}
	}
}
