package compare

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// normal turns what differs from server to server into what must be the same: zxids into their ranks among the changes of the
// story, times into the zxid of their change, sessions into the connections that opened them.
type normal struct {
	*Transcript
	changes []int64         // zxids of changes, in order
	times   map[int64]int64 // of changes
}

func normalize(t *Transcript) *normal {
	n := &normal{Transcript: t, times: map[int64]int64{}}
	for _, h := range t.Heard {
		for _, f := range h.Frames {
			for _, v := range f.Fields {
				switch {
				case v.Kind == Zxid && v.Num > 0:
					n.changes = append(n.changes, v.Num)
				case v.Kind == Time && v.Of > 0:
					if _, ok := n.times[v.Of]; !ok {
						n.times[v.Of] = v.Num
					}
				}
			}
		}
	}
	slices.Sort(n.changes)
	n.changes = slices.Compact(n.changes)
	return n
}

// value is f in words that both servers must use.
func (n *normal) value(f *Field) string {
	switch f.Kind {
	case Ping: // which may overtake what would show in it
		return "any"
	case Zxid, Seen:
		if f.Num <= 0 {
			return strconv.FormatInt(f.Num, 10)
		}
		// How many changes are not after it.
		return fmt.Sprintf("z%d", sort.Search(len(n.changes), func(i int) bool { return n.changes[i] > f.Num }))
	case Time:
		return n.time(f)
	case Session:
		if name, ok := n.sessions[f.Num]; ok {
			return "of " + name
		}
		return fmt.Sprintf("%#x", uint64(f.Num))
	case Secret:
		if name, ok := n.secrets[f.Text]; ok {
			return "of " + name
		}
		return fmt.Sprintf("%x", f.Text)
	case Path:
		return strconv.Quote(strings.ReplaceAll(f.Text, n.Root, "$"))
	}
	return f.Text
}

// slack is how far a server's clock may be from ours, in milliseconds.
const slack = 2000

// time holds a change's time against the other times of the story: one change has one time, a later change no earlier time, and
// all are of now.
func (n *normal) time(f *Field) string {
	if f.Of <= 0 {
		return strconv.FormatInt(f.Num, 10)
	}
	switch {
	case n.times[f.Of] != f.Num:
		return "another time than elsewhere"
	case f.Num > n.To+slack:
		return "in the future"
	}
	i, _ := slices.BinarySearch(n.changes, f.Of)
	for _, z := range n.changes[:i] {
		if at, ok := n.times[z]; ok && at > f.Num {
			return "before that of an earlier change"
		}
	}
	return "of its change"
}

// sortEvents orders the events among frames.
func (n *normal) sortEvents(fs []Frame) {
	slices.SortStableFunc(fs, func(x, y Frame) int {
		if x.Kind != "event" || y.Kind != "event" {
			return 0
		}
		return strings.Compare(n.render([]Frame{x}), n.render([]Frame{y}))
	})
}

// render shows frames in one line.
func (n *normal) render(frames []Frame) string {
	var out []string
	for _, f := range frames {
		var vs []string
		for i := range f.Fields {
			v := &f.Fields[i]
			switch strings.TrimLeft(v.Name, "0123456789.") {
			case "xid", "ctime", "mtime", "czxid", "mzxid", "pzxid", "state", "aversion", "version", "cversion", "dataLength":
				continue
			}
			vs = append(vs, v.Name+"="+n.value(v))
		}
		out = append(out, f.Kind+"("+strings.Join(vs, " ")+")")
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, ", ")
}
