package tiers_test

import (
	"net/netip"
	"testing"

	"github.com/strata-coord/strata/tiers"
)

func TestParseNetwork(t *testing.T) {
	for id, want := range map[string]string{
		// What ZooKeeper 3.8 takes, too.
		"10.0.0.1": "10.0.0.1/32", "10.1.2.3/8": "10.0.0.0/8", "10.0.0.1/0": "0.0.0.0/0", "010.0.0.1": "10.0.0.1/32", "1.2.3.0004": "1.2.3.4/32", "10.0.0.1/08": "10.0.0.0/8",
		// IPv6, since 3.9.4.
		"::1": "::1/128", "fe80::1/10": "fe80::/10", "::/0": "::/0", "::ffff:10.1.2.3": "10.1.2.3/32", "::ffff:10.1.2.3/104": "10.0.0.0/8",
		"": "", "/8": "", "10.0.0": "", "10.0.0.256": "", "10.0.0.1/": "", "10.0.0.1/33": "", "10.0.0.1/-1": "", "10.0.0.1 ": "", "1.2.3.4.5": "", "1.2.3.4.": "",
		"10.0.0.1/8/8": "", "1.2.3.-4": "", "a.b.c.d": "", "::1/129": "", "::1%lo": "", "::ffff:10.1.2.3/95": "", "host": "",
	} {
		n, ok := tiers.ParseNetwork(id)
		if ok != (want != "") || ok && n != netip.MustParsePrefix(want) {
			t.Errorf("%q is %v %v, want %q", id, n, ok, want)
		}
	}
}

func FuzzParseNetwork(f *testing.F) {
	for _, s := range []string{"10.0.0.1/8", "::ffff:10.1.2.3/104", "::1%lo/1", "010.0.0.1", "fe80::/10"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, ok := tiers.ParseNetwork(s); ok != n.IsValid() || ok && n != n.Masked() {
			t.Errorf("%q is %v %v", s, n, ok)
		}
	})
}

func TestAdmits(t *testing.T) {
	id := func(scheme, id string) tiers.Identity { return tiers.Identity{Scheme: scheme, ID: id} }
	all := []tiers.Identity{id("ip", "10.1.2.3"), id("digest", "bob:h"), id("x509", "CN=bob"), id("sasl", "bob")}
	for _, who := range append(all, id("world", "anyone"), id("ip", "10.0.0.0/8")) {
		if !who.Admits(all) {
			t.Errorf("%v does not admit %v", who, all)
		}
	}
	for _, who := range []tiers.Identity{id("world", "bob"), id("ip", "10.2.0.0/16"), id("ip", "::/0"), id("digest", "CN=bob"), id("sasl", "alice"), id("super", "")} {
		if who.Admits(all) {
			t.Errorf("%v admits %v", who, all)
		}
	}
	if !id("sasl", "alice").Admits([]tiers.Identity{id("sasl", "super")}) || id("digest", "bob:h").Admits([]tiers.Identity{id("sasl", "super")}) {
		t.Error("the superuser of sasl is that of sasl alone")
	}
	if tiers.IsSuper(all) || tiers.IsSuper([]tiers.Identity{id("super", "bob"), id("sasl", "super")}) || !tiers.IsSuper(append(all, id("super", ""))) {
		t.Error("super is who has the scheme super with an empty id")
	}
}
