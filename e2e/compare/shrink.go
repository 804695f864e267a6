package compare

import "slices"

// Shrink returns the shortest story that it finds for which fails is still true, leaving out lines, parts of multis and words.
func Shrink(s *Story, fails func(*Story) bool) *Story {
	try := func(lines []Line) bool {
		n := &Story{Name: s.Name, Lines: lines}
		if len(lines) == 0 || !fails(n) {
			return false
		}
		s = n
		return true
	}
	for size := len(s.Lines) / 2; size > 0; size /= 2 {
		for from := len(s.Lines) - size; from > -size; from -= size {
			at := max(from, 0)
			if at+size <= len(s.Lines) {
				try(slices.Delete(slices.Clone(s.Lines), at, at+size))
			}
		}
	}
	for again := true; again; {
		again = false
		for i := len(s.Lines) - 1; i >= 0; i-- {
			if i >= len(s.Lines) {
				continue
			}
			for _, l := range simpler(&s.Lines[i]) {
				lines := slices.Clone(s.Lines)
				lines[i] = l
				if try(lines) {
					again = true
					break
				}
			}
			if try(slices.Delete(slices.Clone(s.Lines), i, i+1)) {
				again = true
			}
		}
	}
	return s
}

// simpler are the lines that l becomes without one of its words.
func simpler(l *Line) (out []Line) {
	ws, err := words(l.text)
	if err != nil {
		return nil
	}
	cut := func(from, to int) {
		text := l.text[:ws[from].at]
		if to < len(ws) {
			text += l.text[ws[to].at:]
		}
		if n, err := ParseLine(text); err == nil {
			out = append(out, n)
		}
	}
	if l.More {
		text := ws[0].s[:len(ws[0].s)-1] + l.text[len(ws[0].s):]
		if n, err := ParseLine(text); err == nil {
			out = append(out, n)
		}
	}
	for i := 2; i < len(ws); i++ {
		if n := slices.IndexFunc(ws[i:], func(w word) bool { return w.s == ";" }); n > 0 && l.Parts != nil && (ws[i-1].s == ";" || i == 2) {
			cut(i, i+n+1)
		}
		if ws[i].s == ";" {
			cut(i, len(ws))
		}
		if ws[i].key != "" && ws[i].key != "type" || ws[i].s == "w" {
			cut(i, i+1)
		}
	}
	return out
}
