package compare

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Random makes a story of n lines: two sessions that meet on a few znodes. The same seed makes the same story.
//
// What is meant to differ is kept out: kinds of watches mixed on one path of a connection, containers (which go when they go),
// create2 in a multi, checkWatches. Every third story has znodes without READ, but no exists and no setWatches; every fourth has a
// quota, but no multi and no pipelines, as ZooKeeper holds writes against what is applied.
func Random(seed uint64, n int) *Story {
	g := &grammar{Rand: rand.New(rand.NewPCG(seed, 7)), kinds: map[string]string{}, closed: map[string]bool{}, marks: []string{"0"}}
	g.secrets, g.quota = seed%3 == 0, seed%4 == 0
	s := &Story{Name: fmt.Sprintf("random %d", seed)}
	var first []string
	if g.quota {
		limits := fmt.Sprintf("count=%d,bytes=%d=;byteHardLimit=%d;countHardLimit=%d", g.IntN(6), g.IntN(20), g.IntN(30)+4, g.IntN(8)-1)
		first = []string{"A create /zookeeper/quota{$}", `A create /zookeeper/quota{$}/zookeeper_limits data="` + limits + `"`,
			`A create /zookeeper/quota{$}/zookeeper_stats data="count=0,bytes=0"`}
	}
	first = append(first, "A auth scheme=digest auth=amy:pw")
	for _, p := range []string{"$/a", "$/b", "$/a/x"} {
		if g.IntN(4) > 0 {
			first = append(first, "A create "+p+g.data()+g.acl())
		}
	}
	for len(s.Lines) < n {
		var text string
		if len(s.Lines) < len(first) {
			text = first[len(s.Lines)]
		} else {
			text = g.line(len(s.Lines) == n-1)
		}
		l, err := ParseLine(text)
		if err != nil { // the unit test would have seen it
			l = Line{Conn: "A", Verb: "ping", text: text}
		}
		s.Lines = append(s.Lines, l)
	}
	return s
}

type grammar struct {
	*rand.Rand
	// kinds are the kinds of watches that a connection has on a path: "A$/a" to persistent, recursive or once.
	kinds map[string]string
	marks []string
	// secrets: there are znodes that not everybody may read; quota: the story's znode has one.
	secrets, quota bool
	closed         map[string]bool // connections
	more           string          // the connection that is in the middle of a write
}

func (g *grammar) one(of ...string) string { return of[g.IntN(len(of))] }

func (g *grammar) path() string {
	if g.IntN(40) == 0 {
		return g.one("$/", "$//a", "$/a/", "~", "a", "a/b", "$/.", "$/a/../b", `"$/\u0001"`, `"$/\u0080"`, `""`, "$/n/n")
	}
	return g.one("$", "$/a", "$/a", "$/b", "$/a/x", "$/a/y", "$/a/x/z", "$/b/x", "$/c", "$/s-0000000001", "$/a/s-0000000002")
}

func (g *grammar) version() string {
	if g.IntN(3) > 0 {
		return ""
	}
	return " v=" + g.one("-1", "0", "1", "2", "3", "-2")
}

func (g *grammar) data() string {
	return " data=" + g.one("~", `""`, "x", "yy", `"a \x00 b"`, "*300")
}

func (g *grammar) acl() string {
	if g.IntN(6) > 0 && !(g.secrets && g.IntN(2) == 0) {
		return ""
	}
	if g.secrets && g.IntN(3) > 0 {
		return " acl=" + g.one("31:auth:", "14:world:anyone", "30:world:anyone,1:auth:", "31:digest:amy:zzz,16:world:anyone", "0:world:anyone,31:auth:", "15:ip:10.0.0.1,20:world:anyone")
	}
	return " acl=" + g.one("31:world:anyone", "1:world:anyone", "1:world:anyone,14:auth:", "31:auth:,1:world:anyone", "17:world:anyone",
		"27:ip:127.0.0.1", "31:ip:127.0.0.0/8,31:ip:127.0.0.0/8", "1:world:anyone,30:digest:amy:secret", "none", "~", "31:nobody:x")
}

// watch is the flag of a read, if the connection may have such a watch on the path.
func (g *grammar) watch(conn, path string) string {
	if g.IntN(2) == 0 || !g.may(conn, path, "once") {
		return ""
	}
	return " w"
}

// may tells whether a watch of that kind may be set, and remembers it.
func (g *grammar) may(conn, path, kind string) bool {
	switch path { // these are read as the root, or watched in vain
	case `""`, "~", "a", "a/b":
		return false
	}
	k := conn + path
	if g.kinds[k] == "" {
		g.kinds[k] = kind
	}
	return g.kinds[k] == kind
}

// forget lets go of a connection's watches.
func (g *grammar) forget(conn string) {
	for k := range g.kinds {
		if strings.HasPrefix(k, conn) {
			delete(g.kinds, k)
		}
	}
}

func (g *grammar) line(last bool) string {
	conn := g.more
	if conn == "" {
		conn = g.one("A", "A", "B")
	}
	if g.closed[conn] {
		if g.IntN(4) == 0 {
			return conn + " connect as=" + conn // in vain
		}
		delete(g.closed, conn)
		return conn + " connect"
	}
	if g.more == "" && g.IntN(40) == 0 {
		g.forget(conn)
		return conn + g.one(" connect as="+conn, " connect", " connect timeout=3000 as="+conn)
	}
	text := g.request(conn)
	if strings.HasPrefix(text, "auth") && g.more != "" { // ZooKeeper answers it out of turn
		text = "whoami"
	}
	if g.more = ""; !last && !g.quota && g.IntN(5) == 0 && !strings.HasPrefix(text, "ping") && !strings.HasPrefix(text, "close") && !strings.Contains(text, "Watches $") &&
		!strings.HasPrefix(text, "setACL") { // ZooKeeper forgets a list until it is applied
		g.more = conn
		return conn + "& " + text
	}
	return conn + " " + text
}

func (g *grammar) create(op string) string {
	p := g.path()
	if p == "~" { // whose flags ZooKeeper looks at first
		p = "$"
	}
	s := op + " " + p + g.data() + g.acl()
	switch g.IntN(8) {
	case 0, 1:
		s = op + " " + g.one("$/s-", "$/a/s-", "$/b/") + g.data() + g.acl() + " flags=" + g.one("2", "3")
	case 2, 3:
		s += " flags=1"
	case 4:
		s += " flags=" + g.one("7", "-1")
	}
	return s
}

func (g *grammar) change() string {
	switch g.IntN(5) {
	case 0, 1:
		return g.create("create")
	case 2:
		return "delete " + g.path() + g.version()
	case 3:
		return "check " + g.path() + g.version()
	}
	return "set " + g.path() + g.data() + g.version()
}

func (g *grammar) request(conn string) string {
	switch g.IntN(22) {
	case 0, 1, 2:
		if g.IntN(12) == 0 {
			return g.one("createTTL $/b flags=5", "createTTL $/s- flags=6", "createTTL $/a/s- flags=6", "createTTL $/c") + " ttl=" +
				g.one("1000000", "99999999", "0", "-1", "1099511627776")
		}
		return g.create(g.one("create", "create2"))
	case 3, 4:
		return "delete " + g.path() + g.version()
	case 5, 6:
		s := "set " + g.path() + g.data() + g.version()
		if g.IntN(2) == 0 {
			m := fmt.Sprintf("@m%d", len(g.marks))
			g.marks = append(g.marks, m)
			s += " " + m
		}
		return s
	case 7:
		return "setACL " + g.path() + g.acl() + g.version()
	case 8, 9, 10, 11:
		p := g.path()
		read := g.one("exists", "get", "ls", "ls2")
		if g.secrets && read == "exists" {
			read = "get"
		}
		return read + " " + p + g.watch(conn, p)
	case 12:
		p := g.path()
		if p == `""` { // see count in the stories
			p = "$"
		}
		return g.one("getACL", "count", "sync", "ephemerals") + " " + p
	case 13, 14:
		if g.quota {
			return "get /zookeeper/quota{$}/zookeeper_stats"
		}
		parts := []string{g.change()}
		for g.IntN(3) > 0 {
			parts = append(parts, g.change())
		}
		return "multi " + strings.Join(parts, " ; ")
	case 15:
		return "multiRead " + g.one("get", "ls") + " " + g.path() + " ; " + g.one("get", "ls") + " " + g.path()
	case 16:
		p := g.path()
		mode := g.IntN(2)
		if !g.may(conn, p, []string{"persistent", "recursive"}[mode]) {
			return "ping"
		}
		return fmt.Sprintf("addWatch %s mode=%d", p, mode)
	case 17:
		p := g.path()
		if p == "~" { // see odd removes in the stories
			p = "$"
		}
		if !g.may(conn, p, "once") {
			return "removeWatches " + p + " type=3"
		}
		return "removeWatches " + p + " type=" + g.one("1", "2", "3", "0")
	case 18:
		if g.secrets {
			return "whoami"
		}
		list := func() string {
			var ps []string
			for range g.IntN(4) {
				if p := g.one("$", "$/a", "$/b", "$/a/x", "$/c"); g.may(conn, p, "once") {
					ps = append(ps, p)
				}
			}
			return strings.Join(ps, ",")
		}
		return fmt.Sprintf("setWatches since=%s data=%s exist=%s child=%s", g.marks[g.IntN(len(g.marks))], list(), list(), list())
	case 19:
		// One credential for each: several have no order in ZooKeeper.
		return g.one("whoami", "ping", map[string]string{"A": "auth scheme=digest auth=amy:pw", "B": "auth scheme=digest auth=bob:pw"}[conn])
	case 20:
		if g.IntN(4) > 0 {
			return "ping"
		}
		g.forget(conn)
		g.closed[conn] = true
		return "close"
	}
	return g.one("get ", "exists ", "set ", "create ", "multi set ", "setACL ") + g.path() + " cut=" + g.one("1", "2", "5", "9", "13")
}
