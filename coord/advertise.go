package coord

import (
	"errors"
	"fmt"
	"net"
)

// advertised is the address that the others are told, when it is not configured: what was bound, or for a bind to all addresses the
// host's first one that others may reach. Error: there is none.
func advertised(bound net.Addr) (string, error) {
	host, port, err := net.SplitHostPort(bound.String())
	if err != nil {
		return bound.String(), nil // a network of tests
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
		return bound.String(), nil
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
