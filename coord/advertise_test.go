package coord

import (
	"net"
	"testing"
)

func TestAdvertised(t *testing.T) {
	if a, err := advertised("127.0.0.1:7400"); err != nil || a != "127.0.0.1:7400" {
		t.Errorf("a chosen address became %q, %v", a, err)
	}
	a, err := advertised("[::]:7400")
	if err != nil {
		t.Logf("this host is alone: %v", err)
		return
	}
	host, port, err := net.SplitHostPort(a)
	if ip := net.ParseIP(host); err != nil || port != "7400" || ip == nil || ip.IsUnspecified() || ip.IsLoopback() {
		t.Errorf("all addresses became %q, %v", a, err)
	}
}

func TestClientAddress(t *testing.T) {
	for _, c := range []struct{ listens, advertise, want string }{
		{"", "10.0.0.1:7400", ""},
		{"127.0.0.1:2181", "10.0.0.1:7400", "127.0.0.1:2181"},
		{"zk.example:2181", "10.0.0.1:7400", "zk.example:2181"},
		{"0.0.0.0:2181", "10.0.0.1:7400", "10.0.0.1:2181"},
		{":2181", "[fd00::1]:7400", "[fd00::1]:2181"},
		{"[::]:2181", "a.example:7400", "a.example:2181"},
	} {
		if got := clientAddress(c.listens, c.advertise); got != c.want {
			t.Errorf("%s of a member at %s: %s, want %s", c.listens, c.advertise, got, c.want)
		}
	}
	got := clientAddress("0.0.0.0:2181", "127.0.0.1:7400")
	if host, port, err := net.SplitHostPort(got); err != nil || port != "2181" || isUnspecified(host) {
		t.Errorf("for all addresses of a member on loopback: %q, %v", got, err)
	}
}
