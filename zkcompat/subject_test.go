package zkcompat

import (
	"encoding/asn1"
	"strings"
	"testing"
	"unicode/utf8"
)

var (
	commonName = asn1.ObjectIdentifier{2, 5, 4, 3}
	country    = asn1.ObjectIdentifier{2, 5, 4, 6}
	mail       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
)

func text(of asn1.ObjectIdentifier, tag int, v string) attribute {
	return attribute{of, asn1.RawValue{Tag: tag, Bytes: []byte(v)}}
}

func der(t testing.TB, rdns ...attributesSET) []byte {
	t.Helper()
	b, err := asn1.Marshal(rdns)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The wanted strings are what java.security of a JDK 17 prints for these bytes.
func TestSubject(t *testing.T) {
	const utf8String, printable, ia5, bits = asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagBitString
	cn := func(tag int, v string) []attributesSET { return []attributesSET{{text(commonName, tag, v)}} }
	for _, row := range []struct {
		name []attributesSET
		want string
	}{
		{[]attributesSET{{text(country, printable, "DE")}, {text(commonName, utf8String, "bob")}}, "CN=bob,C=DE"},
		{[]attributesSET{{text(commonName, utf8String, "x"), text(country, utf8String, "DE")}, {text(mail, ia5, "m")}}, "1.2.840.113549.1.9.1=#16016d,CN=x+C=DE"},
		{cn(utf8String, ""), "CN="},
		{cn(utf8String, "  a  "), `CN=\ \ a\ \ `},
		{cn(utf8String, " "), `CN=\ `},
		{cn(printable, " #a"), `CN=\ \#a`},
		{cn(ia5, "a,b+c\"d\\e<f>g;h=i"), `CN=a\,b\+c\"d\\e\<f\>g\;h\=i`},
		{cn(utf8String, "a\x00b"), `CN=a\00b`},
		{cn(utf8String, "Zoë Ünal 漢😀"), "CN=Zoë Ünal 漢😀"},
		{cn(utf8String, "\ra\r"), "CN=\\\ra\\\r"},
		{cn(utf8String, "a\nb\tc'()/:?"), "CN=a\nb\tc'()/:?"},
		{cn(bits, "\x00a"), "CN=#03020061"},
		{nil, ""},
	} {
		if got, err := subject(der(t, row.name...)); err != nil || got != row.want {
			t.Errorf("%q, %v; want %q", got, err, row.want)
		}
	}
	// Not Java's way, which would make both of them one.
	if got, err := subject(der(t, cn(utf8String, "a\xff")...)); err != nil || got != "CN=#0c0261ff" {
		t.Errorf("%q, %v", got, err)
	}
	for _, b := range []string{"", "\x30", "\x30\x00\x00", "\x31\x00", "bob"} {
		if got, err := subject([]byte(b)); err == nil {
			t.Errorf("%q is %q", b, got)
		}
	}
}

func FuzzSubject(f *testing.F) {
	f.Add(der(f, attributesSET{text(country, asn1.TagPrintableString, "DE")}, attributesSET{text(commonName, asn1.TagUTF8String, "b=o,b ")}))
	f.Add(der(f, attributesSET{text(mail, asn1.TagIA5String, "m@n.org"), text(commonName, asn1.TagBMPString, "\x00b")}))
	f.Add([]byte("\x30\x80\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := subject(b)
		if err != nil {
			return
		}
		if !utf8.ValidString(s) || strings.HasPrefix(s, ",") {
			t.Errorf("%q of %x", s, b)
		}
	})
}
