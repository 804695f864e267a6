package tree

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/strata-coord/strata/tiers"
)

// acl is an access control list as znodes share it: few lists, many znodes. All but refs is immutable.
type acl struct {
	entries []tiers.ACL
	key     string     // entries, encoded
	world   tiers.Perm // what everyone may do
	nets    []grant    // the ip entries, parsed
	refs    int        // states in the tree that have it; guarded by Tree.mu
}

// grant is what callers from some addresses may do.
type grant struct {
	perms tiers.Perm
	from  netip.Prefix
}

// intern returns the one acl of these entries. It is kept while a state in the tree has it.
func (t *Tree) intern(entries []tiers.ACL) *acl {
	t.scratch = appendACL(t.scratch[:0], entries)
	if a, ok := t.acls[string(t.scratch)]; ok {
		return a
	}
	a := &acl{entries: slices.Clone(entries), key: string(t.scratch)}
	for _, e := range entries {
		switch e.Who.Scheme {
		case "world":
			a.world |= e.Perms
		case "ip":
			if p, ok := tiers.ParseNetwork(e.Who.ID); ok {
				a.nets = append(a.nets, grant{e.Perms, p})
			}
		}
	}
	t.acls[a.key] = a
	return a
}

func (t *Tree) grip(a *acl) {
	if a.refs++; a.refs == 1 {
		t.acls[a.key] = a // it may have been dropped before: by a step that is being taken back
	}
}

func (t *Tree) dropACL(a *acl) {
	if a.refs--; a.refs == 0 && t.acls[a.key] == a {
		delete(t.acls, a.key)
	}
}

// allows tells whether an entry grants one of perms to one of the caller's identities (zk-protocol 8.2). An empty list is
// open, and super passes.
func (a *acl) allows(perms tiers.Perm, caller []tiers.Identity) bool {
	if len(a.entries) == 0 || a.world&perms != 0 {
		return true
	}
	for _, e := range a.entries {
		if e.Perms&perms != 0 && e.Who.Scheme != "ip" && e.Who.Admits(caller) {
			return true
		}
	}
	return a.admitsAddress(perms, caller) || tiers.IsSuper(caller)
}

// admitsAddress is Admits for the ip entries, whose ids are parsed already.
func (a *acl) admitsAddress(perms tiers.Perm, caller []tiers.Identity) bool {
	if len(a.nets) == 0 {
		return false
	}
	for _, c := range caller {
		if c.Scheme != "ip" {
			continue
		}
		addr := tiers.ParseAddress(c.ID)
		for _, g := range a.nets {
			if g.perms&perms != 0 && g.from.Contains(addr) {
				return true
			}
		}
	}
	return false
}

// redacted hides the secrets of digest ids from callers who may not administer the znode.
func (a *acl) redacted(caller []tiers.Identity) []tiers.ACL {
	if a.allows(tiers.PermAdmin, caller) {
		return a.entries
	}
	out := slices.Clone(a.entries)
	for i, e := range out {
		if user, _, found := strings.Cut(e.Who.ID, ":"); e.Who.Scheme == "digest" && found {
			out[i].Who.ID = user + ":x"
		}
	}
	return out
}

// storable returns the list of a create or setACL as it is stored (zk-protocol 8.3): duplicates dropped, then `auth`
// replaced by the caller's own credentials, whether or not they are there by name. ok is false for an invalid list. All members decide alike, so the schemes that a listener offers
// or not, sasl and x509, may always be named here: a listener that has no such clients refuses them itself.
func storable(list []tiers.ACL, caller []tiers.Identity) (stored []tiers.ACL, ok bool) {
	if len(list) == 1 && list[0].Who.Scheme != "auth" {
		return list, nameable(list[0].Who)
	}
	seen := make(map[tiers.ACL]struct{}, len(list))
	for _, e := range list {
		if _, dup := seen[e]; dup {
			continue
		}
		seen[e] = struct{}{}
		if e.Who.Scheme != "auth" {
			if !nameable(e.Who) {
				return nil, false
			}
			stored = append(stored, e)
			continue
		}
		some := false
		for _, c := range caller {
			switch c.Scheme {
			case "digest", "sasl", "x509":
				stored = append(stored, tiers.ACL{Perms: e.Perms, Who: c})
				some = true
			}
		}
		if !some {
			return nil, false
		}
	}
	return stored, len(stored) > 0
}

// nameable tells whether an ACL may name who (zk-protocol 8.1).
func nameable(who tiers.Identity) bool {
	switch who.Scheme {
	case "world":
		return who.ID == "anyone"
	case "digest":
		return strings.Count(strings.TrimRight(who.ID, ":"), ":") == 1
	case "ip":
		_, ok := tiers.ParseNetwork(who.ID)
		return ok
	case "sasl":
		return kerberosName(who.ID)
	case "x509":
		return distinguishedName(who.ID)
	}
	return false
}
