package tree

import (
	"strings"
	"unicode/utf8"
)

// validPath holds a path against zk-protocol 6.1. The forbidden characters are tested as UTF-16 units there, so everything
// beyond U+FFEF goes, bytes that are no UTF-8 included (they read as U+FFFD).
func validPath(p string) bool {
	if p == "/" {
		return true
	}
	if p == "" || p[0] != '/' || p[len(p)-1] == '/' {
		return false
	}
	ascii := true
	for i := range len(p) {
		switch c := p[i]; {
		case c < 0x20 || c == 0x7f:
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		case c == '/' && !validName(p[i+1:]):
			return false
		}
	}
	if ascii {
		return true
	}
	for _, r := range p {
		if (r >= 0x7f && r <= 0x9f) || (r >= 0xd800 && r <= 0xf8ff) || r >= 0xfff0 {
			return false
		}
	}
	return true
}

// validName holds the name that rest begins with against the names with a meaning of their own.
func validName(rest string) bool {
	switch {
	case rest == "" || rest[0] == '/' || rest == "." || rest == "..":
		return false
	case rest[0] == '.':
		return !strings.HasPrefix(rest, "./") && !strings.HasPrefix(rest, "../")
	}
	return true
}

// parented is what the server demands of a path before it looks for the parent: a slash is enough, wherever it stands.
func parented(p string) bool { return strings.IndexByte(p, '/') >= 0 && strings.IndexByte(p, 0) < 0 }

func lastSlash(p string) int { return strings.LastIndexByte(p, '/') }

// parentOf is the path one level up of a path with a slash; the root is its own.
func parentOf(p string) string {
	if i := lastSlash(p); i > 0 {
		return p[:i]
	}
	return "/"
}

// special znodes cannot be deleted.
func special(p string) bool {
	switch p {
	case "/", "/zookeeper", "/zookeeper/quota", ConfigPath:
		return true
	}
	return false
}

// ConfigPath is ZooKeeper's configuration znode. It follows from the membership: Configure writes it, clients do not.
const ConfigPath = "/zookeeper/config"
