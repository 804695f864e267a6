package compare

import (
	"regexp"
	"slices"
	"strings"
)

var (
	number  = regexp.MustCompile(`0x[0-9a-f]+|-?\d+(\.\d+)?`)
	release = regexp.MustCompile(`(ersion: ?)\S+ built on [^\n]+`)
	digest  = regexp.MustCompile(`^[0-9a-f]+: \d+$`)
	lastOp  = regexp.MustCompile(`lop=[A-Z0-9]+`)
	day     = regexp.MustCompile(`(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d\d \S+ \S+`)
)

// exported are the keys of mntr that exporters ask for, of a server that stands alone (zk-protocol 1.7). The several hundred
// others of ZooKeeper are its inner life.
var exported = strings.Fields(`zk_version zk_server_state zk_avg_latency zk_max_latency zk_min_latency zk_packets_received
	zk_packets_sent zk_num_alive_connections zk_outstanding_requests zk_znode_count zk_watch_count zk_ephemerals_count
	zk_approximate_data_size zk_open_file_descriptor_count zk_max_file_descriptor_count
	zk_global_sessions zk_local_sessions zk_connection_drop_probability zk_last_client_response_size zk_min_client_response_size
	zk_max_client_response_size zk_uptime zk_outstanding_tls_handshake zk_auth_failed_count zk_non_mtls_remote_conn_count
	zk_non_mtls_local_conn_count`)

// wordShape is the answer to a four-letter word as far as it can be the same on two servers: its lines without numbers, and of
// lists of keys only the keys.
func wordShape(word, text string) []string {
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		switch word {
		case "mntr":
			l, _, _ = strings.Cut(l, "\t")
		case "envi", "conf":
			l, _, _ = strings.Cut(l, "=")
		}
		l = release.ReplaceAllString(l, "${1}V built on D")
		l = day.ReplaceAllString(l, "DAY")
		if word == "hash" {
			l = digest.ReplaceAllString(l, "ZXID: DIGEST")
		} else if word != "ruok" {
			l = number.ReplaceAllString(l, "N")
		}
		lines[i] = l
	}
	if word == "cons" || word == "stat" {
		for i, l := range lines {
			lines[i] = lastOp.ReplaceAllString(l, "lop=OP")
		}
	}
	switch word {
	case "cons", "dump", "wchc", "wchp":
		slices.Sort(lines)
	}
	if word == "mntr" {
		lines = slices.DeleteFunc(lines, func(key string) bool { return !slices.Contains(exported, key) })
		slices.Sort(lines)
	}
	return slices.Compact(lines) // there is no telling how many connections there are
}
