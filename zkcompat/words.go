package zkcompat

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strata-coord/strata/zkcompat/jute"
)

// protocolVersion is the release of ZooKeeper that the listener behaves as. Clients choose features by the digits in front.
const protocolVersion = "3.9.3"

const notServing = "This ZooKeeper instance is not currently serving requests\n"

// words are ZooKeeper's four-letter words, in the exact shapes that tools parse.
var words = map[string]func(*Server, *conn) string{
	"ruok": func(*Server, *conn) string { return "imok" },
	"isro": (*Server).isro,
	"srvr": serving((*Server).srvr),
	"stat": serving((*Server).stat),
	"mntr": serving((*Server).mntr),
	"conf": serving((*Server).conf),
	"cons": serving((*Server).cons),
	"wchs": serving((*Server).wchs),
	"wchc": serving((*Server).wchc),
	"wchp": serving((*Server).wchp),
	"dump": serving((*Server).dump),
	"dirs": serving((*Server).dirs),
	"hash": serving(func(*Server, *conn) string { return "" }), // the tree has no digest in ZooKeeper's way
	"envi": (*Server).envi,
	"srst": (*Server).srst,
	"crst": (*Server).crst,
	"gtmk": (*Server).traceMask,
	"stmk": (*Server).setTraceMask,
}

// telnetInterrupt is what telnet sends for Ctrl-C: ZooKeeper counts it as a word that ends the connection.
const telnetInterrupt = "\xff\xf4\xff\xfd"

// WordNames are the four-letter words, sorted.
func WordNames() []string { return slices.Sorted(maps.Keys(words)) }

// defaultWords are those that cost little and change nothing.
func defaultWords() []string {
	return slices.DeleteFunc(WordNames(), func(w string) bool { return w == "stmk" || w == "wchc" || w == "wchp" })
}

// CheckWords says which of the names is no word.
func CheckWords(names []string) error {
	for _, w := range names {
		if words[w] == nil && w != "*" {
			return fmt.Errorf("%q is no four-letter word: there are %s, and * for all", w, strings.Join(WordNames(), ", "))
		}
	}
	return nil
}

// word answers a four-letter word. ok is false if w is none: then it is the length of a frame.
func (s *Server) word(w string, asking *conn) (answer []byte, ok bool) {
	f := words[w]
	switch {
	case w == telnetInterrupt:
		return nil, true
	case f == nil:
		return nil, false
	case w != "srvr" && !slices.Contains(s.cfg.FourLetterWords, w) && !slices.Contains(s.cfg.FourLetterWords, "*"):
		return []byte(w + " is not executed because it is not in the whitelist.\n"), true
	}
	return []byte(f(s, asking)), true
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

// The trace mask is kept for tools that set and read it. Nothing is traced by it.
const defaultTraceMask = 306

func (s *Server) traceMask(*conn) string { return strconv.FormatInt(s.trace.Load(), 10) }

// setTraceMask reads the mask behind the word.
func (s *Server) setTraceMask(asking *conn) string {
	var b [8]byte
	if _, err := io.ReadFull(asking.r, b[:]); err != nil {
		return ""
	}
	s.trace.Store(int64(binary.BigEndian.Uint64(b[:])))
	return s.traceMask(asking)
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

// heading begins srvr and stat.
func (i *ServerInfo) heading() string {
	h := "Zookeeper version: " + i.version() + "\n"
	if i.ReadOnly {
		h += "READ-ONLY mode; serving only read-only clients\n"
	}
	return h
}

func (s *Server) srvr(*conn) string {
	i := s.cfg.Server()
	return i.heading() + s.summary(&i)
}

// summary is what srvr and stat have in common.
func (s *Server) summary(i *ServerInfo) string {
	var b strings.Builder
	st := s.Stats()
	fmt.Fprintf(&b, "Latency min/avg/max: %d/%s/%d\n", ms(st.MinLatency), decimal(st.AvgLatency), ms(st.MaxLatency))
	fmt.Fprintf(&b, "Received: %d\nSent: %d\nConnections: %d\nOutstanding: %d\n", st.Received, st.Sent, st.Connections, st.Outstanding)
	fmt.Fprintf(&b, "Zxid: 0x%x\nMode: %s\nNode count: %d\n", uint64(i.Zxid), i.mode(), i.Znodes)
	if i.Mode == "leader" && !i.ReadOnly {
		fmt.Fprintf(&b, "Proposal sizes last/min/max: %d/%d/%d\n", i.LastProposal, i.MinProposal, i.MaxProposal)
	}
	return b.String()
}

func (s *Server) stat(asking *conn) string {
	i := s.cfg.Server()
	var b strings.Builder
	b.WriteString(i.heading() + "Clients:\n")
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

// conf tells of the settings, and in a cluster of the members. Where ZooKeeper's protocol between servers has settings that Strata's has
// not, they are 0.
func (s *Server) conf(*conn) string {
	i := s.cfg.Server()
	port, securePort := portOf(s.cfg.Listen), -1
	if s.cfg.TLS != nil {
		securePort = portOf(s.cfg.TLS.Listen)
	}
	text := fmt.Sprintf("clientPort=%d\nsecureClientPort=%d\ndataDir=%s\ndataDirSize=%d\ndataLogDir=%s\ndataLogSize=%d\ntickTime=%d\n"+
		"maxClientCnxns=%d\nminSessionTimeout=%d\nmaxSessionTimeout=%d\nclientPortListenBacklog=-1\nserverId=%d\n",
		port, securePort, i.DataDir, i.DataDirSize, i.DataDir, i.LogDirSize, ms(s.cfg.Tick), s.cfg.MaxPerAddress, ms(s.cfg.MinTimeout), ms(s.cfg.MaxTimeout), i.ID)
	if i.Membership == "" {
		return text + "\n"
	}
	var electionPort, quorumPort string
	peerType := 0
	for _, v := range view(i.Membership) {
		if v.id == strconv.FormatInt(i.ID, 10) {
			quorumPort, electionPort = v.peer[strings.LastIndexByte(v.peer, ':')+1:], v.election[strings.LastIndexByte(v.election, ':')+1:]
		}
	}
	if i.Mode == "observer" {
		peerType = 1
	}
	return text + fmt.Sprintf("initLimit=0\nsyncLimit=0\nelectionAlg=3\nelectionPort=%s\nquorumPort=%s\npeerType=%d\nmembership: \n%s",
		electionPort, quorumPort, peerType, i.Membership)
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

func (s *Server) dirs(*conn) string {
	i := s.cfg.Server()
	return fmt.Sprintf("datadir_size: %d\nlogdir_size: %d\n", i.DataDirSize, i.LogDirSize)
}

func (s *Server) envi(*conn) string {
	var b strings.Builder
	b.WriteString("Environment:\n")
	for _, f := range s.environment() {
		fmt.Fprintf(&b, "%s=%v\n", f.Name, f.Value)
	}
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
