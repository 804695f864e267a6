package zkcompat

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"strings"
	"unicode/utf8"
)

// attribute is one of a name's. Its value is kept as it stands, since its form tells how it is shown.
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// attributesSET has the name that encoding/asn1 knows sets by.
type attributesSET []attribute

// keywords are the types that RFC 2253 has names for; the others are shown as numbers.
var keywords = map[string]string{
	"2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU",
	"0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
}

var errName = errors.New("it is not the DER form of a name")

// subject is a name in RFC 2253 form, to the letter as Java's X500Principal.getName() has it: ACLs compare it as a string.
func subject(der []byte) (string, error) {
	var rdns []attributesSET
	if rest, err := asn1.Unmarshal(der, &rdns); err != nil || len(rest) > 0 {
		return "", errName
	}
	var b strings.Builder
	for i := len(rdns) - 1; i >= 0; i-- { // the last one first
		for j, a := range rdns[i] {
			switch {
			case j > 0:
				b.WriteByte('+')
			case i < len(rdns)-1:
				b.WriteByte(',')
			}
			a.appendTo(&b)
		}
	}
	return b.String(), nil
}

func (a *attribute) appendTo(b *strings.Builder) {
	key, known := keywords[a.Type.String()]
	if !known {
		key = a.Type.String()
	}
	b.WriteString(key)
	b.WriteByte('=')
	if !known || !textual(&a.Value) {
		b.WriteByte('#')
		b.WriteString(hex.EncodeToString(a.Value.FullBytes))
		return
	}
	text := string(a.Value.Bytes)
	inner := strings.TrimLeft(text, " \r")
	lead := len(text) - len(inner)
	trail := lead + len(strings.TrimRight(inner, " \r"))
	for i, r := range text {
		switch {
		case strings.ContainsRune(`,=+<>#;"\`, r), i < lead, i >= trail:
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == 0:
			b.WriteString(`\00`)
		default:
			b.WriteRune(r)
		}
	}
}

// textual tells whether a value is shown as text. What is not UTF-8, whatever its type says, is not: two names that differ stay different.
func textual(v *asn1.RawValue) bool {
	if v.Class != asn1.ClassUniversal || v.IsCompound {
		return false
	}
	switch v.Tag {
	case asn1.TagPrintableString, asn1.TagUTF8String, asn1.TagT61String, asn1.TagIA5String, asn1.TagGeneralString, asn1.TagBMPString:
		return utf8.Valid(v.Bytes)
	}
	return false
}
