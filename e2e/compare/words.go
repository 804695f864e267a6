package compare

import (
	"regexp"
	"slices"
	"strings"
)

var (
	number  = regexp.MustCompile(`0x[0-9a-f]+|-?\d+(\.\d+)?`)
	release = regexp.MustCompile(`(ersion: ?)\S+ built on [^\n]+`)
)

// wordShape is the answer to a four-letter word as far as it can be the same on two servers: its lines without numbers, and of
// lists of keys only the keys.
func wordShape(word, text string) []string {
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		switch word {
		case "mntr":
			l, _, _ = strings.Cut(l, "\t")
		case "envi", "conf":
			l, _, _ = strings.Cut(l, "=")
		}
		l = release.ReplaceAllString(l, "${1}V built on D")
		if word != "ruok" {
			l = number.ReplaceAllString(l, "N")
		}
		lines[i] = l
	}
	if word == "mntr" {
		slices.Sort(lines)
		lines = slices.Compact(lines)
	}
	return lines
}
