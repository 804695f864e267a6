package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/strata-coord/strata/zkcompat"
)

// settings are what serve is told by flags and file. Each has one flag; the file's keys are the flags' names.
type settings struct {
	name            string
	dataDir         string
	bind            string
	join            []string
	bootstrapExpect int
	role            string
	zkListen        string
	zkAdvertise     string
	adminListen     string
	reconfigEnabled bool
	routes          []string
	tick            time.Duration
	minSession      time.Duration // 0: two ticks
	maxSession      time.Duration // 0: twenty ticks
	heartbeat       time.Duration
	maxHeartbeat    time.Duration // 0: ten heartbeats
	diskDeadline    time.Duration // 0: 5/2 heartbeats
	diskReserve     int64         // bytes; 0: the default
	containerCheck  time.Duration
	enforceQuota    bool
	maxFrame        int
	maxPerAddress   int
	guard           guardSettings
	words           []string
	config          string
	ignored         []string // keys of a zoo.cfg that mean nothing here
	logLevel        slog.Level
}

const (
	roleVoter   = "voter"
	roleReplica = "replica"
)

var defaultRoutes = []string{"/=strong", "/locks=strong", "/services=eventual", "/config=readonly", "/configs=readonly"}

func (s *settings) register(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&s.name, "name", "", "this member's `NAME`: unique in the cluster, the same at every start (default: host name)")
	f.StringVar(&s.dataDir, "data-dir", "strata-data", "the `DIR` for the log, snapshots and identity of this member; made if missing")
	f.StringVar(&s.bind, "bind", "127.0.0.1:7400", "where the other members reach this one, TCP and UDP: `HOST:PORT`")
	f.StringSliceVar(&s.join, "join", nil, "other members, `HOST:PORT,...`; this one may be among them")
	f.IntVar(&s.bootstrapExpect, "bootstrap-expect", 1, "first start only: form the cluster when `N` voters are there")
	f.StringVar(&s.role, "role", roleVoter, "`ROLE`: voter, or replica: keeps the tree and serves clients without a vote")
	f.StringVar(&s.zkListen, "zk-listen", "127.0.0.1:2181", "where ZooKeeper clients connect, `HOST:PORT`; empty for none")
	f.StringVar(&s.zkAdvertise, "zk-advertise", "", "where clients are told, in /zookeeper/config, that this member's --zk-listen is, `HOST:PORT`\n(default: that address, with one of this host's for all addresses)")
	f.StringVar(&s.adminListen, "admin-listen", "127.0.0.1:8080", "health, metrics and status over HTTP, `HOST:PORT`; empty for none")
	f.StringArrayVar(&s.routes, "route", defaultRoutes, "the tier of a prefix, `PREFIX=TIER`, repeatable; the longest prefix wins.\n"+
		"Tiers: strong, eventual, readonly[,max-staleness=DURATION]. Given once, they replace\nthe default routes; / is strong unless a route says otherwise")
	f.DurationVar(&s.tick, "tick", 2*time.Second, "ZooKeeper's tickTime, a `DURATION`: session timeouts are clamped to 2..20 ticks")
	f.DurationVar(&s.minSession, "min-session-timeout", 0, "shortest session timeout that a client may negotiate, a `DURATION` (default: 2 ticks)")
	f.DurationVar(&s.maxSession, "max-session-timeout", 0, "longest session timeout that a client may negotiate, a `DURATION` (default: 20 ticks)")
	f.DurationVar(&s.heartbeat, "heartbeat", 200*time.Millisecond, "a leader that hangs is replaced after 3/2 of this `DURATION`, one that has ended at once")
	f.DurationVar(&s.maxHeartbeat, "max-heartbeat", 0, "to what long round trips between members may stretch that, a `DURATION` (default: 10 heartbeats)")
	f.DurationVar(&s.diskDeadline, "disk-deadline", 0, "a leader whose write to the log takes longer than this `DURATION` lets another member lead (default: 5/2 heartbeats)")
	f.Int64Var(&s.diskReserve, "disk-reserve", 0, "how much of the disk is kept back, `BYTES`: with less room on a majority, clients' writes are refused\n(default: 64 MiB, or a twentieth of a smaller disk)")
	f.DurationVar(&s.containerCheck, "container-check-interval", time.Minute, "how often containers without children and TTL znodes whose time is over are deleted, a `DURATION`")
	f.BoolVar(&s.enforceQuota, "enforce-quota", false, "refuse writes beyond the hard limits of quotas; without it they are logged, as beyond soft limits")
	f.IntVar(&s.maxFrame, "max-frame", 1048575, "longest request of a ZooKeeper client, `BYTES` (jute.maxbuffer); at most 16 MiB")
	f.IntVar(&s.maxPerAddress, "max-client-connections", 0, "how many connections one address may have, `N`; 0: no limit (maxClientCnxns)")
	s.guard.register(f)
	f.StringSliceVar(&s.words, "four-letter-words", nil, "the four-letter words that are answered, a `LIST`; * for all (default: all but stmk, wchc, wchp)")
	f.BoolVar(&s.reconfigEnabled, "reconfig-enabled", false, "let clients that may write /zookeeper/config, at first super alone, change the members (reconfigEnabled)")
	f.StringVar(&s.config, "config", "", "a YAML `FILE` with the same keys, or a zoo.cfg; flags win")
	f.TextVar(&s.logLevel, "log-level", slog.LevelInfo, "log `LEVEL`: debug, info, warn or error; logs go to stderr")
}

// What --max-frame may be: a connect request has to fit, and many requests have to fit into what members send each other.
const minFrame, maxFrame = 1 << 10, 16 << 20

// complete fills in what depends on other settings or on the machine, and refuses what can't work, before anything is opened.
func (s *settings) complete() error {
	if s.name == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("the host has no name (%w): give the member one with --name", err)
		}
		s.name = host
	}
	if strings.ContainsAny(s.name, " \t\r\n/=,") {
		return fmt.Errorf("--name %q: a member's name can't contain spaces, slashes, commas or equals signs", s.name)
	}
	if s.dataDir == "" {
		return errors.New("--data-dir is empty: say where this member keeps its data")
	}
	if s.minSession == 0 {
		s.minSession = 2 * s.tick
	}
	if s.maxSession == 0 {
		s.maxSession = 20 * s.tick
	}
	for i, w := range s.words {
		s.words[i] = strings.TrimSpace(w)
	}
	switch {
	case s.role != roleVoter && s.role != roleReplica:
		return fmt.Errorf("--role %q: a member is a voter or a replica", s.role)
	case s.role == roleReplica && len(s.others()) == 0:
		return errors.New("--role replica needs --join: a replica follows voters and can't be alone")
	case s.bootstrapExpect < 1:
		return fmt.Errorf("--bootstrap-expect %d: a cluster has at least one voter", s.bootstrapExpect)
	case s.bootstrapExpect > 1 && len(s.others()) == 0:
		return fmt.Errorf("--bootstrap-expect %d needs --join: say where the other voters are", s.bootstrapExpect)
	case s.tick <= 0:
		return fmt.Errorf("--tick %v: must be positive", s.tick)
	case s.maxFrame < minFrame || s.maxFrame > maxFrame:
		return fmt.Errorf("--max-frame %d: want %d to %d bytes", s.maxFrame, minFrame, maxFrame)
	case len(s.words) > 0 && zkcompat.CheckWords(s.words) != nil:
		return fmt.Errorf("--four-letter-words: %w", zkcompat.CheckWords(s.words))
	case s.maxPerAddress < 0:
		return fmt.Errorf("--max-client-connections %d: want a number, 0 for no limit", s.maxPerAddress)
	case s.heartbeat < 20*time.Millisecond:
		return fmt.Errorf("--heartbeat %v: want at least 20ms, which the scheduler of a busy machine can keep", s.heartbeat)
	case s.maxHeartbeat != 0 && s.maxHeartbeat < s.heartbeat:
		return fmt.Errorf("--max-heartbeat %v: want at least --heartbeat, %v", s.maxHeartbeat, s.heartbeat)
	case s.diskDeadline != 0 && s.diskDeadline < s.heartbeat:
		return fmt.Errorf("--disk-deadline %v: want at least --heartbeat, %v", s.diskDeadline, s.heartbeat)
	case s.diskReserve < 0:
		return fmt.Errorf("--disk-reserve %d: want a number of bytes, 0 for the default", s.diskReserve)
	case s.containerCheck <= 0:
		return fmt.Errorf("--container-check-interval %v: must be positive", s.containerCheck)
	case s.minSession < 0 || s.minSession > s.maxSession:
		return fmt.Errorf("--min-session-timeout %v and --max-session-timeout %v: the shortest must be positive and not above the longest", s.minSession, s.maxSession)
	}
	if err := s.guard.complete(s.zkListen); err != nil {
		return err
	}
	return s.checkAddresses()
}

// others are the addresses of --join without our own.
func (s *settings) others() []string {
	var o []string
	for _, a := range s.join {
		if a != s.bind {
			o = append(o, a)
		}
	}
	return o
}

func (s *settings) checkAddresses() error {
	host, _, err := net.SplitHostPort(s.bind)
	if err != nil {
		return fmt.Errorf("--bind %q: want HOST:PORT (%w)", s.bind, err)
	}
	if ip := net.ParseIP(host); len(s.others()) > 0 && (host == "" || ip != nil && ip.IsUnspecified()) {
		return fmt.Errorf("--bind %q: the other members need an address under which to reach this one: bind to that address", s.bind)
	}
	for _, a := range s.join {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return fmt.Errorf("--join %q: want HOST:PORT (%w)", a, err)
		}
	}
	if s.zkAdvertise != "" && s.zkListen == "" && s.guard.tlsListen == "" {
		return errors.New("--zk-advertise needs --zk-listen: without it there is nothing to connect to")
	}
	for flag, a := range map[string]string{"--zk-listen": s.zkListen, "--zk-advertise": s.zkAdvertise, "--zk-tls-listen": s.guard.tlsListen, "--admin-listen": s.adminListen} {
		if a == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(a); err != nil {
			return fmt.Errorf("%s %q: want HOST:PORT, or empty for none (%w)", flag, a, err)
		}
	}
	return nil
}
