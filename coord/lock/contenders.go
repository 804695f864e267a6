package lock

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
)

// sequenceDigits is the width of the number that a sequential create appends.
const sequenceDigits = 10

// mutexName names the contenders of a Mutex.
func (o *options) mutexName(id string) string {
	if o.curator {
		return curatorName(id, "lock-")
	}
	return id + "__lock__"
}

// curatorName is how Curator names what it creates so that it finds it again.
func curatorName(id, what string) string {
	return "_c_" + id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:] + "-" + what
}

// newID is a random (version 4) UUID as 32 hex digits.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand's doc
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return hex.EncodeToString(b[:])
}

// kind is what a contender wants.
type kind uint8

const (
	none      kind = iota // it is no contender
	exclusive             // of a mutex; kazoo's writers have the same names
	writer                // Curator's
	reader
)

// parse is what the contender called name wants, and its number.
func parse(name string) (k kind, n int64) {
	if len(name) < sequenceDigits {
		return none, 0
	}
	marker, digits := name[:len(name)-sequenceDigits], name[len(name)-sequenceDigits:]
	switch {
	case strings.HasSuffix(marker, "__lock__"), strings.HasSuffix(marker, "lock-"):
		k = exclusive
	case strings.HasSuffix(marker, "__WRIT__"):
		k = writer
	case strings.HasSuffix(marker, "__rlock__"), strings.HasSuffix(marker, "__READ__"):
		k = reader
	default:
		return none, 0
	}
	u, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return none, 0
	}
	return k, int64(u)
}

// nearest is the contender just before the one called name, among those that it waits for; "" when there is none. found is false
// when name is not among children.
func nearest(children []string, name string, waitsFor func(kind) bool) (predecessor string, found bool) {
	_, mine := parse(name)
	best := int64(-1)
	for _, child := range children {
		if child == name {
			found = true
			continue
		}
		if k, n := parse(child); waitsFor(k) && n < mine && n > best {
			best, predecessor = n, child
		}
	}
	return predecessor, found
}

// Whom a contender waits for.
func isExclusive(k kind) bool { return k == exclusive }                // a mutex
func isWriter(k kind) bool    { return k == exclusive || k == writer } // a reader
func isAny(k kind) bool       { return k != none }                     // a writer

// before is the contender before that of a mutex.
func before(children []string, name string) (predecessor string, found bool) {
	return nearest(children, name, isExclusive)
}

// anyOf tells whether there is any of those among children.
func anyOf(wanted func(kind) bool) func(children []string) bool {
	return func(children []string) bool {
		for _, child := range children {
			if k, _ := parse(child); wanted(k) {
				return true
			}
		}
		return false
	}
}
