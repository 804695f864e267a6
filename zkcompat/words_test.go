package zkcompat_test

import (
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/strata-coord/strata/zkcompat"
	"github.com/strata-coord/strata/zkcompat/jute"
)

func TestWords(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	c.do(create("/a", ""), 0)
	c.do(get("/a", true), 0)
	const (
		version = `3\.9\.3-strata-0\.1, built on 01/02/2025 03:03 GMT\n`
		summary = `Latency min/avg/max: \d+/\d+\.\d+/\d+\nReceived: 3\nSent: 3\nConnections: 2\nOutstanding: 0\nZxid: 0x1\nMode: standalone\nNode count: \d+\n`
		addr    = `127\.0\.0\.1:\d+`
	)
	for _, x := range []struct{ word, shape string }{
		{"ruok", `imok`},
		{"isro", `rw`},
		{"srvr", `Zookeeper version: ` + version + summary},
		{"stat", `Zookeeper version: ` + version + `Clients:\n( /` + addr + `\[[01]\]\(queued=0,recved=\d+,sent=\d+\)\n){2}\n` + summary},
		{"cons", ` /` + addr + `\[1\]\(queued=0,recved=2,sent=2,sid=0x[0-9a-f]+,lop=GETD,est=\d+,to=30000,lcxid=0x2,lzxid=0x1,lresp=\d+,llat=\d+,minlat=\d+,avglat=\d+,maxlat=\d+\)\n /` + addr + `\[0\]\(queued=0,recved=0,sent=0\)\n\n`},
		{"wchs", `1 connections watching 1 paths\nTotal watches:1\n`},
		{"dirs", `datadir_size: 0\nlogdir_size: 0\n`},
		{"conf", `clientPort=\d+\nsecureClientPort=-1\ndataDir=\ndataDirSize=0\ndataLogDir=\ndataLogSize=0\ntickTime=2000\nmaxClientCnxns=0\nminSessionTimeout=4000\nmaxSessionTimeout=40000\nclientPortListenBacklog=-1\nserverId=1\n\n`},
		{"envi", `Environment:\nzookeeper\.version=` + version + `host\.name=.*\n(.*=.*\n){16}`},
		{"dump", `SessionTracker dump:\nSession Sets \(0\)/\(0\):\nephemeral nodes dump:\nSessions with Ephemerals \(0\):\nConnections dump:\n` +
			`Connections Sets \(\d\)/\(2\):\n([12] expire at .*:\n(\tip: /` + addr + ` sessionId: 0x[0-9a-f]+\n)+)+\n`},
		{"hash", ``},
		{"gtmk", `306`},
		{"stmk\x00\x00\x00\x00\x00\x00\x00\x07", `stmk is not executed because it is not in the whitelist\.\n`},
		{"wchp", `wchp is not executed because it is not in the whitelist\.\n`},
		{"\xff\xf4\xff\xfd", ``},
		{"wchc", `wchc is not executed because it is not in the whitelist\.\n`},
		{"ruok\n", `imok`},
		{"xxxx", ``},
		{"RUOK", ``},
		{"srst", `Server stats reset\.\n`},
		{"crst", `Connection stats reset\.\n`},
	} {
		got := w.ask(x.word)
		if !regexp.MustCompile(`\A` + x.shape + `\z`).MatchString(got) {
			t.Errorf("%q: %q\nwant %s", x.word, got, x.shape)
		}
	}
	c.bytes([]byte("ruok")) // after the handshake it is a length
	c.closed()
}

func TestMntr(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	c.do(create("/a", "data"), 0)
	got := w.ask("mntr")
	keys := map[string]string{}
	var order []string
	for line := range strings.Lines(got) {
		k, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok || !strings.HasPrefix(k, "zk_") || v == "" {
			t.Errorf("line %q", line)
		}
		keys[k] = v
		order = append(order, k)
	}
	if len(order) < 2 || order[0] != "zk_version" || order[1] != "zk_server_state" {
		t.Errorf("begins with %v", order)
	}
	for k, want := range map[string]string{
		"zk_server_state": "standalone", "zk_num_alive_connections": "2", "zk_outstanding_requests": "0", "zk_packets_received": "2",
		"zk_approximate_data_size": "4", "zk_watch_count": "0", "zk_ephemerals_count": "0", "zk_connection_drop_probability": "0.0",
	} {
		if keys[k] != want {
			t.Errorf("%s is %q, want %q", k, keys[k], want)
		}
	}
	leader := newWorld(t, func(c *zkcompat.Config) {
		c.Server = func() zkcompat.ServerInfo {
			return zkcompat.ServerInfo{Mode: "leader", Version: "0.1 beta/2", Followers: 2, SyncedFollowers: 1, Started: time.Now()}
		}
	})
	got = leader.ask("mntr")
	for _, want := range []string{"3.9.3-strata-0.1-beta-2, built", "\nzk_peer_state\tleading - broadcast\n", "\nzk_synced_followers\t1\n", "\nzk_followers\t2\n", "\nzk_learners\t2\n", "\nzk_uptime\t"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if got := leader.ask("srvr"); !strings.Contains(got, "Mode: leader\n") || !strings.Contains(got, "\nProposal sizes last/min/max: ") {
		t.Errorf("%q", got)
	}
}

// A word may come in pieces, and from a client that says nothing more.
func TestWordInPieces(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	for _, b := range []byte("ruok") {
		c.bytes([]byte{b})
	}
	if err := c.nc.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if n, _ := c.nc.Read(b); string(b[:n]) != "imok" {
		t.Errorf("%q", b[:n])
	}
}

// What a client library takes apart must fit its patterns.
func TestWordsAsAClientReadsThem(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	c.want(c.send(jute.OpSync, jute.AppendString(nil, "/")), 0)
	servers := []string{w.server.Addr().String()}
	if ok := zk.FLWRuok(servers, patience); !ok[0] {
		t.Error("ruok")
	}
	stats, ok := zk.FLWSrvr(servers, patience)
	if !ok || stats[0].Error != nil || stats[0].Mode != zk.ModeStandalone || stats[0].Version != "3.9.3-strata-0.1" {
		t.Errorf("srvr: %+v", stats[0])
	}
	// The asking connection has no session, which this library can't read: neither in ZooKeeper's answer.
	if cons, _ := zk.FLWCons(servers, patience); len(cons[0].Clients) != 1 || cons[0].Clients[0].SessionID != c.SessionID {
		t.Errorf("cons: %+v", cons[0])
	}
}
