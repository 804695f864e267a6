package compare

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Story is what some connections do, one line after the other.
type Story struct {
	Name  string
	Lines []Line
}

// Line is one thing that one connection does.
type Line struct {
	Conn string
	More bool // the next line follows in the same write
	Verb string
	Args []string          // without a key
	Keys map[string]string // key=value; a key alone has the value of itself
	Mark string            // where the zxid of the reply is kept
	// Parts are those of a multi.
	Parts []Line
	text  string
}

func (l Line) String() string { return l.text }

// Text is the story as it is written.
func (s *Story) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "== %s\n", s.Name)
	for _, l := range s.Lines {
		b.WriteString(l.text + "\n")
	}
	return b.String()
}

// ParseStories reads a file of stories.
func ParseStories(text string) ([]Story, error) {
	var all []Story
	var head string
	var body []string
	end := func() error {
		if head == "" {
			return nil
		}
		more, err := expand(head, body)
		all = append(all, more...)
		return err
	}
	for n, l := range strings.Split(text, "\n") {
		l = strings.TrimSpace(l)
		switch {
		case l == "" || l[0] == '#':
		case strings.HasPrefix(l, "== "):
			if err := end(); err != nil {
				return nil, err
			}
			head, body = l[3:], nil
		case head == "":
			return nil, fmt.Errorf("line %d: %q stands before the first story", n+1, l)
		default:
			body = append(body, l)
		}
	}
	return all, end()
}

// expand makes one story for each combination of the lists in its head.
func expand(head string, body []string) ([]Story, error) {
	parts := strings.Split(head, " | ")
	for _, list := range parts[1:] {
		if name, _, ok := strings.Cut(strings.TrimSpace(list), "="); !ok || !strings.Contains(strings.Join(body, "\n"), "{"+name+"}") {
			return nil, fmt.Errorf("story %q: %q is no list, or not used", parts[0], list)
		}
	}
	texts := []string{strings.TrimSpace(parts[0]) + "\n" + strings.Join(body, "\n")}
	for _, list := range parts[1:] {
		name, values, _ := strings.Cut(strings.TrimSpace(list), "=")
		if !strings.Contains(parts[0], "{"+name+"}") {
			for i := range texts {
				first, rest, _ := strings.Cut(texts[i], "\n")
				texts[i] = first + " {" + name + "}\n" + rest
			}
		}
		var next []string
		for _, t := range texts {
			for _, v := range strings.Fields(values) {
				next = append(next, strings.ReplaceAll(t, "{"+name+"}", v))
			}
		}
		texts = next
	}
	var out []Story
	for _, t := range texts {
		name, rest, _ := strings.Cut(t, "\n")
		s := Story{Name: name}
		for _, l := range strings.Split(rest, "\n") {
			line, err := ParseLine(l)
			if err != nil {
				return nil, fmt.Errorf("story %q: %q: %w", name, l, err)
			}
			s.Lines = append(s.Lines, line)
		}
		out = append(out, s)
	}
	return out, nil
}

// ParseLine reads one line.
func ParseLine(text string) (Line, error) {
	ws, err := words(text)
	if err != nil {
		return Line{}, err
	}
	if len(ws) < 2 {
		return Line{}, fmt.Errorf("want CONN VERB")
	}
	l := Line{Conn: strings.TrimSuffix(ws[0].s, "&"), More: strings.HasSuffix(ws[0].s, "&"), text: text}
	if ws[1].s == "multi" || ws[1].s == "multiRead" {
		l.Verb, l.Keys = ws[1].s, map[string]string{}
		rest := ws[2:]
		for len(rest) > 0 {
			n := slices.IndexFunc(rest, func(w word) bool { return w.s == ";" && !w.quoted })
			part := rest
			if rest = nil; n >= 0 {
				part, rest = part[:n], part[n+1:]
			}
			switch {
			case len(part) == 0:
				return l, fmt.Errorf("an empty part")
			case part[0].key != "" || strings.HasPrefix(part[0].s, "@"): // after the last ;: of the multi itself
				l.arguments(part)
			default:
				p := Line{Verb: part[0].s}
				p.arguments(part[1:])
				l.Parts = append(l.Parts, p)
			}
		}
		return l, nil
	}
	l.Verb = ws[1].s
	l.arguments(ws[2:])
	return l, nil
}

func (l *Line) arguments(ws []word) {
	if l.Keys == nil {
		l.Keys = map[string]string{}
	}
	for _, w := range ws {
		switch {
		case w.key != "":
			l.Keys[w.key] = w.s
		case !w.quoted && strings.HasPrefix(w.s, "@"):
			l.Mark = w.s
		case !w.quoted && (w.s == "w" || w.s == "ro" || w.s == "split" || w.s == "half" || w.s == "newline"):
			l.Keys[w.s] = w.s
		default:
			l.Args = append(l.Args, w.s)
		}
	}
}

// word is one word of a line.
type word struct {
	key, s string
	quoted bool
	at     int // in the line
}

func words(text string) ([]word, error) {
	var out []word
	whole := len(text)
	for text = strings.TrimLeft(text, " \t"); text != ""; text = strings.TrimLeft(text, " \t") {
		w := word{at: whole - len(text)}
		if n := strings.IndexAny(text, "= \t\""); n > 0 && text[n] == '=' {
			w.key, text = text[:n], text[n+1:]
		}
		if strings.HasPrefix(text, `"`) {
			q, err := strconv.QuotedPrefix(text)
			if err != nil {
				return nil, fmt.Errorf("quotes: %w", err)
			}
			if w.s, err = strconv.Unquote(q); err != nil {
				return nil, fmt.Errorf("quotes: %w", err)
			}
			w.quoted, text = true, text[len(q):]
		} else {
			n := strings.IndexAny(text, " \t")
			if n < 0 {
				n = len(text)
			}
			w.s, text = text[:n], text[n:]
		}
		out = append(out, w)
	}
	return out, nil
}
