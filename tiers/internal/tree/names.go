package tree

import (
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"strings"
)

// kerberosName tells whether s is an id of the scheme sasl. ZooKeeper checks them as names of Kerberos: with a realm behind an @,
// what is before it is SERVICE or SERVICE/HOST; without one, anything will do.
func kerberosName(s string) bool {
	principal, realm, ok := strings.Cut(s, "@")
	return !ok || !strings.ContainsAny(realm, "/@") && strings.Count(principal, "/") <= 1
}

// attributeTypes are the names of attributes that Java's X500Principal reads.
var attributeTypes = map[string]bool{
	"CN": true, "C": true, "L": true, "S": true, "ST": true, "O": true, "OU": true, "T": true, "IP": true, "STREET": true, "DC": true,
	"DNQ": true, "DNQUALIFIER": true, "SURNAME": true, "GIVENNAME": true, "INITIALS": true, "GENERATION": true, "EMAIL": true,
	"EMAILADDRESS": true, "UID": true, "SERIALNUMBER": true,
}

// distinguishedName tells whether s is an id of the scheme x509: a name in the form of RFC 2253, with the older separators and
// spaces that Java reads too.
func distinguishedName(s string) bool {
	if s == "" {
		return true // the name of nobody, which Java takes
	}
	for {
		key, rest, ok := strings.Cut(s, "=")
		if !ok || !attributeType(strings.TrimSpace(key)) {
			return false
		}
		separator, rest, ok := skipValue(rest)
		if !ok || separator == 0 {
			return ok
		}
		s = rest
	}
}

func attributeType(s string) bool {
	s = strings.ToUpper(s)
	if attributeTypes[s] {
		return true
	}
	parts := strings.Split(strings.TrimPrefix(s, "OID."), ".")
	arcs := make([]*big.Int, len(parts))
	for i, p := range parts {
		if p == "" || strings.Trim(p, "0123456789") != "" || len(p) > 64 {
			return false
		}
		arcs[i], _ = new(big.Int).SetString(p, 10) // digits always are a number
	}
	return len(arcs) >= 2 && arcs[0].Cmp(big.NewInt(2)) <= 0 && (arcs[0].Cmp(big.NewInt(2)) == 0 || arcs[1].Cmp(big.NewInt(40)) < 0)
}

// skipValue skips an attribute's value and the separator behind it, which is 0 at the end.
func skipValue(s string) (separator byte, rest string, ok bool) {
	s = strings.TrimLeft(s, " \n")
	var n int // bytes of the value
	switch {
	case strings.HasPrefix(s, "#"):
		if n = strings.IndexAny(s, ",;+"); n < 0 {
			n = len(s)
		}
		ok = derHex(strings.TrimSpace(s[1:n]))
	case strings.HasPrefix(s, `"`):
		n, ok = quoted(s)
		n += len(s[n:]) - len(strings.TrimLeft(s[n:], " \n"))
	default:
		n, ok = unquoted(s)
	}
	switch {
	case !ok:
		return 0, "", false
	case n == len(s):
		return 0, "", true
	}
	return s[n], s[n+1:], strings.IndexByte(",;+", s[n]) >= 0
}

func derHex(s string) bool {
	b, err := hex.DecodeString(s)
	if err != nil {
		return false
	}
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(b, &v)
	return err == nil && len(rest) == 0
}

// quoted is the length of a quoted value.
func quoted(s string) (n int, ok bool) {
	for n = 1; n < len(s); n++ {
		switch s[n] {
		case '"':
			return n + 1, true
		case '\\':
			skip, ok := escaped(s[n+1:])
			if !ok {
				return n, false
			}
			n += skip
		}
	}
	return n, false
}

// unquoted is the length of a value up to a separator.
func unquoted(s string) (n int, ok bool) {
	for n = 0; n < len(s); n++ {
		switch s[n] {
		case ',', ';', '+':
			return n, true
		case '"', '<', '>':
			return n, false
		case '\\':
			skip, ok := escaped(s[n+1:])
			if !ok {
				return n, false
			}
			n += skip
		}
	}
	return n, true
}

// escaped is the length of what stands behind a backslash: one special character, or two hexadecimal digits.
func escaped(s string) (n int, ok bool) {
	if s != "" && strings.IndexByte(`,=+<>#;"\ `, s[0]) >= 0 {
		return 1, true
	}
	if len(s) >= 2 {
		if _, err := hex.DecodeString(s[:2]); err == nil {
			return 2, true
		}
	}
	return 0, false
}
