package zkcompat

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strata-coord/strata/zkcompat/jute"
)

// protocolVersion is the release of ZooKeeper that the listener behaves as. Clients choose features by the digits in front.
const protocolVersion = "3.9.3"

const notServing = "This ZooKeeper instance is not currently serving requests\n"

// words are the four-letter words that are answered, in the exact shapes that tools parse.
var words = map[string]func(*Server, *conn) string{
	"ruok": func(*Server, *conn) string { return "imok" },
	"isro": (*Server).isro,
	"srvr": serving((*Server).srvr),
	"stat": serving((*Server).stat),
	"mntr": serving((*Server).mntr),
	"conf": serving((*Server).conf),
	"cons": serving((*Server).cons),
	"wchs": serving((*Server).wchs),
	"dirs": serving((*Server).dirs),
	"envi": (*Server).envi,
	"srst": (*Server).srst,
	"crst": (*Server).crst,
}

// unanswered are words of ZooKeeper that are known and not answered.
var unanswered = []string{"dump", "gtmk", "hash", "stmk", "wchc", "wchp"}

// word answers a four-letter word. ok is false if w is none: then it is the length of a frame.
func (s *Server) word(w string, asking *conn) (answer []byte, ok bool) {
	if f := words[w]; f != nil {
		return []byte(f(s, asking)), true
	}
	if slices.Contains(unanswered, w) {
		return []byte(w + " is not executed because it is not in the whitelist.\n"), true
	}
	return nil, false
}

func serving(f func(*Server, *conn) string) func(*Server, *conn) string {
	return func(s *Server, c *conn) string {
		if s.cfg.Ready() != nil {
			return notServing
		}
		return f(s, c)
	}
}

func (s *Server) isro(*conn) string {
	if s.cfg.Ready() != nil {
		return "null"
	}
	if s.cfg.ReadOnly() {
		return "ro"
	}
	return "rw"
}

// version is the text that tools take apart: digits, a dash, the build, and its date in the old form, which all of them know.
func (i *ServerInfo) version() string {
	own := strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '-'
	}, i.Version)
	built := i.Built
	if built.IsZero() {
		built = time.Unix(0, 0)
	}
	return fmt.Sprintf("%s-strata-%s, built on %s", protocolVersion, cmp.Or(own, "devel"), built.UTC().Format("01/02/2006 15:04 GMT"))
}

// ms is a duration as ZooKeeper tells latencies: whole milliseconds.
func ms(d time.Duration) int64 { return d.Milliseconds() }

// decimal is an average: always with a fraction, four digits at most.
func decimal(d time.Duration) string {
	t := strings.TrimRight(strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 4, 64), "0")
	if strings.HasSuffix(t, ".") {
		t += "0"
	}
	return t
}

func (s *Server) srvr(*conn) string {
	i := s.cfg.Server()
	return "Zookeeper version: " + i.version() + "\n" + s.summary(&i)
}

// summary is what srvr and stat have in common.
func (s *Server) summary(i *ServerInfo) string {
	var b strings.Builder
	st := s.Stats()
	fmt.Fprintf(&b, "Latency min/avg/max: %d/%s/%d\n", ms(st.MinLatency), decimal(st.AvgLatency), ms(st.MaxLatency))
	fmt.Fprintf(&b, "Received: %d\nSent: %d\nConnections: %d\nOutstanding: %d\n", st.Received, st.Sent, st.Connections, st.Outstanding)
	fmt.Fprintf(&b, "Zxid: 0x%x\nMode: %s\nNode count: %d\n", uint64(i.Zxid), cmp.Or(i.Mode, "standalone"), i.Znodes)
	if i.Mode == "leader" {
		b.WriteString("Proposal sizes last/min/max: -1/-1/-1\n") // not counted here: ZooKeeper's way to say so
	}
	return b.String()
}

func (s *Server) stat(asking *conn) string {
	i := s.cfg.Server()
	var b strings.Builder
	fmt.Fprintf(&b, "Zookeeper version: %s\nClients:\n", i.version())
	for _, c := range s.connections() {
		b.WriteString(c.line(asking, false))
	}
	return b.String() + "\n" + s.summary(&i)
}

func (s *Server) cons(asking *conn) string {
	var b strings.Builder
	for _, c := range s.connections() {
		b.WriteString(c.line(asking, true))
	}
	return b.String() + "\n"
}

// line describes a connection: with everything for cons, briefly for stat.
func (c *conn) line(asking *conn, full bool) string {
	c.out.mu.Lock()
	f, queued := c.out.figures, len(c.out.slots)
	c.out.mu.Unlock()
	interest := 1
	if c == asking {
		interest = 0
	}
	var b strings.Builder
	fmt.Fprintf(&b, " /%s[%d](queued=%d,recved=%d,sent=%d", c.from(), interest, queued, f.received, f.sent)
	if l := c.lease.Load(); l != nil && full {
		fmt.Fprintf(&b, ",sid=0x%x,lop=%s,est=%d,to=%d", uint64(l.ID), lastOp(&f), c.since.UnixMilli(), ms(l.Timeout))
		if f.lastXid >= 0 && f.lastOp != 0 {
			fmt.Fprintf(&b, ",lcxid=0x%x", f.lastXid)
		}
		lresp := int64(0)
		if !f.lastReply.IsZero() {
			lresp = f.lastReply.UnixMilli()
		}
		fmt.Fprintf(&b, ",lzxid=0x%x,lresp=%d,llat=%d,minlat=%d,avglat=%d,maxlat=%d",
			uint64(f.lastZxid), lresp, ms(f.latency.last), ms(f.latency.min), ms(f.latency.avg()), ms(f.latency.max))
	}
	return b.String() + ")\n"
}

var opWords = map[jute.Opcode]string{
	jute.OpCreate: "CREA", jute.OpCreate2: "CREA", jute.OpCreateContainer: "CREA", jute.OpCreateTTL: "CREA", jute.OpDelete: "DELE",
	jute.OpSetData: "SETD", jute.OpSetACL: "SETA", jute.OpExists: "EXIS", jute.OpGetData: "GETD", jute.OpGetACL: "GETA",
	jute.OpGetChildren: "GETC", jute.OpGetChildren2: "GETC", jute.OpSync: "SYNC", jute.OpMulti: "MULT", jute.OpMultiRead: "MLTR",
	jute.OpSetWatches: "SETW", jute.OpSetWatches2: "STW2", jute.OpAddWatch: "ADDW", jute.OpCheckWatches: "CHKW",
	jute.OpRemoveWatches: "REMW", jute.OpCheck: "CHEC", jute.OpWhoAmI: "HOMI", jute.OpGetEphemerals: "GETE",
	jute.OpGetAllChildrenNumber: "GETACN", jute.OpCloseSession: "CLOS",
}

func lastOp(f *figures) string {
	if f.lastOp == 0 {
		return "SESS"
	}
	return cmp.Or(opWords[f.lastOp], "NA")
}

func (s *Server) mntr(*conn) string {
	i, st := s.cfg.Server(), s.Stats()
	var b strings.Builder
	line := func(key string, value any) { fmt.Fprintf(&b, "zk_%s\t%v\n", key, value) }
	line("version", i.version())
	line("server_state", cmp.Or(i.Mode, "standalone"))
	switch i.Mode {
	case "leader":
		line("peer_state", "leading - broadcast")
	case "follower":
		line("peer_state", "following - broadcast")
	case "observer":
		line("peer_state", "observing - broadcast")
	}
	line("ephemerals_count", i.Ephemerals)
	line("avg_latency", decimal(st.AvgLatency))
	line("max_latency", ms(st.MaxLatency))
	line("min_latency", ms(st.MinLatency))
	line("packets_received", st.Received)
	line("packets_sent", st.Sent)
	line("num_alive_connections", st.Connections)
	line("outstanding_requests", st.Outstanding)
	line("znode_count", i.Znodes)
	line("watch_count", i.Watches)
	line("approximate_data_size", i.DataBytes)
	if open, limit, ok := descriptors(); ok {
		line("open_file_descriptor_count", open)
		line("max_file_descriptor_count", limit)
	}
	line("fsync_threshold_exceed_count", 0)
	line("global_sessions", i.Sessions)
	line("local_sessions", 0)
	line("connection_drop_probability", "0.0")
	line("last_client_response_size", s.totals.lastSize.Load())
	line("min_client_response_size", s.totals.minSize.Load())
	line("max_client_response_size", s.totals.maxSize.Load())
	if !i.Started.IsZero() {
		line("uptime", ms(time.Since(i.Started)))
	}
	line("outstanding_tls_handshake", s.totals.handshakes.Load())
	line("auth_failed_count", s.totals.authFailures.Load())
	line("non_mtls_remote_conn_count", 0)
	line("non_mtls_local_conn_count", 0)
	if i.Mode == "leader" {
		line("quorum_size", i.Followers+1)
		line("learners", i.Followers)
		line("followers", i.Followers) // its name up to 3.5
		line("synced_followers", i.SyncedFollowers)
		line("synced_observers", 0)
		line("synced_non_voting_followers", 0)
		line("pending_syncs", 0)
		line("last_proposal_size", -1)
		line("max_proposal_size", -1)
		line("min_proposal_size", -1)
	}
	return b.String()
}

// descriptors counts this process's open files where the system tells.
func descriptors() (open int, limit string, ok bool) {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, "", false
	}
	limits, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		return 0, "", false
	}
	for l := range strings.Lines(string(limits)) {
		if rest, found := strings.CutPrefix(l, "Max open files"); found {
			if f := strings.Fields(rest); len(f) > 0 {
				return len(files), f[0], true
			}
		}
	}
	return 0, "", false
}

func (s *Server) conf(*conn) string {
	i := s.cfg.Server()
	port, securePort := portOf(s.cfg.Listen), -1
	if s.cfg.TLS != nil {
		securePort = portOf(s.cfg.TLS.Listen)
	}
	return fmt.Sprintf("clientPort=%d\nsecureClientPort=%d\ndataDir=%s\ndataDirSize=%d\ndataLogDir=%s\ndataLogSize=%d\ntickTime=%d\n"+
		"maxClientCnxns=%d\nminSessionTimeout=%d\nmaxSessionTimeout=%d\nclientPortListenBacklog=-1\nserverId=%d\n\n",
		port, securePort, i.DataDir, i.DataDirSize, i.DataDir, i.LogDirSize, ms(s.cfg.Tick), s.cfg.MaxPerAddress, ms(s.cfg.MinTimeout), ms(s.cfg.MaxTimeout), i.ID)
}

// portOf is -1 for no listener.
func portOf(l net.Listener) int {
	if l == nil {
		return -1
	}
	if a, err := netip.ParseAddrPort(l.Addr().String()); err == nil {
		return int(a.Port())
	}
	return -1
}

func (s *Server) wchs(*conn) string {
	i := s.cfg.Server()
	return fmt.Sprintf("%d connections watching %d paths\nTotal watches:%d\n", i.Watchers, i.WatchedPaths, i.Watches)
}

func (s *Server) dirs(*conn) string {
	i := s.cfg.Server()
	return fmt.Sprintf("datadir_size: %d\nlogdir_size: %d\n", i.DataDirSize, i.LogDirSize)
}

// envi has the keys of the original; what belongs to its runtime is told of ours.
func (s *Server) envi(*conn) string {
	i := s.cfg.Server()
	host, _ := os.Hostname() // unknown is empty
	dir, _ := os.Getwd()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var b strings.Builder
	b.WriteString("Environment:\n")
	line := func(key, value string) { fmt.Fprintf(&b, "%s=%s\n", key, value) }
	line("zookeeper.version", i.version())
	line("host.name", host)
	line("java.version", runtime.Version())
	line("java.vendor", "Go")
	for _, key := range []string{"java.home", "java.class.path", "java.library.path"} {
		line(key, "")
	}
	line("java.io.tmpdir", os.TempDir())
	line("java.compiler", runtime.Compiler)
	line("os.name", runtime.GOOS)
	line("os.arch", runtime.GOARCH)
	line("os.version", "")
	line("user.name", os.Getenv("USER"))
	line("user.home", os.Getenv("HOME"))
	line("user.dir", dir)
	line("os.memory.free", strconv.FormatUint((m.HeapSys-m.HeapInuse)>>20, 10)+"MB")
	line("os.memory.max", strconv.FormatUint(m.Sys>>20, 10)+"MB")
	line("os.memory.total", strconv.FormatUint(m.HeapSys>>20, 10)+"MB")
	return b.String()
}

func (s *Server) srst(*conn) string {
	s.totals.reset()
	return "Server stats reset.\n"
}

func (s *Server) crst(*conn) string {
	for _, c := range s.connections() {
		c.out.mu.Lock()
		c.out.figures = figures{}
		c.out.mu.Unlock()
	}
	return "Connection stats reset.\n"
}
