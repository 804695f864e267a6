package zkcompat

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// SessionInfo is a session for the word dump.
type SessionInfo struct {
	ID         tiers.SessionID
	Timeout    time.Duration // 0: not known, as is Heard
	Heard      time.Time     // when its client was last heard
	Ephemerals []string      // paths, sorted
}

// buckets are ids by when they expire: the next tick after their timeouts, in milliseconds since the Unix epoch.
type buckets map[int64][]tiers.SessionID

// expiry is the tick at which a session ends that is not heard any more.
func (s *Server) expiry(x *SessionInfo) int64 {
	tick := ms(s.cfg.Tick)
	return (x.Heard.Add(x.Timeout).UnixMilli()/tick + 1) * tick
}

func (s *Server) buckets(list []SessionInfo) buckets {
	b := make(buckets)
	for i := range list {
		if x := &list[i]; x.Timeout > 0 && !x.Heard.IsZero() {
			at := s.expiry(x)
			b[at] = append(b[at], x.ID)
		}
	}
	return b
}

func (b buckets) count() (n int) {
	for _, ids := range b {
		n += len(ids)
	}
	return n
}

// javaDate is how Java prints a date.
func javaDate(millis int64) string {
	return time.UnixMilli(millis).UTC().Format("Mon Jan 02 15:04:05 MST 2006")
}

// dump tells of sessions, their ephemerals, and connections.
func (s *Server) dump(*conn) string {
	list := s.cfg.SessionList()
	var b strings.Builder
	sets := s.buckets(list)
	fmt.Fprintf(&b, "SessionTracker dump:\nSession Sets (%d)/(%d):\n", len(sets), sets.count())
	for _, at := range slices.Sorted(maps.Keys(sets)) {
		fmt.Fprintf(&b, "%d expire at %s:\n", len(sets[at]), javaDate(at))
		for _, id := range sets[at] {
			fmt.Fprintf(&b, "\t0x%x\n", uint64(id))
		}
	}
	owners := slices.DeleteFunc(slices.Clone(list), func(x SessionInfo) bool { return len(x.Ephemerals) == 0 })
	fmt.Fprintf(&b, "ephemeral nodes dump:\nSessions with Ephemerals (%d):\n", len(owners))
	for _, x := range owners {
		fmt.Fprintf(&b, "0x%x:\n", uint64(x.ID))
		for _, path := range x.Ephemerals {
			fmt.Fprintf(&b, "\t%s\n", path)
		}
	}
	s.dumpConnections(&b, list)
	return b.String()
}

// dumpConnections tells when connections will be given up: those with a session at its end, others at the end of their handshake.
func (s *Server) dumpConnections(b *strings.Builder, list []SessionInfo) {
	expires := make(map[tiers.SessionID]int64)
	for i := range list {
		expires[list[i].ID] = s.expiry(&list[i])
	}
	sets := make(map[int64][]*conn)
	all := s.connections()
	for _, c := range all {
		at, ok := expires[c.session()]
		if !ok {
			at = c.since.Add(s.cfg.HandshakeTimeout).UnixMilli()
		}
		sets[at] = append(sets[at], c)
	}
	fmt.Fprintf(b, "Connections dump:\nConnections Sets (%d)/(%d):\n", len(sets), len(all))
	for _, at := range slices.Sorted(maps.Keys(sets)) {
		fmt.Fprintf(b, "%d expire at %s:\n", len(sets[at]), javaDate(at))
		for _, c := range sets[at] {
			fmt.Fprintf(b, "\tip: /%s sessionId: 0x%x\n", c.from(), uint64(c.session()))
		}
	}
	b.WriteByte('\n')
}

// dumpFields is dump as a command tells it.
func (s *Server) dumpFields() Fields {
	list := s.cfg.SessionList()
	expiry, owners := Fields{}, Fields{}
	sets := s.buckets(list)
	for _, at := range slices.Sorted(maps.Keys(sets)) {
		expiry.add(strconv.FormatInt(at, 10), sets[at])
	}
	for _, x := range list {
		if len(x.Ephemerals) > 0 {
			owners.add(strconv.FormatInt(int64(x.ID), 10), x.Ephemerals)
		}
	}
	return Fields{{"expiry_time_to_session_ids", expiry}, {"session_id_to_ephemeral_paths", owners}}
}

// watched is a data watch of one of the server's connections.
type watched struct {
	session tiers.SessionID
	path    string
}

// watches are the data watches of this server's connections: ZooKeeper tells of no others here.
func (s *Server) watches() (ws []watched) {
	s.cfg.EachDataWatch(func(w tiers.Watcher, path string) {
		if c, ok := w.(*conn); ok && c.srv == s {
			ws = append(ws, watched{c.session(), path})
		}
	})
	slices.SortFunc(ws, func(a, b watched) int {
		return cmp.Or(cmp.Compare(a.session, b.session), strings.Compare(a.path, b.path))
	})
	return ws
}

// watchSummary counts sessions, paths and watches.
func (s *Server) watchSummary() (sessions, paths, watches int) {
	bySession, byPath := make(map[tiers.SessionID]bool), make(map[string]bool)
	ws := s.watches()
	for _, w := range ws {
		bySession[w.session], byPath[w.path] = true, true
	}
	return len(bySession), len(byPath), len(ws)
}

func (s *Server) wchs(*conn) string {
	sessions, paths, watches := s.watchSummary()
	return fmt.Sprintf("%d connections watching %d paths\nTotal watches:%d\n", sessions, paths, watches)
}

// wchc tells the paths of each session.
func (s *Server) wchc(*conn) string {
	var b strings.Builder
	last := tiers.SessionID(0)
	for i, w := range s.watches() {
		if i == 0 || w.session != last {
			fmt.Fprintf(&b, "0x%x\n", uint64(w.session))
			last = w.session
		}
		fmt.Fprintf(&b, "\t%s\n", w.path)
	}
	return b.String() + "\n"
}

// wchp tells the sessions of each path.
func (s *Server) wchp(*conn) string {
	ws := s.watches()
	slices.SortStableFunc(ws, func(a, b watched) int { return strings.Compare(a.path, b.path) })
	var b strings.Builder
	for i, w := range ws {
		if i == 0 || w.path != ws[i-1].path {
			fmt.Fprintf(&b, "%s\n", w.path)
		}
		fmt.Fprintf(&b, "\t0x%x\n", uint64(w.session))
	}
	return b.String() + "\n"
}

// pathsBySession and sessionsByPath are wchc and wchp as commands tell them.
func (s *Server) pathsBySession() (fs Fields) {
	fs = Fields{}
	for _, w := range s.watches() {
		id := strconv.FormatInt(int64(w.session), 10)
		if n := len(fs); n == 0 || fs[n-1].Name != id {
			fs.add(id, []string{})
		}
		last := &fs[len(fs)-1]
		last.Value = append(last.Value.([]string), w.path)
	}
	return fs
}

func (s *Server) sessionsByPath() Fields {
	ws := s.watches()
	slices.SortStableFunc(ws, func(a, b watched) int { return strings.Compare(a.path, b.path) })
	fs := Fields{}
	for _, w := range ws {
		if n := len(fs); n == 0 || fs[n-1].Name != w.path {
			fs.add(w.path, []int64{})
		}
		last := &fs[len(fs)-1]
		last.Value = append(last.Value.([]int64), int64(w.session))
	}
	return fs
}
