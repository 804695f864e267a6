package tree

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/strata-coord/strata/tiers"
)

// allowed tells whether one of the ACL's entries grants one of perms to one of the caller's identities (zk-protocol 8). An
// empty ACL is open, and super passes.
func allowed(acl []tiers.ACL, perms tiers.Perm, caller []tiers.Identity) bool {
	if len(acl) == 0 {
		return true
	}
	for _, a := range acl {
		if a.Perms&perms != 0 && a.Who.Scheme == "world" && a.Who.ID == "anyone" {
			return true
		}
	}
	for _, c := range caller {
		if c.Scheme == "super" {
			return true
		}
		for _, a := range acl {
			if a.Perms&perms != 0 && a.Who.Scheme == c.Scheme && (a.Who.ID == c.ID || (c.Scheme == "ip" && matchIP(a.Who.ID, c.ID))) {
				return true
			}
		}
	}
	return false
}

func parsePrefix(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}

func matchIP(pattern, addr string) bool {
	p, ok := parsePrefix(pattern)
	a, err := netip.ParseAddr(addr)
	return ok && err == nil && p.Contains(a.Unmap())
}

// fixACL returns the list as it is stored: duplicates dropped, `auth` replaced by the caller's own identities. ok is false for
// an invalid list.
func fixACL(acl []tiers.ACL, caller []tiers.Identity) (fixed []tiers.ACL, ok bool) {
	add := func(a tiers.ACL) {
		if !slices.Contains(fixed, a) {
			fixed = append(fixed, a)
		}
	}
	for _, a := range acl {
		switch a.Who.Scheme {
		case "auth":
			some := false
			for _, c := range caller {
				switch c.Scheme {
				case "digest", "sasl", "x509":
					add(tiers.ACL{Perms: a.Perms, Who: c})
					some = true
				}
			}
			if !some {
				return nil, false
			}
		case "world":
			if a.Who.ID != "anyone" {
				return nil, false
			}
			add(a)
		case "digest":
			if pieces := strings.Split(strings.TrimRight(a.Who.ID, ":"), ":"); len(pieces) != 2 {
				return nil, false
			}
			add(a)
		case "ip":
			if _, ok := parsePrefix(a.Who.ID); !ok {
				return nil, false
			}
			add(a)
		case "sasl", "x509":
			if a.Who.ID == "" {
				return nil, false
			}
			add(a)
		default:
			return nil, false
		}
	}
	return fixed, len(fixed) > 0
}

// redacted hides the secrets of digest ids from callers who may not administer the znode.
func redacted(acl []tiers.ACL, caller []tiers.Identity) []tiers.ACL {
	if allowed(acl, tiers.PermAdmin, caller) {
		return acl
	}
	out := slices.Clone(acl)
	for i, a := range out {
		if user, _, found := strings.Cut(a.Who.ID, ":"); a.Who.Scheme == "digest" && found {
			out[i].Who.ID = user + ":x"
		}
	}
	return out
}
