package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Violation is what a check found.
type Violation struct {
	Check string // its name
	What  string
	// Story are the lines around it, in order: calls at the time of their call.
	Story string
}

func (v *Violation) Error() string { return fmt.Sprintf("%s: %s\n%s", v.Check, v.What, v.Story) }

// storyLines is how much of the story is told around a violation.
const storyLines = 60

// violation tells the story up to shortly after a moment.
func (h *history) violation(check, what string, when stamp, about ...*Op) error {
	type line struct {
		when stamp
		text string
	}
	var lines []line
	for _, o := range h.ops {
		lines = append(lines, line{o.called, o.String()})
	}
	for _, s := range h.events {
		lines = append(lines, line{s.when, fmt.Sprintf("%s at %s is told: %v %s zxid=%v", s.ear.client.name, s.ear.client.member, s.event.Type, s.event.Path, s.event.Zxid)})
	}
	for _, g := range h.grants {
		lines = append(lines, line{g.from, g.String()})
	}
	for _, n := range h.notes {
		lines = append(lines, line{n.when, "*** " + n.text})
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.when.seq, b.when.seq) })
	end, _ := slices.BinarySearchFunc(lines, when.seq+1, func(l line, seq int64) int { return cmp.Compare(l.when.seq, seq) })
	end = min(end+5, len(lines))
	var b strings.Builder
	for _, o := range about {
		fmt.Fprintf(&b, "  about %12v  %v\n", o.called.at.Round(time.Microsecond), o)
	}
	// Notes are few and matter: those before the window are told too.
	from := max(0, end-storyLines)
	for _, l := range lines[:from] {
		if strings.HasPrefix(l.text, "*** ") {
			fmt.Fprintf(&b, "  %12v  %s\n", l.when.at.Round(time.Microsecond), l.text)
		}
	}
	for _, l := range lines[from:end] {
		fmt.Fprintf(&b, "  %12v  %s\n", l.when.at.Round(time.Microsecond), l.text)
	}
	return &Violation{Check: check, What: what, Story: b.String()}
}
