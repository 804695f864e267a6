package tree

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/strata-coord/strata/tiers"
)

func TestStorable(t *testing.T) {
	carol := who("sasl", "carol")
	ip := who("ip", "10.0.0.1")
	for _, row := range []struct {
		list   []tiers.ACL
		caller []tiers.Identity
		want   []tiers.ACL // nil: invalid
	}{
		{tiers.OpenACL, nil, tiers.OpenACL},
		{nil, nil, nil},
		{[]tiers.ACL{}, nil, nil},
		{grantTo(-1, who("world", "anyone")), nil, grantTo(-1, who("world", "anyone"))},
		{grantTo(0, alice), nil, grantTo(0, alice)},
		{[]tiers.ACL{tiers.OpenACL[0], {Perms: 1, Who: alice}, tiers.OpenACL[0], {Perms: 2, Who: alice}}, nil,
			[]tiers.ACL{tiers.OpenACL[0], {Perms: 1, Who: alice}, {Perms: 2, Who: alice}}},
		{grantTo(3, who("auth", "whatever")), []tiers.Identity{ip, alice, who("super", ""), carol}, []tiers.ACL{{Perms: 3, Who: alice}, {Perms: 3, Who: carol}}},
		{grantTo(3, who("auth", "")), []tiers.Identity{ip}, nil},
		{[]tiers.ACL{{Perms: 3, Who: alice}, {Perms: 3, Who: who("auth", "")}, {Perms: 3, Who: who("auth", "")}}, []tiers.Identity{alice}, []tiers.ACL{{Perms: 3, Who: alice}, {Perms: 3, Who: alice}}},
		{[]tiers.ACL{tiers.OpenACL[0], {Perms: 1, Who: who("world", "someone")}}, nil, nil},
		{grantTo(1, who("world", "someone")), nil, nil},
		{grantTo(1, who("", "x")), nil, nil},
		{grantTo(1, who("super", "")), nil, nil},
		{grantTo(1, who("nonsense", "x")), nil, nil},
		{grantTo(1, carol), nil, grantTo(1, carol)},
		{grantTo(1, who("sasl", "a/b/c@d")), nil, nil},
		{grantTo(1, who("x509", "CN=carol,C=DE")), nil, grantTo(1, who("x509", "CN=carol,C=DE"))},
		{grantTo(1, who("x509", "carol")), nil, nil},
		{grantTo(1, who("auth", "")), []tiers.Identity{ip, who("x509", "CN=carol"), who("super", "")}, grantTo(1, who("x509", "CN=carol"))},
		{grantTo(1, who("digest", ":x")), nil, grantTo(1, who("digest", ":x"))},
		{grantTo(1, who("digest", "a:b::")), nil, grantTo(1, who("digest", "a:b::"))},
		{grantTo(1, who("digest", "nocolon")), nil, nil},
		{grantTo(1, who("digest", "a:b:c")), nil, nil},
		{grantTo(1, who("digest", "a:")), nil, nil},
		{grantTo(1, who("digest", "")), nil, nil},
		{grantTo(1, who("ip", "10.0.0.0/8")), nil, grantTo(1, who("ip", "10.0.0.0/8"))},
		{grantTo(1, who("ip", "::1")), nil, grantTo(1, who("ip", "::1"))},
		{grantTo(1, who("ip", "fe80::/10")), nil, grantTo(1, who("ip", "fe80::/10"))},
		{grantTo(1, who("ip", "10.0.0.0/33")), nil, nil},
		{grantTo(1, who("ip", "10.0.0")), nil, nil},
		{grantTo(1, who("ip", "::1%lo")), nil, nil},
		{grantTo(1, who("ip", "")), nil, nil},
	} {
		got, ok := storable(row.list, row.caller)
		if ok != (row.want != nil) || (ok && !slices.Equal(got, row.want)) {
			t.Errorf("%v by %v: %v %v, want %v", row.list, row.caller, got, ok, row.want)
		}
	}
}

func TestAllows(t *testing.T) {
	tr := New()
	for _, row := range []struct {
		acl    []tiers.ACL
		perms  tiers.Perm
		caller []tiers.Identity
		want   bool
	}{
		{nil, tiers.PermAdmin, nil, true},
		{tiers.OpenACL, tiers.PermAll, nil, true},
		{grantTo(tiers.PermRead, who("world", "anyone")), tiers.PermWrite, []tiers.Identity{alice}, false},
		{grantTo(tiers.PermWrite, alice), tiers.PermWrite, []tiers.Identity{bob, alice}, true},
		{grantTo(tiers.PermWrite, alice), tiers.PermWrite, []tiers.Identity{bob}, false},
		{grantTo(tiers.PermWrite, alice), tiers.PermRead | tiers.PermWrite, []tiers.Identity{alice}, true},
		{grantTo(tiers.PermRead, alice), tiers.PermRead, []tiers.Identity{who("sasl", alice.ID)}, false},
		{grantTo(tiers.PermRead, who("sasl", "carol")), tiers.PermRead, []tiers.Identity{who("sasl", "carol")}, true},
		{grantTo(tiers.PermRead, who("sasl", "carol")), tiers.PermRead, []tiers.Identity{who("sasl", "super")}, true},
		{grantTo(tiers.PermRead, who("sasl", "carol")), tiers.PermWrite, []tiers.Identity{who("sasl", "super")}, false},
		{grantTo(tiers.PermRead, alice), tiers.PermRead, []tiers.Identity{who("sasl", "super")}, false},
		{grantTo(tiers.PermRead, who("x509", "CN=carol")), tiers.PermRead, []tiers.Identity{who("x509", "CN=carol")}, true},
		{grantTo(tiers.PermRead, who("x509", "CN=carol")), tiers.PermRead, []tiers.Identity{who("x509", "CN=super"), who("digest", "CN=carol")}, false},
		{grantTo(0, alice), tiers.PermRead, []tiers.Identity{who("super", "")}, true},
		{grantTo(tiers.PermRead, who("ip", "10.1.0.0/16")), tiers.PermRead, []tiers.Identity{who("ip", "10.1.2.3")}, true},
		{grantTo(tiers.PermRead, who("ip", "10.1.0.0/16")), tiers.PermRead, []tiers.Identity{who("ip", "::ffff:10.1.2.3")}, true},
		{grantTo(tiers.PermRead, who("ip", "::ffff:10.1.0.0/112")), tiers.PermRead, []tiers.Identity{who("ip", "10.1.2.3")}, true},
		{grantTo(tiers.PermRead, who("ip", "10.1.0.0/16")), tiers.PermRead, []tiers.Identity{who("ip", "10.2.2.3")}, false},
		{grantTo(tiers.PermRead, who("ip", "10.1.0.0/16")), tiers.PermWrite, []tiers.Identity{who("ip", "10.1.2.3")}, false},
		{grantTo(tiers.PermRead, who("ip", "0.0.0.0/0")), tiers.PermRead, []tiers.Identity{who("ip", "::1")}, false},
		{grantTo(tiers.PermRead, who("ip", "::/0")), tiers.PermRead, []tiers.Identity{who("ip", "10.0.0.1")}, false},
		{grantTo(tiers.PermRead, who("ip", "fe80::/10")), tiers.PermRead, []tiers.Identity{who("ip", "fe80::1%eth0")}, true},
		{grantTo(tiers.PermRead, who("ip", "10.0.0.1")), tiers.PermRead, []tiers.Identity{who("ip", "not an address")}, false},
	} {
		if got := tr.intern(row.acl).allows(row.perms, row.caller); got != row.want {
			t.Errorf("%v for %v by %v: %v", row.acl, row.perms, row.caller, got)
		}
	}
}

func TestGetACLRedacts(t *testing.T) {
	d := drive(t)
	list := []tiers.ACL{{Perms: tiers.PermRead, Who: bob}, {Perms: tiers.PermAdmin, Who: alice}, {Perms: tiers.PermWrite, Who: who("ip", "::1")}}
	op := mk("/a", 0)
	op.ACL = list
	d.must(0, op)
	seen := func(caller ...tiers.Identity) ([]tiers.ACL, error) {
		v, err := d.Read(tiers.Query{Path: "/a", Want: tiers.WantACL, Caller: caller})
		return v.ACL, err
	}
	hidden := []tiers.ACL{{Perms: tiers.PermRead, Who: who("digest", "bob:x")}, {Perms: tiers.PermAdmin, Who: who("digest", "alice:x")}, list[2]}
	if got, err := seen(bob); err != nil || !slices.Equal(got, hidden) {
		t.Errorf("a reader: %v, %v", got, err)
	}
	if got, err := seen(alice); err != nil || !slices.Equal(got, list) {
		t.Errorf("who administers: %v, %v", got, err)
	}
	if got, err := seen(who("ip", "::1")); !errors.Is(err, tiers.ErrNoAuth) || got != nil {
		t.Errorf("another: %v, %v", got, err)
	}
}

// TestACLsAreNotKeptForEver: lists that nobody has any more go, those that come back by an undo stay.
func TestACLsAreNotKeptForEver(t *testing.T) {
	d := drive(t)
	set := func(who string) tiers.Op {
		return tiers.Op{Kind: tiers.OpSetACL, Path: "/a", Version: -1, ACL: []tiers.ACL{tiers.OpenACL[0], {Perms: 1, Who: tiers.Identity{Scheme: "digest", ID: who + ":h"}}}}
	}
	d.must(0, mk("/a", 0))
	few := len(d.acls)
	for i := range 100 {
		d.must(0, set(fmt.Sprint(i)))
	}
	if _, err := d.do(0, set("x"), set("99"), set("y"), mk("/none/x", 0)); err == nil {
		t.Fatal("the multi should fail")
	}
	if z := d.znodes.get("/a"); len(d.acls) != few+1 || d.acls[z.acl.key] != z.acl || z.acl.refs != 1 {
		t.Errorf("%d lists, %+v", len(d.acls), z.acl)
	}
	d.must(0, tiers.Op{Kind: tiers.OpDelete, Path: "/a", Version: -1})
	if len(d.acls) != few {
		t.Errorf("%d lists", len(d.acls))
	}
}
