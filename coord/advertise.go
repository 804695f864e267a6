package coord

import (
	"errors"
	"fmt"
	"net"

	"github.com/strata-coord/strata/coord/ensemble"
)

// maxClientAddress bounds Config.ClientAddress, so that it fits what gossip carries of a member.
const maxClientAddress = 200

// announceable tells whether an address can be told to clients in the configuration.
func announceable(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	return err == nil && len(addr) <= maxClientAddress && ensemble.IsPort(port) && (host == "" || ensemble.IsHost(host))
}

// clientAddress is where clients are told that a listener at addr is, of a member that the others reach at advertise. It is addr, unless
// that is for all addresses.
func clientAddress(addr, advertise string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host != "" && !isUnspecified(host) {
		return addr // or empty: there is none
	}
	mine, _, err := net.SplitHostPort(advertise)
	if ip := net.ParseIP(mine); err == nil && ip != nil && ip.IsLoopback() {
		if a, err := advertised(addr); err == nil {
			return a
		}
	}
	return net.JoinHostPort(mine, port)
}

func isUnspecified(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsUnspecified()
}

// advertised is the address that the others are told, when it is not configured: what was bound, or for a bind to all addresses the
// host's first one that others may reach. Error: there is none.
func advertised(bound string) (string, error) {
	host, port, err := net.SplitHostPort(bound)
	if err != nil {
		return bound, nil // a network of tests, or none
	}
	if host != "" && !isUnspecified(host) {
		return bound, nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("coord: find this host's address: %w: bind to one address, so that the others can be told", err)
	}
	var found net.IP
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || !n.IP.IsGlobalUnicast() {
			continue
		}
		if found == nil || found.To4() == nil && n.IP.To4() != nil {
			found = n.IP
		}
	}
	if found == nil {
		return "", errors.New("coord: this host has no address that others can reach: bind to one address instead of all")
	}
	return net.JoinHostPort(found.String(), port), nil
}
