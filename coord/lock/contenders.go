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

// sequence is the number of a contender called name. ok is false when name is none of a contender.
func sequence(name string) (n int64, ok bool) {
	if len(name) < sequenceDigits {
		return 0, false
	}
	marker, digits := name[:len(name)-sequenceDigits], name[len(name)-sequenceDigits:]
	if !strings.HasSuffix(marker, "__lock__") && !strings.HasSuffix(marker, "lock-") {
		return 0, false
	}
	u, err := strconv.ParseUint(digits, 10, 63)
	return int64(u), err == nil
}

// before is the contender just before the one called name, "" when there is none. found is false when name is not among children.
func before(children []string, name string) (predecessor string, found bool) {
	mine, _ := sequence(name)
	nearest := int64(-1)
	for _, child := range children {
		if child == name {
			found = true
			continue
		}
		n, ok := sequence(child)
		if ok && n < mine && n > nearest {
			nearest, predecessor = n, child
		}
	}
	return predecessor, found
}

// anyContender tells whether somebody holds the lock or waits for it.
func anyContender(children []string) bool {
	for _, child := range children {
		if _, ok := sequence(child); ok {
			return true
		}
	}
	return false
}
