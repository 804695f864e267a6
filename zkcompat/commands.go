package zkcompat

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// errNoCommand: ZooKeeper has no such command, or none that means something here.
var errNoCommand = errors.New("not offered here")

// commands are what ZooKeeper's AdminServer tells, by canonical name.
var commands = map[string]func(s *Server, arg func(string) string) (Fields, error){
	"configuration":                  fields((*Server).confFields),
	"connection_stat_reset":          fields(func(s *Server) Fields { s.crst(nil); return nil }),
	"connections":                    fields((*Server).connectionFields),
	"dirs":                           fields((*Server).dirFields),
	"dump":                           fields((*Server).dumpFields),
	"environment":                    fields((*Server).environment),
	"get_trace_mask":                 fields(func(s *Server) Fields { return Fields{{"tracemask", s.trace.Load()}} }),
	"hash":                           fields(func(*Server) Fields { return Fields{{"digests", []any{}}} }),
	"initial_configuration":          fields(func(*Server) Fields { return Fields{{"initial_configuration", nil}} }), // it may have secrets
	"is_read_only":                   fields(func(s *Server) Fields { return Fields{{"read_only", s.cfg.ReadOnly()}} }),
	"last_snapshot":                  fields((*Server).lastSnapshot),
	"leader":                         (*Server).leader,
	"monitor":                        fields((*Server).monitor),
	"observer_connection_stat_reset": fields(func(*Server) Fields { return nil }), // members have no such figures of each other
	"observers":                      fields((*Server).observers),
	"restore":                        refused("restore is not offered by this command: POST the backup to /v1/restore, or use strata restore"),
	"ruok":                           fields(func(*Server) Fields { return nil }),
	"server_stats":                   fields((*Server).serverStats),
	"set_trace_mask":                 (*Server).traceMaskCommand,
	"snapshot":                       refused("snapshot is not offered by this command: GET /v1/backup, or use strata backup"),
	"stat_reset":                     fields(func(s *Server) Fields { s.srst(nil); return nil }),
	"stats":                          fields(func(s *Server) Fields { return append(s.serverStats(), s.connectionFields()...) }),
	"system_properties":              fields(systemProperties),
	"voting_view":                    fields((*Server).votingView),
	"watch_summary":                  fields((*Server).watchFields),
	"watches":                        fields(func(s *Server) Fields { return Fields{{"session_id_to_watched_paths", s.pathsBySession()}} }),
	"watches_by_path":                fields(func(s *Server) Fields { return Fields{{"path_to_session_ids", s.sessionsByPath()}} }),
	"zabstate":                       fields((*Server).zabState),
}

// Command is what a command of ZooKeeper's AdminServer tells, by its canonical name; arg gives the arguments, empty for none. It may be called
// concurrently. Errors say in words what is wrong with the arguments, or that there is no such command.
func (s *Server) Command(name string, arg func(string) string) (Fields, error) {
	f := commands[name]
	if f == nil {
		return nil, fmt.Errorf("the command %s is %w", name, errNoCommand)
	}
	return f(s, arg)
}

func fields(f func(*Server) Fields) func(*Server, func(string) string) (Fields, error) {
	return func(s *Server, _ func(string) string) (Fields, error) { return f(s), nil }
}

func refused(why string) func(*Server, func(string) string) (Fields, error) {
	return func(*Server, func(string) string) (Fields, error) { return nil, errors.New(why) }
}

func (s *Server) confFields() Fields {
	i := s.cfg.Server()
	fs := Fields{{"client_port", portOf(s.cfg.Listen)}}
	if s.cfg.TLS != nil && s.cfg.TLS.Listen != nil {
		fs.add("secure_client_port", portOf(s.cfg.TLS.Listen))
	}
	fs.add("data_dir", i.DataDir)
	fs.add("data_log_dir", i.DataDir)
	fs.add("tick_time", ms(s.cfg.Tick))
	fs.add("max_client_cnxns", s.cfg.MaxPerAddress)
	fs.add("min_session_timeout", ms(s.cfg.MinTimeout))
	fs.add("max_session_timeout", ms(s.cfg.MaxTimeout))
	fs.add("server_id", i.ID)
	fs.add("client_port_listen_backlog", -1)
	return fs
}

func (s *Server) dirFields() Fields {
	i := s.cfg.Server()
	return Fields{{"datadir_size", i.DataDirSize}, {"logdir_size", i.LogDirSize}}
}

func (s *Server) connectionFields() Fields {
	plain, secure := []Fields{}, []Fields{}
	for _, c := range s.connections() {
		if f := c.fields(); c.encrypted.Load() {
			secure = append(secure, f)
		} else {
			plain = append(plain, f)
		}
	}
	return Fields{{"connections", plain}, {"secure_connections", secure}}
}

func (c *conn) fields() Fields {
	c.out.mu.Lock()
	f, queued := c.out.figures, len(c.out.slots)
	c.out.mu.Unlock()
	fs := Fields{
		{"remote_socket_address", c.from()}, {"interest_ops", 1}, {"outstanding_requests", queued},
		{"packets_received", f.received}, {"packets_sent", f.sent},
	}
	l := c.lease.Load()
	if l == nil {
		return fs
	}
	fs.add("session_id", int64(l.ID))
	fs.add("last_operation", lastOp(&f))
	fs.add("established", c.since.UnixMilli())
	fs.add("session_timeout", ms(l.Timeout))
	if f.lastXid >= 0 && f.lastOp != 0 {
		fs.add("last_cxid", f.lastXid)
	}
	fs.add("last_zxid", f.lastZxid)
	fs.add("last_response_time", millis(f.lastReply))
	fs.add("last_latency", ms(f.latency.last))
	fs.add("min_latency", ms(f.latency.min))
	fs.add("avg_latency", ms(f.latency.avg()))
	fs.add("max_latency", ms(f.latency.max))
	return fs
}

// millis is since the Unix epoch; 0 for no time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func (s *Server) serverStats() Fields {
	i, st := s.cfg.Server(), s.Stats()
	sizes := Fields{
		{"last_buffer_size", s.totals.lastSize.Load()}, {"min_buffer_size", s.totals.minSize.Load()}, {"max_buffer_size", s.totals.maxSize.Load()},
	}
	return Fields{
		{"version", i.version()},
		{"read_only", s.cfg.ReadOnly()},
		{"server_stats", Fields{
			{"packets_sent", st.Sent}, {"packets_received", st.Received}, {"fsync_threshold_exceed_count", 0}, {"client_response_stats", sizes},
			{"uptime", i.uptime()}, {"data_dir_size", i.DataDirSize}, {"log_dir_size", i.LogDirSize}, {"provider_null", s.cfg.Ready() != nil}, {"server_state", i.mode()},
			{"last_processed_zxid", int64(i.Zxid)}, {"outstanding_requests", st.Outstanding},
			{"avg_latency", decimal(st.AvgLatency)}, {"max_latency", ms(st.MaxLatency)}, {"min_latency", ms(st.MinLatency)},
			{"num_alive_client_connections", st.Connections}, {"auth_failed_count", s.totals.authFailures.Load()},
			{"non_mtlsremote_conn_count", 0}, {"non_mtlslocal_conn_count", 0},
		}},
		{"client_response", sizes},
		{"node_count", i.Znodes},
	}
}

func (s *Server) watchFields() Fields {
	sessions, paths, watches := s.watchSummary()
	return Fields{{"num_connections", sessions}, {"num_paths", paths}, {"num_total_watches", watches}}
}

func (s *Server) lastSnapshot() Fields {
	i := s.cfg.Server()
	at := int64(0)
	if !i.SnapshotTime.IsZero() {
		at = i.SnapshotTime.Unix()
	}
	return Fields{{"zxid", i.SnapshotZxid.String()}, {"timestamp", at}}
}

func (s *Server) leader(func(string) string) (Fields, error) {
	i := s.cfg.Server()
	if i.LeaderAddress == "" {
		return nil, errors.New("server is not initialized")
	}
	host := i.LeaderAddress
	if at := strings.LastIndexByte(host, ':'); at >= 0 {
		host = strings.Trim(host[:at], "[]")
	}
	return Fields{{"is_leader", i.Mode == "leader" || i.Mode == "standalone"}, {"leader_id", i.LeaderID}, {"leader_ip", host}}, nil
}

// observers are those that follow this one; a member knows them from the configuration.
func (s *Server) observers() Fields {
	i := s.cfg.Server()
	list := []Fields{}
	if i.Mode == "leader" {
		for _, v := range view(i.Membership) {
			if v.kind == "observer" {
				list = append(list, Fields{{"id", v.id}, {"address", v.peer}})
			}
		}
	}
	return Fields{{"synced_observers", i.SyncedObservers}, {"observers", list}}
}

// viewed is a line of the configuration.
type viewed struct{ id, peer, election, kind, client string }

// view reads the text of /zookeeper/config, which Strata writes.
func view(membership string) (vs []viewed) {
	for line := range strings.Lines(membership) {
		id, rest, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "server."), "=")
		if !ok || !strings.HasPrefix(line, "server.") {
			continue
		}
		servers, client, _ := strings.Cut(rest, ";")
		parts := strings.Split(servers, ":")
		if n := len(parts); n >= 4 {
			host := strings.Join(parts[:n-3], ":")
			vs = append(vs, viewed{id, host + ":" + parts[n-3], host + ":" + parts[n-2], parts[n-1], client})
		}
	}
	return vs
}

func (s *Server) votingView() Fields {
	current := Fields{}
	for _, v := range view(s.cfg.Server().Membership) {
		if v.kind != "participant" {
			continue
		}
		current.add(v.id, Fields{
			{"server_addresses", []string{v.peer}}, {"election_addresses", []string{v.election}}, {"client_address", v.client}, {"learner_type", "PARTICIPANT"},
		})
	}
	return Fields{{"current_config", current}}
}

// zabState tells of raft in ZooKeeper's words: the epoch is the term, and the counter is what of the zxid changes within one.
func (s *Server) zabState() Fields {
	i := s.cfg.Server()
	state := ""
	if i.Mode == "leader" || i.Mode == "follower" || i.Mode == "observer" {
		state = "broadcast"
	}
	return Fields{
		{"voting", i.Mode == "leader" || i.Mode == "follower"}, {"zabstate", state}, {"last_zxid", i.Zxid.String()},
		{"zab_epoch", i.Term}, {"zab_counter", int64(i.Zxid)},
	}
}

func (s *Server) traceMaskCommand(arg func(string) string) (Fields, error) {
	mask, err := strconv.ParseInt(arg("traceMask"), 10, 64)
	if err != nil {
		return nil, errors.New("setTraceMask requires long traceMask argument")
	}
	s.trace.Store(mask)
	return Fields{{"tracemask", mask}}, nil
}

// environment has the keys of the original; what belongs to its runtime is told of ours.
func (s *Server) environment() (fs Fields) {
	i := s.cfg.Server()
	host, _ := os.Hostname() // unknown is empty
	dir, _ := os.Getwd()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fs.add("zookeeper.version", i.version())
	fs.add("host.name", host)
	fs.add("java.version", runtime.Version())
	fs.add("java.vendor", "Go")
	for _, key := range []string{"java.home", "java.class.path", "java.library.path"} {
		fs.add(key, "")
	}
	fs.add("java.io.tmpdir", os.TempDir())
	fs.add("java.compiler", runtime.Compiler)
	fs.add("os.name", runtime.GOOS)
	fs.add("os.arch", runtime.GOARCH)
	fs.add("os.version", "")
	fs.add("user.name", os.Getenv("USER"))
	fs.add("user.home", os.Getenv("HOME"))
	fs.add("user.dir", dir)
	fs.add("os.memory.free", strconv.FormatUint((m.HeapSys-m.HeapInuse)>>20, 10)+"MB")
	fs.add("os.memory.max", strconv.FormatUint(m.Sys>>20, 10)+"MB")
	fs.add("os.memory.total", strconv.FormatUint(m.HeapSys>>20, 10)+"MB")
	return fs
}

// systemProperties are Java's; ours has the few that mean something without Java.
func systemProperties(*Server) Fields {
	return Fields{
		{"java.version", runtime.Version()}, {"os.name", runtime.GOOS}, {"os.arch", runtime.GOARCH},
		{"file.separator", string(os.PathSeparator)}, {"user.name", os.Getenv("USER")}, {"user.home", os.Getenv("HOME")},
	}
}
