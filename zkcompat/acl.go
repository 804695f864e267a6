package zkcompat

import "github.com/strata-coord/strata/tiers"

// mayRead tells whether one of the caller's identities may read a znode with that ACL. An empty ACL is open.
func mayRead(acl []tiers.ACL, caller []tiers.Identity) bool {
	if len(acl) == 0 {
		return true
	}
	for i := range acl {
		if acl[i].Perms&tiers.PermRead != 0 && acl[i].Who.Admits(caller) {
			return true
		}
	}
	return tiers.IsSuper(caller)
}
