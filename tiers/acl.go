package tiers

import (
	"net/netip"
	"strconv"
	"strings"
)

// Admits tells whether an ACL entry for who is about one of the caller's identities: what it grants, it grants to this caller.
// Whether the caller passes without any entry is [IsSuper].
func (who Identity) Admits(caller []Identity) bool {
	if who.Scheme == "world" {
		return who.ID == "anyone"
	}
	for _, c := range caller {
		switch {
		case c.Scheme != who.Scheme:
		case c.ID == who.ID:
			return true
		case who.Scheme == "sasl" && c.ID == "super": // ZooKeeper's superuser of this one scheme
			return true
		case who.Scheme == "ip":
			if n, ok := ParseNetwork(who.ID); ok && n.Contains(ParseAddress(c.ID)) {
				return true
			}
		}
	}
	return false
}

// IsSuper tells whether one of the identities passes every check.
func IsSuper(caller []Identity) bool {
	for _, c := range caller {
		if c.Scheme == "super" && c.ID == "" {
			return true
		}
	}
	return false
}

// ParseNetwork reads the id of an ip entry: an address, or a network as ADDRESS/BITS, of either family. Bits of the address beyond
// the prefix count for nothing. IPv4 in IPv6 dress is IPv4. As in ZooKeeper, numbers of IPv4 may begin with zeros, and are decimal.
func ParseNetwork(id string) (n netip.Prefix, ok bool) {
	addr, bits, prefixed := strings.Cut(id, "/")
	a := parseIPv4(addr)
	if !a.IsValid() {
		a = ParseAddress(addr)
		if !a.IsValid() || strings.IndexByte(addr, '%') >= 0 {
			return netip.Prefix{}, false
		}
	}
	length := a.BitLen()
	if prefixed {
		var err error
		length, err = strconv.Atoi(bits)
		if strings.IndexByte(addr, ':') >= 0 && a.Is4() {
			length -= 96
		}
		if err != nil || length < 0 || length > a.BitLen() {
			return netip.Prefix{}, false
		}
	}
	n, err := a.Prefix(length)
	return n, err == nil
}

// ParseAddress reads a caller's address for [netip.Prefix.Contains]: IPv4 in IPv6 dress is IPv4, zones are dropped. What is not an
// address becomes the zero Addr, which nothing contains.
func ParseAddress(id string) netip.Addr {
	a, err := netip.ParseAddr(id)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// parseIPv4 returns the zero Addr for what is not four numbers below 256.
func parseIPv4(s string) netip.Addr {
	var b [4]byte
	for i := range b {
		part, rest, more := strings.Cut(s, ".")
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil || more != (i < 3) {
			return netip.Addr{}
		}
		b[i], s = byte(n), rest
	}
	return netip.AddrFrom4(b)
}
