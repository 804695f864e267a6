package admin_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/strata-coord/strata/admin"
)

func leader() admin.Status {
	stale := int64(250)
	return admin.Status{
		Member: "one", Version: "test", Role: "voter", Address: "127.0.0.1:7400", Ready: true,
		RaftState: "leader", Leader: "one", LeaderAddress: "127.0.0.1:7400",
		Term: 3, CommitIndex: 41, AppliedIndex: 40, Zxid: "0x1c", StalenessMS: &stale,
		Members:     []admin.Member{{Name: "one", Address: "127.0.0.1:7400", Role: "voter", State: "alive"}, {Name: "two", State: "dead"}, {Name: "three"}},
		Routes:      []admin.Route{{Prefix: "/", Tier: "strong"}, {Prefix: "/config", Tier: "readonly", MaxStaleness: "30s"}},
		Connections: 5, Sessions: 6, Watches: 7, Outstanding: 8, Znodes: 9, Ephemerals: 4, DataBytes: 1000, UptimeMS: 1500,
	}
}

func serve(t *testing.T, cfg admin.Config) *httptest.Server {
	t.Helper()
	h, err := admin.Handler(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, s *httptest.Server, path string) (int, string) {
	t.Helper()
	r, err := s.Client().Get(s.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func TestHealthAndReadiness(t *testing.T) {
	var reason error
	s := serve(t, admin.Config{Status: leader, Ready: func() error { return reason }})
	if code, body := get(t, s, "/readyz"); code != http.StatusOK || body != "ready\n" {
		t.Errorf("a ready member answers /readyz with %d %q", code, body)
	}
	reason = errors.New("no leader: a majority of the 3 voters must reach each other")
	code, body := get(t, s, "/readyz")
	if code != http.StatusServiceUnavailable || !strings.Contains(body, reason.Error()) {
		t.Errorf("a member that is not ready answers /readyz with %d %q; want 503 and the reason", code, body)
	}
	if code, body := get(t, s, "/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("/healthz of a running member is %d %q, ready or not", code, body)
	}
	if code, _ := get(t, s, "/nowhere"); code != http.StatusNotFound {
		t.Errorf("an unknown path is answered with %d", code)
	}
}

func TestReadinessComesFromStatusByDefault(t *testing.T) {
	st := leader()
	s := serve(t, admin.Config{Status: func() admin.Status { return st }})
	if code, _ := get(t, s, "/readyz"); code != http.StatusOK {
		t.Errorf("/readyz = %d", code)
	}
	st.Ready, st.Reason = false, "joining"
	if code, body := get(t, s, "/readyz"); code != http.StatusServiceUnavailable || body != "not ready: joining\n" {
		t.Errorf("/readyz = %d %q", code, body)
	}
}

func TestStatusKeepsItsFieldNames(t *testing.T) {
	s := serve(t, admin.Config{Status: leader})
	_, body := get(t, s, "/v1/status")
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	want := map[string]any{
		"member": "one", "role": "voter", "ready": true, "read_only": false, "raft_state": "leader", "leader": "one", "term": 3.0, "commit_index": 41.0,
		"applied_index": 40.0, "zxid": "0x1c", "staleness_ms": 250.0, "connections": 5.0, "sessions": 6.0, "watches": 7.0, "znodes": 9.0,
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s = %v, want %v", k, got[k], v)
		}
	}
	members, _ := got["members"].([]any)
	routes, _ := got["routes"].([]any)
	if len(members) != 3 || len(routes) != 2 {
		t.Fatalf("members %v, routes %v", members, routes)
	}
	if r := routes[1].(map[string]any); r["prefix"] != "/config" || r["tier"] != "readonly" || r["max_staleness"] != "30s" {
		t.Errorf("routes[1] = %v", r)
	}
}

func TestStatusOfALonelyMemberHasEmptyLists(t *testing.T) {
	s := serve(t, admin.Config{Status: func() admin.Status { return admin.Status{} }})
	_, body := get(t, s, "/v1/status")
	for _, want := range []string{`"members": []`, `"routes": []`, `"staleness_ms": null`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
}

func TestMetrics(t *testing.T) {
	s := serve(t, admin.Config{Status: leader, Traffic: func() admin.Traffic { return admin.Traffic{Received: 11, Sent: 12} }})
	code, body := get(t, s, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	for _, want := range []string{
		"strata_ready 1", "strata_read_only 0", "strata_connections 5", "strata_sessions 6", "strata_watches 7", "strata_outstanding_requests 8",
		"strata_raft_term 3", "strata_raft_commit_index 41", "strata_raft_applied_index 40", "strata_raft_has_leader 1",
		`strata_raft_state{state="leader"} 1`, `strata_raft_state{state="follower"} 0`, "strata_znodes 9",
		`strata_members{state="alive"} 1`, `strata_members{state="dead"} 1`, `strata_members{state="suspect"} 0`,
		"strata_staleness_seconds 0.25", "strata_uptime_seconds 1.5", "strata_requests_total 11", "strata_responses_total 12",
		`strata_info{member="one",role="voter",version="test"} 1`, "# TYPE strata_requests_total counter", "go_goroutines",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no line %q in the scrape", want)
		}
	}
	if strings.Contains(body, "strata_ready 0") {
		t.Error("two values of strata_ready")
	}
}

func TestStalenessIsAbsentWhileUnknown(t *testing.T) {
	s := serve(t, admin.Config{Status: func() admin.Status { return admin.Status{Member: "one"} }})
	if _, body := get(t, s, "/metrics"); strings.Contains(body, "\nstrata_staleness_seconds") || !strings.Contains(body, "strata_ready 0") {
		t.Errorf("the scrape of a member that knows nothing yet:\n%s", body)
	}
}

func TestTwoMembersInOneProcess(t *testing.T) {
	for range 2 {
		if _, err := admin.Handler(admin.Config{Status: leader}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := admin.Handler(admin.Config{}); err == nil {
		t.Error("a Config without Status is accepted")
	}
}
