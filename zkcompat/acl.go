package zkcompat

import (
	"crypto/sha1" // the digest scheme is defined by it
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"

	"github.com/strata-coord/strata/tiers"
)

// mayRead tells whether one of the caller's identities may read a znode with that ACL. An empty ACL is open.
func mayRead(acl []tiers.ACL, caller []tiers.Identity) bool {
	if len(acl) == 0 {
		return true
	}
	for i := range acl {
		if acl[i].Perms&tiers.PermRead != 0 && admits(acl[i].Who, caller) {
			return true
		}
	}
	for _, id := range caller {
		if id.Scheme == "super" && id.ID == "" {
			return true
		}
	}
	return false
}

// admits tells whether an ACL entry for who is about one of the caller's identities.
func admits(who tiers.Identity, caller []tiers.Identity) bool {
	switch who.Scheme {
	case "world":
		return who.ID == "anyone"
	case "ip":
		for _, id := range caller {
			if id.Scheme == "ip" && within(id.ID, who.ID) {
				return true
			}
		}
		return false
	}
	for _, id := range caller {
		if id == who {
			return true
		}
	}
	return false
}

// within tells whether an address is the given one or lies in the given network.
func within(addr, network string) bool {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	if !strings.Contains(network, "/") {
		n, err := netip.ParseAddr(network)
		return err == nil && n.Unmap() == a
	}
	n, err := netip.ParsePrefix(network)
	if err != nil {
		return false
	}
	if n.Addr().Is4In6() && n.Bits() >= 96 {
		n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
	}
	return n.Contains(a)
}

// CheckSuperDigest tells what is wrong with a [Config.SuperDigest].
func CheckSuperDigest(s string) error {
	sum, ok := strings.CutPrefix(s, "super:")
	if b, err := base64.StdEncoding.DecodeString(sum); !ok || err != nil || len(b) != sha1.Size {
		return fmt.Errorf("%q: want super:BASE64, where BASE64 is of the SHA-1 of \"super:PASSWORD\"; printf super:PASSWORD | openssl sha1 -binary | base64 makes it", s)
	}
	return nil
}

// digestOf is the identity that "user:password" proves in the scheme digest.
func digestOf(credential []byte) tiers.Identity {
	user, _, _ := strings.Cut(string(credential), ":")
	sum := sha1.Sum(credential)
	return tiers.Identity{Scheme: "digest", ID: user + ":" + base64.StdEncoding.EncodeToString(sum[:])}
}
