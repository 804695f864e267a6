package compare

import (
	"fmt"
	"slices"
	"strings"
)

// Difference is one field that the two servers answer differently.
type Difference struct {
	Story string
	Line  string // as it is written
	At    string // step, connection, frame and field: "3 A reply.err"
	Real  string
	Ours  string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: %s: ZooKeeper %s, Strata %s    # %s", d.Story, d.At, d.Real, d.Ours, d.Line)
}

// Like tells whether d is o in another story: the same field of an answer to the same request.
func (d *Difference) Like(o *Difference) bool {
	what := func(d *Difference) string {
		l, _ := ParseLine(d.Line) // a line that was played
		_, at, _ := strings.Cut(d.At, " ")
		if decides(d.At) {
			at += d.Real + d.Ours
		}
		return l.Verb + l.Keys["type"] + " " + at
	}
	return what(d) == what(o)
}

// Compare lists the differences of two transcripts of s.
func Compare(s *Story, theirs, ours *Transcript) []Difference {
	a, b := normalize(theirs), normalize(ours)
	var all []Difference
	for step := 0; step <= len(s.Lines); step++ {
		text := "the story's znode"
		if step > 0 {
			text = s.Lines[step-1].text
		}
		x, y := at(theirs, step), at(ours, step)
		var conns []string
		for _, h := range slices.Concat(x, y) {
			if !slices.Contains(conns, h.Conn) {
				conns = append(conns, h.Conn)
			}
		}
		anyOrder := step > 0 && s.Lines[step-1].Verb == "close" // ephemerals go in no order
		for _, c := range conns {
			where := fmt.Sprintf("%d %s", step, c)
			xs, ys := of(x, c), of(y, c)
			if anyOrder {
				a.sortEvents(xs)
				b.sortEvents(ys)
			}
			for _, d := range frames(a, b, xs, ys) {
				d.Story, d.Line, d.At = s.Name, text, where+" "+d.At
				all = append(all, d)
			}
		}
	}
	return all
}

// decides tells of fields that say what follows them.
func decides(at string) bool {
	return strings.HasSuffix(at, ".err") || strings.HasSuffix(at, ".type") || strings.HasSuffix(at, ".code")
}

func at(t *Transcript, step int) (hs []Heard) {
	for _, h := range t.Heard {
		if h.Step == step {
			hs = append(hs, h)
		}
	}
	return hs
}

// of is what one connection heard; pings last, as they may overtake.
func of(hs []Heard, conn string) (fs []Frame) {
	for _, h := range hs {
		if h.Conn == conn {
			fs = append(fs, h.Frames...)
		}
	}
	slices.SortStableFunc(fs, func(x, y Frame) int {
		switch {
		case x.ping == y.ping:
			return 0
		case y.ping:
			return -1
		}
		return 1
	})
	return fs
}

// frames compares what one connection heard at one line.
func frames(a, b *normal, x, y []Frame) (ds []Difference) {
	kinds := func(fs []Frame) (s string) {
		for _, f := range fs {
			s += f.Kind + " "
		}
		return s
	}
	if kinds(x) != kinds(y) {
		return []Difference{{At: "frames", Real: a.render(x), Ours: b.render(y)}}
	}
	for i := range x {
		p, q := &x[i], &y[i]
		for j := range max(len(p.Fields), len(q.Fields)) {
			var d Difference
			switch {
			case j >= len(p.Fields) || j >= len(q.Fields) || p.Fields[j].Name != q.Fields[j].Name:
				d = Difference{At: p.Kind + ".fields", Real: a.render(x[i : i+1]), Ours: b.render(y[i : i+1])}
			default:
				d = Difference{At: p.Kind + "." + p.Fields[j].Name, Real: a.value(&p.Fields[j]), Ours: b.value(&q.Fields[j])}
			}
			if d.Real != d.Ours {
				ds = append(ds, d)
			}
			if strings.HasSuffix(d.At, ".fields") || d.Real != d.Ours && decides(d.At) {
				break // what follows is of another shape
			}
		}
	}
	return ds
}
