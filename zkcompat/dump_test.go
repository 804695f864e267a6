package zkcompat_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strata-coord/strata/zkcompat"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// heard is when the sessions of sample were.
var heard = time.Date(2026, 11, 23, 4, 7, 29, 0, time.UTC)

// sample is what a member with sessions tells.
func sample() []zkcompat.SessionInfo {
	return []zkcompat.SessionInfo{
		{ID: 0x11, Timeout: 4 * time.Second, Heard: heard, Ephemerals: []string{"/a", "/services/b"}},
		{ID: 0x12, Timeout: 4 * time.Second, Heard: heard.Add(time.Second - time.Millisecond)},
		{ID: 0x13, Timeout: 10 * time.Second, Heard: heard},
		{ID: 0x14, Ephemerals: []string{"/services/c"}}, // of a session that is only known by what it owns
	}
}

func TestDump(t *testing.T) {
	w := newWorld(t, func(c *zkcompat.Config) { c.SessionList = sample })
	got := w.ask("dump")
	const want = "SessionTracker dump:\nSession Sets (2)/(3):\n" +
		"2 expire at Mon Nov 23 04:07:34 UTC 2026:\n\t0x11\n\t0x12\n1 expire at Mon Nov 23 04:07:40 UTC 2026:\n\t0x13\n" +
		"ephemeral nodes dump:\nSessions with Ephemerals (2):\n0x11:\n\t/a\n\t/services/b\n0x14:\n\t/services/c\nConnections dump:\nConnections Sets (1)/(1):\n"
	if !strings.HasPrefix(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestWatchWords(t *testing.T) {
	w := newWorld(t, func(c *zkcompat.Config) { c.FourLetterWords = []string{"*"} })
	a, b := w.connect(), w.connect()
	if a.SessionID > b.SessionID {
		a, b = b, a
	}
	a.do(create("/a", ""), 0)
	a.do(get("/a", true), 0)
	a.do(exists("/missing", true), jute.CodeNoNode)
	b.do(get("/a", true), 0)
	b.do(jute.NodeOp{Op: jute.OpGetChildren, Path: "/", Watch: true}, 0) // not a data watch
	b.want(b.send(jute.OpAddWatch, jute.AppendInt(jute.AppendString(nil, "/"), jute.AddRecursive)), 0)
	for word, want := range map[string]string{
		"wchs": "2 connections watching 3 paths\nTotal watches:4\n",
		"wchc": fmt.Sprintf("0x%x\n\t/a\n\t/missing\n0x%x\n\t/\n\t/a\n\n", a.SessionID, b.SessionID),
		"wchp": fmt.Sprintf("/\n\t0x%x\n/a\n\t0x%x\n\t0x%x\n/missing\n\t0x%x\n\n", b.SessionID, a.SessionID, b.SessionID, a.SessionID),
	} {
		if got := w.ask(word); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
	for name, want := range map[string]string{
		"watch_summary":         `{"num_connections":2,"num_paths":3,"num_total_watches":4}`,
		"watches":               fmt.Sprintf(`{"session_id_to_watched_paths":{"%d":["/a","/missing"],"%d":["/","/a"]}}`, a.SessionID, b.SessionID),
		"watches_by_path":       fmt.Sprintf(`{"path_to_session_ids":{"/":[%d],"/a":[%d,%d],"/missing":[%d]}}`, b.SessionID, a.SessionID, b.SessionID, a.SessionID),
		"is_read_only":          `{"read_only":false}`,
		"get_trace_mask":        `{"tracemask":306}`,
		"observers":             `{"synced_observers":0,"observers":[]}`,
		"voting_view":           `{"current_config":{}}`,
		"hash":                  `{"digests":[]}`,
		"dirs":                  `{"datadir_size":0,"logdir_size":0}`,
		"zabstate":              `{"voting":false,"zabstate":"","last_zxid":"0x1","zab_epoch":0,"zab_counter":1}`,
		"last_snapshot":         `{"zxid":"0x0","timestamp":0}`,
		"connection_stat_reset": `{}`,
	} {
		if got := w.command(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// command is what a command tells.
func (w *world) command(name string) string {
	w.t.Helper()
	fs, err := w.server.Command(name, func(string) string { return "" })
	if err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	b, err := json.Marshal(fs)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func TestTraceMask(t *testing.T) {
	w := newWorld(t, func(c *zkcompat.Config) { c.FourLetterWords = []string{"stmk", "gtmk"} })
	if got := w.ask("stmk\x00\x00\x00\x00\x00\x00\x01\x02"); got != "258" {
		t.Errorf("stmk: %q", got)
	}
	if got := w.ask("gtmk"); got != "258" {
		t.Errorf("gtmk: %q", got)
	}
	if got := w.ask("ruok"); got != "ruok is not executed because it is not in the whitelist.\n" {
		t.Errorf("ruok: %q", got)
	}
	if got := w.ask("srvr"); !strings.HasPrefix(got, "Zookeeper version: ") { // always
		t.Errorf("srvr: %q", got)
	}
	if _, err := w.server.Command("set_trace_mask", func(string) string { return "x" }); err == nil {
		t.Error("a mask that is no number was taken")
	}
	if fs, err := w.server.Command("set_trace_mask", func(string) string { return "9" }); err != nil || fs[0].Value != int64(9) || w.ask("gtmk") != "9" {
		t.Errorf("%v, %v", fs, err)
	}
	if _, err := w.server.Command("nosuch", nil); err == nil {
		t.Error("a command that is none was answered")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := zkcompat.Listen(zkcompat.Config{Listen: l, Tier: w.tier, Sessions: w.sessions, FourLetterWords: []string{"ruko"}}); err == nil || !strings.Contains(err.Error(), `"ruko"`) {
		t.Errorf("a word that is none: %v", err)
	}
}

const membership = "server.1=127.0.0.1:7401:7402:participant;127.0.0.1:2181\nserver.2=[fd00::2]:7401:7402:observer;[fd00::2]:2181\nversion=100000007"

func TestAClusterInReadOnlyMode(t *testing.T) {
	info := zkcompat.ServerInfo{
		Mode: "leader", ID: 1, Membership: membership, LeaderID: 1, LeaderAddress: "[fd00::2]:7401", LastProposal: 89, MinProposal: 36, MaxProposal: 323,
		Voters: 2, Observers: 1, SyncedObservers: 1, LocalSessions: 5, Term: 4, Zxid: 7, Fsync: zkcompat.Measure{Count: 4, Sum: 6 * time.Millisecond, Max: 3 * time.Millisecond},
	}
	var readOnly bool
	w := newWorld(t, func(c *zkcompat.Config) {
		c.Server = func() zkcompat.ServerInfo { i := info; i.ReadOnly = readOnly; return i }
		c.ReadOnly = func() bool { return readOnly }
	})
	for word, want := range map[string]string{
		"srvr": `(?s)\nMode: leader\nNode count: 0\nProposal sizes last/min/max: 89/36/323\n$`,
		"conf": `(?s)serverId=1\ninitLimit=0\nsyncLimit=0\nelectionAlg=3\nelectionPort=7402\nquorumPort=7401\npeerType=0\nmembership: \n` + regexp.QuoteMeta(membership) + `$`,
		"mntr": `(?s)\nzk_local_sessions\t5\n.*\nzk_quorum_size\t2\nzk_learners\t1\n.*\nzk_synced_observers\t1\n.*\nzk_last_proposal_size\t89\n.*\nzk_avg_fsynctime\t1\.5\nzk_min_fsynctime\t0\nzk_max_fsynctime\t3\nzk_cnt_fsynctime\t4\nzk_sum_fsynctime\t6\n`,
	} {
		if got := w.ask(word); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: %q, want %s", word, got, want)
		}
	}
	for name, want := range map[string]string{
		"leader":      `{"is_leader":true,"leader_id":1,"leader_ip":"fd00::2"}`,
		"voting_view": `{"current_config":{"1":{"server_addresses":["127.0.0.1:7401"],"election_addresses":["127.0.0.1:7402"],"client_address":"127.0.0.1:2181","learner_type":"PARTICIPANT"}}}`,
		"observers":   `{"synced_observers":1,"observers":[{"id":"2","address":"[fd00::2]:7401"}]}`,
		"zabstate":    `{"voting":true,"zabstate":"broadcast","last_zxid":"0x7","zab_epoch":4,"zab_counter":7}`,
	} {
		if got := w.command(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	readOnly = true
	if got := w.ask("srvr"); !strings.Contains(got, "GMT\nREAD-ONLY mode; serving only read-only clients\nLatency") || !strings.Contains(got, "\nMode: read-only\n") || strings.Contains(got, "Proposal") {
		t.Errorf("srvr: %q", got)
	}
	if got := w.ask("stat"); !strings.Contains(got, "GMT\nREAD-ONLY mode; serving only read-only clients\nClients:\n") {
		t.Errorf("stat: %q", got)
	}
	if got := w.ask("mntr"); !strings.Contains(got, "zk_server_state\tread-only\n") || strings.Contains(got, "zk_peer_state") {
		t.Errorf("mntr: %q", got)
	}
	if got := w.ask("isro"); got != "ro" {
		t.Errorf("isro: %q", got)
	}
}

// Every command answers with an object, also while nobody is served; words say that nobody is.
func TestCommandsOfAMemberThatDoesNotServe(t *testing.T) {
	w := newWorld(t, func(c *zkcompat.Config) {
		c.Ready = func() error { return errors.New("no") }
		c.FourLetterWords = []string{"*"}
	})
	for _, name := range slices.Sorted(maps.Keys(zkcompat.Commands)) {
		fs, err := w.server.Command(name, func(string) string { return "1" })
		b, jsonErr := json.Marshal(fs)
		if failing := name == "leader" || name == "snapshot" || name == "restore"; (err != nil) != failing || jsonErr != nil || !json.Valid(b) {
			t.Errorf("%s: %v, %v, %s", name, err, jsonErr, b)
		}
	}
	serving := map[string]string{"ruok": "imok", "isro": "null", "gtmk": "1"}
	for _, word := range zkcompat.WordNames() {
		switch word {
		case "envi", "srst", "crst", "stmk":
			continue
		}
		want := "This ZooKeeper instance is not currently serving requests\n"
		if s, ok := serving[word]; ok {
			want = s
		}
		if got := w.ask(word); got != want {
			t.Errorf("%s: %q", word, got)
		}
	}
}
