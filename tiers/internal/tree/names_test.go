package tree

import (
	"strings"
	"testing"
)

// TestNames holds which ids ZooKeeper 3.8.0 has stored, and which it has answered with -114.
func TestNames(t *testing.T) {
	for _, row := range []struct {
		scheme  string
		valid   func(string) bool
		yes, no []string
	}{
		{"sasl", kerberosName, []string{
			"bob", "bob@R", "svc/host@R", "a/b/c", "", "@", "@R", "bob@", "/h@R", "a/@R", "a/b", "bob smith", "ü", "a\nb@R", "super",
			"a:b", "a b/c d@e f", "a\x00b", "/@",
		}, []string{
			"a/b/c@d", "a@b@c", "a//@R",
		}},
		{"x509", distinguishedName, []string{
			"CN=bob", "", "CN=bob,O=Example,C=DE", "CN=bob, O=Example", "cn=bob", "CN=", "CN=a+O=b", "CN=a;O=b", "1.2.3=x", "1.2=x",
			"1.2.840.113549.1.9.1=#16016d", "CN=#16016d", "emailAddress=x@y", "S=x", "T=x", "SERIALNUMBER=1", "OID.1.2.3=x",
			"oid.1.2.3=x", `CN="a,b"`, `CN=a\,b`, `CN=a\20b`, "CN=a=b", "CN=ü", "C=Germany", "DC=example", "UID=x", "CN = bob", "CN=a\nb",
			`CN=bob,O=Strata\, Inc.,C=DE`, "DNQ=x", "IP=1.2.3.4", "GIVENNAME=x", "CN=a#b", "STREET=x", `CN=\ a\ `, "CN=a b ", " CN=a",
			"CN=#0c0161,O=x", "1.2.3=#0c0161", "CN=a\x00b", `CN=\00`, "C=#13024445", "0.9.2342.19200300.100.1.1=x", "2.999.1=x", `CN=\"a`,
			`CN="a" `, `CN="a\"b"`, "EMAIL=x", "DNQUALIFIER=x", "SURNAME=x", "INITIALS=x", "GENERATION=x", "CN=a\rb", "CN=a+O=b,C=c;L=d",
		}, []string{
			"anyone", "=x", "CN=a,", "CN=a,,O=b", ",CN=a", "3.4.5=x", "CN=#", "CN=#1", "CN=#zz", "FOO=x", `CN="a`, `CN=a"b`, `CN=a\`,
			`CN=a\zz`, "CN=a<b", "CN=a+", "CN=a>b", "CN=a+b", "1.2.3=#0c01", "1.2.3.=x", ".1.2=x", "1.40.1=x", `CN="a"b`, "CN=;", "CN=a;",
			"SN=x", "TITLE=x",
		}},
	} {
		for _, id := range row.yes {
			if !row.valid(id) {
				t.Errorf("%s:%q is refused", row.scheme, id)
			}
		}
		for _, id := range row.no {
			if row.valid(id) {
				t.Errorf("%s:%q is accepted", row.scheme, id)
			}
		}
	}
}

// FuzzNames: whatever clients send, the answer is one.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"bob/host@REALM", `CN=a\,b+O="x\"",1.2.3=#0c0161;DC= y `, `CN=\`, "CN=#", `CN="`, "2.99999999999999999999.1=x", "OID.=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !kerberosName(strings.ReplaceAll(s, "@", "")) || distinguishedName(s) && s != "" && !distinguishedName(s+",CN=x") {
			t.Errorf("%q", s)
		}
	})
}
