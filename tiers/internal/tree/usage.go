package tree

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// usage is the text of a limits or stats znode: `count=1,bytes=2`, and, in limits, behind an equals sign that stops old parsers,
// further numbers: `count=1,bytes=2=;byteHardLimit=3;countHardLimit=4`.
type usage struct {
	count, bytes int64
	more         []figure // sorted by name; each name once
}

type figure struct {
	name  string
	value int64
}

// maxUsage is how much of a text is read. It is read with each write below the quota, and clients may write anything into it.
const maxUsage = 4 << 10

// parseUsage reads what there is to be read: a pair that makes no sense is none. What is missing is -1, which is no limit.
func parseUsage(text []byte) usage {
	u := usage{count: -1, bytes: -1}
	text = text[:min(len(text), maxUsage)]
	for pair := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return r == ',' || r == ';' }) {
		name, value, ok := strings.Cut(pair, "=")
		value, _, _ = strings.Cut(value, "=")
		n := int64(-1)
		if value != "" {
			var err error
			if n, err = strconv.ParseInt(value, 10, 64); err != nil {
				continue
			}
		}
		switch {
		case !ok:
		case name == "count":
			u.count = n
		case name == "bytes":
			u.bytes = n
		default:
			u.set(name, n)
		}
	}
	return u
}

func (u *usage) set(name string, n int64) {
	i, found := u.find(name)
	if !found {
		u.more = slices.Insert(u.more, i, figure{name: name})
	}
	u.more[i].value = n
}

func (u *usage) find(name string) (int, bool) {
	return slices.BinarySearchFunc(u.more, name, func(f figure, name string) int { return cmp.Compare(f.name, name) })
}

// hard is a limit by its name; -1 if there is none.
func (u *usage) hard(name string) int64 {
	if i, found := u.find(name); found {
		return u.more[i].value
	}
	return -1
}

func (u *usage) append(b []byte) []byte {
	b = strconv.AppendInt(append(b, "count="...), u.count, 10)
	b = strconv.AppendInt(append(b, ",bytes="...), u.bytes, 10)
	if len(u.more) > 0 {
		b = append(b, '=')
	}
	for _, f := range u.more {
		b = append(append(append(b, ';'), f.name...), '=')
		b = strconv.AppendInt(b, f.value, 10)
	}
	return b
}
