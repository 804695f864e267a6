// Package ensemble reads and writes the servers of a cluster as ZooKeeper's configuration files and its /zookeeper/config do.
package ensemble

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Server is a member as ZooKeeper's configuration writes it (zk-protocol 10.5):
//
//	server.ID=HOST:PORT:PORT[:participant|:observer][;[HOST:]PORT]
//
// where the first part may be several of its kind, joined by |.
type Server struct {
	ID       int64
	Peers    []Peer // at least one
	Observer bool
	Client   string // host:port, the host may be empty; empty: not said
}

// Peer is where the other members reach one. Strata has one port for both purposes.
type Peer struct {
	Host             string
	Quorum, Election string // ports, decimal
}

// Addr is what a member of Strata dials.
func (p Peer) Addr() string { return net.JoinHostPort(p.Host, p.Quorum) }

// ElectionPort is what a member's configuration has for its second port. Nobody listens there: it differs from the first because
// ZooKeeper's own reader, which Curator and zkCli.sh use, refuses a server with two equal ports.
func ElectionPort(port string) string {
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil:
		return port
	case n == 1<<16-1:
		n -= 2
	}
	return strconv.FormatUint(n+1, 10)
}

// Parse reads one server.
func Parse(text string) (s Server, err error) {
	key, value, ok := strings.Cut(text, "=")
	number, isServer := strings.CutPrefix(strings.TrimSpace(key), "server.")
	if !ok || !isServer {
		return s, fmt.Errorf("%q is not of the form server.ID=HOST:PORT:PORT:ROLE;HOST:PORT", text)
	}
	if s.ID, err = ParseID(number); err != nil {
		return s, fmt.Errorf("%q: %w", text, err)
	}
	peers, client, said := strings.Cut(value, ";")
	for p := range strings.SplitSeq(peers, "|") {
		if err := s.addPeer(strings.TrimSpace(p)); err != nil {
			return s, fmt.Errorf("%q: %w", text, err)
		}
	}
	if !said {
		return s, nil
	}
	if s.Client, err = parseClient(strings.TrimSpace(client)); err != nil {
		return s, fmt.Errorf("%q: %w", text, err)
	}
	return s, nil
}

// ParseID reads the number of a member: decimal, not negative.
func ParseID(text string) (int64, error) {
	id, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || id < 0 {
		return 0, fmt.Errorf("%q is not the number of a member", text)
	}
	return id, nil
}

// addPeer reads HOST:PORT:PORT with or without a role; the last role counts.
func (s *Server) addPeer(text string) error {
	host, rest, ok := cutHost(text)
	parts := strings.Split(rest, ":")
	if !ok || len(parts) < 2 || len(parts) > 3 || !IsPort(parts[0]) || !IsPort(parts[1]) {
		return fmt.Errorf("%q is not of the form HOST:PORT:PORT", text)
	}
	if len(parts) == 3 {
		switch strings.ToLower(strings.TrimSpace(parts[2])) {
		case "participant":
			s.Observer = false
		case "observer":
			s.Observer = true
		default:
			return fmt.Errorf("%q is neither participant nor observer", parts[2])
		}
	}
	s.Peers = append(s.Peers, Peer{Host: host, Quorum: parts[0], Election: parts[1]})
	return nil
}

// parseClient reads [HOST:]PORT.
func parseClient(text string) (string, error) {
	host, port := "", text
	if strings.Contains(text, ":") {
		var ok bool
		if host, port, ok = cutHost(text); !ok {
			return "", fmt.Errorf("%q is not of the form HOST:PORT", text)
		}
	}
	if !IsPort(port) {
		return "", fmt.Errorf("%q is no port", port)
	}
	return net.JoinHostPort(host, port), nil
}

// cutHost cuts a host, in brackets if it has colons, from what follows its colon.
func cutHost(text string) (host, rest string, ok bool) {
	if inner, bracket := strings.CutPrefix(text, "["); bracket {
		host, rest, ok = strings.Cut(inner, "]:")
	} else {
		host, rest, ok = strings.Cut(text, ":")
	}
	return host, rest, ok && IsHost(host)
}

// IsHost tells whether a host can stand in a configuration: nothing in it may end a part of a line.
func IsHost(host string) bool {
	return host != "" && !strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("[];,|=#", r) })
}

func IsPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0 && text[0] != '0'
}

// String writes the spec as Parse reads it, always with a role.
func (s Server) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "server.%d=", s.ID)
	for i, p := range s.Peers {
		if i > 0 {
			b.WriteByte('|')
		}
		role := "participant"
		if s.Observer {
			role = "observer"
		}
		fmt.Fprintf(&b, "%s:%s:%s", p.Addr(), p.Election, role)
	}
	if s.Client != "" {
		b.WriteByte(';')
		b.WriteString(strings.TrimPrefix(s.Client, ":"))
	}
	return b.String()
}

// ParseList reads a list of servers, separated by commas or lines. Empty lines, comments and that of the version are passed over.
func ParseList(text string) (ss []Server, err error) {
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "version=") {
			continue
		}
		s, err := Parse(line)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(ss, func(o Server) bool { return o.ID == s.ID }) {
			return nil, fmt.Errorf("server.%d is named twice", s.ID)
		}
		ss = append(ss, s)
	}
	return ss, nil
}

// Format writes servers as lines in the order of their numbers, without an end of the last one.
func Format(ss []Server) string {
	slices.SortFunc(ss, func(a, b Server) int { return cmp.Compare(a.ID, b.ID) })
	lines := make([]string, len(ss))
	for i := range ss {
		lines[i] = ss[i].String()
	}
	return strings.Join(lines, "\n")
}
