package tree

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Quotas as the model has them: found by looking at all znodes, read by regular expressions.

// quota is the znode of that name of the longest path at or above path that has limits; "" if there is none.
func (m *model) quota(path, name string) string {
	for ; path != "/"; path = path[:max(strings.LastIndex(path, "/"), 1)] {
		if _, ok := m.znodes["/zookeeper/quota"+path+"/zookeeper_limits"]; ok {
			return "/zookeeper/quota" + path + name
		}
	}
	return ""
}

var pair = regexp.MustCompile(`([^,;=]*)=(=?)(-?[0-9]*)=?[,;]`)

// numbers are the pairs of a text.
func numbers(text string) map[string]int {
	ns := map[string]int{"count": -1, "bytes": -1}
	for _, p := range pair.FindAllStringSubmatch(text+",", -1) {
		n, err := strconv.Atoi(p[3])
		if err != nil || p[2] != "" {
			n = -1
		}
		ns[p[1]] = n
	}
	return ns
}

func text(ns map[string]int) string {
	s := fmt.Sprintf("count=%d,bytes=%d", ns["count"], ns["bytes"])
	for i, name := range slices.DeleteFunc(slices.Sorted(maps.Keys(ns)), func(n string) bool { return n == "count" || n == "bytes" }) {
		if i == 0 {
			s += "="
		}
		s += fmt.Sprintf(";%s=%d", name, ns[name])
	}
	return s
}

// beyond tells whether a change is refused.
func (m *model) beyond(path string, count, bytes int) bool {
	limits, stats := m.quota(path, "/zookeeper_limits"), m.quota(path, "/zookeeper_stats")
	if _, ok := m.znodes[stats]; !ok || !m.enforce {
		return false
	}
	limit, used := numbers(m.znodes[limits].data), numbers(m.znodes[stats].data)
	over := func(name, what string, by int) bool {
		hard, ok := limit[name]
		return ok && by > 0 && hard >= 0 && used[what]+by > hard
	}
	return over("countHardLimit", "count", count) || over("byteHardLimit", "bytes", bytes)
}

func (m *model) account(path string, count, bytes int) {
	stats := m.quota(path, "/zookeeper_stats")
	if _, ok := m.znodes[stats]; !ok || count == 0 && bytes == 0 {
		return
	}
	ns := numbers(m.znodes[stats].data)
	ns["count"] += count
	ns["bytes"] += bytes
	m.fill(stats, text(ns))
}

// recount counts for a new stats znode.
func (m *model) recount(path string) {
	of, ok := strings.CutSuffix(strings.TrimPrefix(path, "/zookeeper/quota"), "/zookeeper_stats")
	if !ok || !strings.HasPrefix(path, "/zookeeper/quota/") || of == "" {
		return
	}
	ns := map[string]int{"count": 0, "bytes": 0}
	for p, z := range m.znodes {
		if p == of || strings.HasPrefix(p, of+"/") {
			ns["count"]++
			ns["bytes"] += len(z.data)
		}
	}
	m.fill(path, text(ns))
}

func (m *model) fill(path, data string) {
	z := m.znodes[path]
	z.data, z.null, z.stat.DataLength = data, false, int32(len(data))
	m.znodes[path] = z
}
