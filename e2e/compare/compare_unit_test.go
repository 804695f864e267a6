package compare

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/strata-coord/strata/zkcompat/jute"
)

func TestParseStories(t *testing.T) {
	stories, err := ParseStories(`
# remark
== cross {x} | x=a b | y=1 2
A& create $/{x} data="a \x00=b" flags={y} @m
B multi create $/a data=";" ; delete $/a v=1 ; xid=5
== two
A get ~ w
`)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range stories {
		names = append(names, s.Name)
	}
	if want := []string{"cross a 1", "cross a 2", "cross b 1", "cross b 2", "two"}; !slices.Equal(names, want) {
		t.Fatalf("stories %q, want %q", names, want)
	}
	l := stories[3].Lines[0]
	if l.Conn != "A" || !l.More || l.Verb != "create" || !slices.Equal(l.Args, []string{"$/b"}) || l.Keys["data"] != "a \x00=b" || l.Keys["flags"] != "2" || l.Mark != "@m" {
		t.Errorf("create is %+v", l)
	}
	m := stories[0].Lines[1]
	if len(m.Parts) != 2 || m.Parts[0].Keys["data"] != ";" || m.Parts[1].Keys["v"] != "1" || m.Keys["xid"] != "5" {
		t.Errorf("multi is %+v", m)
	}
	if !strings.Contains(stories[4].Text(), "== two\nA get ~ w\n") || stories[4].Lines[0].Keys["w"] == "" {
		t.Errorf("two is %+v", stories[4])
	}
	for _, bad := range []string{"A get x", "== a\nA", "== a | x\nA get {x}", "== a | x=1\nA get y", "== a\nA get \"x", "== a\nA multi ; get $"} {
		if s, err := ParseStories(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, s)
		}
	}
}

// told makes a transcript of replies with a Stat, zxids and times shifted.
func told(shift int64, change func(*jute.Stat, *jute.ReplyHeader)) *Transcript {
	tr := &Transcript{Root: "/r", From: 1000 + shift, To: 2000 + shift, sessions: map[int64]string{0: "none", 7 + shift: "A"}}
	for i := range int64(3) {
		h := jute.ReplyHeader{Xid: int32(i), Zxid: 10*i + 1 + shift}
		s := jute.Stat{Czxid: 1 + shift, Mzxid: 10*i + 1 + shift, Pzxid: 1 + shift, Ctime: 1500 + shift, Mtime: 1500 + 2*i + shift, EphemeralOwner: 7 + shift}
		if change != nil && i == 2 {
			change(&s, &h)
		}
		f, _ := decodeReply(s.Append(h.Append(nil)), jute.OpSetData)
		tr.Heard = append(tr.Heard, Heard{Step: int(i) + 1, Conn: "A", Frames: []Frame{f}})
	}
	return tr
}

func TestCompare(t *testing.T) {
	s := &Story{Name: "s", Lines: []Line{{text: "1"}, {text: "2"}, {text: "3"}}}
	if ds := Compare(s, told(0, nil), told(1e6, nil)); len(ds) != 0 {
		t.Errorf("the same in other numbers: %v", ds)
	}
	for at, change := range map[string]func(*jute.Stat, *jute.ReplyHeader){
		"3 A reply.czxid":          func(s *jute.Stat, _ *jute.ReplyHeader) { s.Czxid += 10 },
		"3 A reply.ctime":          func(s *jute.Stat, _ *jute.ReplyHeader) { s.Ctime++ },
		"3 A reply.mtime":          func(s *jute.Stat, _ *jute.ReplyHeader) { s.Mtime -= 400 },
		"3 A reply.version":        func(s *jute.Stat, _ *jute.ReplyHeader) { s.Version = 9 },
		"3 A reply.ephemeralOwner": func(s *jute.Stat, _ *jute.ReplyHeader) { s.EphemeralOwner = 0 },
		"3 A reply.err":            func(_ *jute.Stat, h *jute.ReplyHeader) { h.Code = -101 },
		"3 A reply.xid":            func(_ *jute.Stat, h *jute.ReplyHeader) { h.Xid = -2 },
	} {
		ds := Compare(s, told(0, nil), told(0, change))
		if len(ds) == 0 || ds[0].At != at || ds[0].Line != "3" {
			t.Errorf("at %s: %v", at, ds)
		}
	}
	// One that does not answer, and one whose event comes on the wrong side of its reply.
	none := told(0, nil)
	none.Heard[1].Frames = nil
	if ds := Compare(s, told(0, nil), none); len(ds) == 0 || ds[0].At != "2 A frames" || ds[0].Ours != "nothing" {
		t.Errorf("a reply is missing: %v", ds)
	}
	before, after := told(0, nil), told(0, nil)
	event := decodeEvent((&jute.WatcherEvent{Type: 3, State: 3, Path: "/r/a"}).Append((&jute.ReplyHeader{Xid: -1, Zxid: -1}).Append(nil)))
	before.Heard[1].Frames = append([]Frame{event}, before.Heard[1].Frames...)
	after.Heard[1].Frames = append(after.Heard[1].Frames, event)
	if ds := Compare(s, before, after); len(ds) != 1 || ds[0].At != "2 A frames" || !strings.HasPrefix(ds[0].Real, "event(") || !strings.HasPrefix(ds[0].Ours, "reply(") {
		t.Errorf("an event on the other side: %v", ds)
	}
}

func TestExpectations(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{{"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"* x", "3 A x", true}, {"a*b*c", "a1b2c", true}, {"a*b*c", "acb", false}, {"z*", "-1", false}} {
		if like(c.pattern, c.s) != c.want {
			t.Errorf("like(%q, %q) is %v", c.pattern, c.s, !c.want)
		}
	}
	l := Ledger{Expected: []Expectation{{Story: "s", At: "1 A reply.err", Real: "-8", Ours: "-5"}, {Story: "s*", At: "* reply.zxid", Real: "*", Ours: "*"}}}
	d := Difference{Story: "s", At: "1 A reply.err", Real: "-8", Ours: "-6"}
	if bad := l.Unexpected([]Difference{d}); len(bad) != 1 || len(l.Unmet()) != 2 {
		t.Errorf("%v is covered by %v", d, l.Expected)
	}
	d.Ours = "-5"
	if bad := l.Unexpected([]Difference{d}); len(bad) != 0 || len(l.Unmet()) != 1 || l.Unmet()[0].Story != "s*" {
		t.Errorf("%v is not covered: %v, unmet %v", d, bad, l.Unmet())
	}
}

// TestExpectedIsDocumented: what differs for good is told to clients.
func TestExpectedIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/zk-compat.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Differences that a client could see\n")
	if !found {
		t.Fatal("docs/zk-compat.md has no section of differences")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	section = strings.Join(strings.Fields(section), " ")
	for _, e := range Expected {
		switch {
		case e.Why == "":
			t.Errorf("no reason for %+v", e)
		case e.Docs == "" && !e.Cluster && !strings.HasPrefix(e.Why, "pending: "):
			t.Errorf("%q is neither pending nor documented", e.Why)
		case !strings.Contains(section, e.Docs):
			t.Errorf("docs/zk-compat.md does not say %q among its differences", e.Docs)
		}
	}
}

// FuzzDecodeReply: whatever a server sends, it becomes a frame.
func FuzzDecodeReply(f *testing.F) {
	h := (&jute.ReplyHeader{Xid: 1, Zxid: 2}).Append(nil)
	f.Add(int32(jute.OpSetData), (&jute.Stat{Czxid: 3}).Append(slices.Clone(h)))
	f.Add(int32(jute.OpMulti), jute.MultiEnd.Append(slices.Clone(h)))
	f.Add(int32(jute.OpWhoAmI), jute.AppendInt(slices.Clone(h), 1<<30))
	f.Add(int32(jute.OpGetChildren2), jute.AppendStrings(slices.Clone(h), []string{"b", "a"}))
	f.Add(int32(jute.OpGetData), jute.AppendBuffer(slices.Clone(h), nil))
	f.Fuzz(func(t *testing.T, op int32, body []byte) {
		tr := &Transcript{Root: "/r"}
		reply, _ := decodeReply(body, jute.Opcode(op))
		connect, _ := decodeConnect(body)
		tr.Heard = []Heard{{Step: 1, Conn: "A", Frames: []Frame{reply, decodeEvent(body), connect}}}
		s := &Story{Lines: []Line{{}}}
		if ds := Compare(s, tr, tr); len(ds) != 0 {
			t.Errorf("it differs from itself: %v", ds)
		}
	})
}
