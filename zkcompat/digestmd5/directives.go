package digestmd5

import (
	"errors"
	"fmt"
	"strings"
)

// maxResponse bounds a client's response, bytes: RFC 2831 does so.
const maxResponse = 4096

var errSyntax = errors.New("not a list of directives")

// directives reads name=value, name="value", ... Names are case-insensitive, and returned in lower case. A name that comes twice is
// an error: no directive that we read may.
func directives(b []byte) (map[string]string, error) {
	if len(b) > maxResponse {
		return nil, fmt.Errorf("%w: %d bytes", errSyntax, len(b))
	}
	d := make(map[string]string)
	for s := string(b); ; {
		s = strings.TrimLeft(s, " \t\r\n,") // empty elements of a list mean nothing
		if s == "" {
			return d, nil
		}
		name, rest, ok := strings.Cut(s, "=")
		name = strings.ToLower(strings.TrimRight(name, " \t\r\n"))
		if !ok || !token(name) {
			return nil, errSyntax
		}
		if _, twice := d[name]; twice {
			return nil, fmt.Errorf("%w: %s comes twice", errSyntax, name)
		}
		if d[name], s, ok = value(strings.TrimLeft(rest, " \t\r\n")); !ok {
			return nil, errSyntax
		}
		if s = strings.TrimLeft(s, " \t\r\n"); s != "" && s[0] != ',' {
			return nil, errSyntax
		}
	}
}

// value cuts a token or a quoted string from the front of s.
func value(s string) (v, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		n := strings.IndexAny(s, ", \t\r\n")
		if n < 0 {
			n = len(s)
		}
		return s[:n], s[n:], token(s[:n])
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false // it does not end
}

// token tells whether s is one of RFC 2616.
func token(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

// quote is the quoted string of s.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
