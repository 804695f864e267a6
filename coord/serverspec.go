package coord

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// serverSpec is a member as ZooKeeper's configuration writes it (zk-protocol 10.5):
//
//	server.ID=HOST:PORT:PORT[:participant|:observer][;[HOST:]PORT]
//
// where the first part may be several of its kind, joined by |.
type serverSpec struct {
	id       int64
	peers    []peerSpec // at least one
	observer bool
	client   string // host:port, the host may be empty; empty: not said
}

// peerSpec is where the other members reach one. Strata has one port for both purposes.
type peerSpec struct {
	host             string
	quorum, election string // ports, decimal
}

// addr is what a member of Strata dials.
func (p peerSpec) addr() string { return net.JoinHostPort(p.host, p.quorum) }

// electionPort is what a member's configuration has for its second port. Nobody listens there: it differs from the first because
// ZooKeeper's own reader, which Curator and zkCli.sh use, refuses a server with two equal ports.
func electionPort(port string) string {
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil:
		return port
	case n == 1<<16-1:
		n -= 2
	}
	return strconv.FormatUint(n+1, 10)
}

// parseSpec reads one server.
func parseSpec(text string) (s serverSpec, err error) {
	key, value, ok := strings.Cut(text, "=")
	number, isServer := strings.CutPrefix(strings.TrimSpace(key), "server.")
	if !ok || !isServer {
		return s, fmt.Errorf("%q is not of the form server.ID=HOST:PORT:PORT:ROLE;HOST:PORT", text)
	}
	if s.id, err = parseID(number); err != nil {
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
	if s.client, err = parseClient(strings.TrimSpace(client)); err != nil {
		return s, fmt.Errorf("%q: %w", text, err)
	}
	return s, nil
}

// parseID reads the number of a member: decimal, not negative.
func parseID(text string) (int64, error) {
	id, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || id < 0 {
		return 0, fmt.Errorf("%q is not the number of a member", text)
	}
	return id, nil
}

// addPeer reads HOST:PORT:PORT with or without a role; the last role counts.
func (s *serverSpec) addPeer(text string) error {
	host, rest, ok := cutHost(text)
	parts := strings.Split(rest, ":")
	if !ok || len(parts) < 2 || len(parts) > 3 || !isPort(parts[0]) || !isPort(parts[1]) {
		return fmt.Errorf("%q is not of the form HOST:PORT:PORT", text)
	}
	if len(parts) == 3 {
		switch strings.ToLower(strings.TrimSpace(parts[2])) {
		case "participant":
			s.observer = false
		case "observer":
			s.observer = true
		default:
			return fmt.Errorf("%q is neither participant nor observer", parts[2])
		}
	}
	s.peers = append(s.peers, peerSpec{host: host, quorum: parts[0], election: parts[1]})
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
	if !isPort(port) {
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
	return host, rest, ok && isHost(host)
}

// isHost tells whether a host can stand in a configuration: nothing in it may end a part of a line.
func isHost(host string) bool {
	return host != "" && !strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("[];,|=#", r) })
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0 && text[0] != '0'
}

// String writes the spec as parseSpec reads it, always with a role.
func (s serverSpec) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "server.%d=", s.id)
	for i, p := range s.peers {
		if i > 0 {
			b.WriteByte('|')
		}
		role := "participant"
		if s.observer {
			role = "observer"
		}
		fmt.Fprintf(&b, "%s:%s:%s", p.addr(), p.election, role)
	}
	if s.client != "" {
		b.WriteByte(';')
		b.WriteString(strings.TrimPrefix(s.client, ":"))
	}
	return b.String()
}

// parseSpecs reads a list of servers, separated by commas or lines. Empty lines, comments and that of the version are passed over.
func parseSpecs(text string) (ss []serverSpec, err error) {
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "version=") {
			continue
		}
		s, err := parseSpec(line)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(ss, func(o serverSpec) bool { return o.id == s.id }) {
			return nil, fmt.Errorf("server.%d is named twice", s.id)
		}
		ss = append(ss, s)
	}
	return ss, nil
}

// formatSpecs writes servers as lines in the order of their numbers, without an end of the last one.
func formatSpecs(ss []serverSpec) string {
	slices.SortFunc(ss, func(a, b serverSpec) int { return cmp.Compare(a.id, b.id) })
	lines := make([]string, len(ss))
	for i := range ss {
		lines[i] = ss[i].String()
	}
	return strings.Join(lines, "\n")
}
