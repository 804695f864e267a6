package coord

import (
	"net"
	"testing"
)

func TestAdvertised(t *testing.T) {
	if a, err := advertised(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7400}); err != nil || a != "127.0.0.1:7400" {
		t.Errorf("a chosen address became %q, %v", a, err)
	}
	a, err := advertised(&net.TCPAddr{IP: net.IPv6unspecified, Port: 7400})
	if err != nil {
		t.Logf("this host is alone: %v", err)
		return
	}
	host, port, err := net.SplitHostPort(a)
	if ip := net.ParseIP(host); err != nil || port != "7400" || ip == nil || ip.IsUnspecified() || ip.IsLoopback() {
		t.Errorf("all addresses became %q, %v", a, err)
	}
}
