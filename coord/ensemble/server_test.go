package ensemble

import (
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	one := Peer{"a.b", "1", "65535"}
	for text, want := range map[string]Server{
		"server.1=a.b:1:65535":                              {ID: 1, Peers: []Peer{one}},
		"server.1=a.b:1:65535:participant":                  {ID: 1, Peers: []Peer{one}},
		" server.07 = a.b:1:65535:Observer ; 2181 ":         {ID: 7, Peers: []Peer{one}, Observer: true, Client: ":2181"},
		"server.9223372036854775807=a.b:1:65535;[::1]:2":    {ID: 1<<63 - 1, Peers: []Peer{one}, Client: "[::1]:2"},
		"server.1=[fe80::1%e]:3:4|a.b:1:65535:observer;h:2": {ID: 1, Peers: []Peer{{"fe80::1%e", "3", "4"}, one}, Observer: true, Client: "h:2"},
	} {
		got, err := Parse(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := Parse(got.String()); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s, written as %s: %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{
		"", "server.1", "server.1=", "server.=a:1:1", "server.-1=a:1:1", "server.x=a:1:1", "group.1=1:2", "server.9223372036854775808=a:1:1",
		"server.1=a:1", "server.1=:1:1", "server.1=a:0:1", "server.1=a:65536:1", "server.1=a:1:01", "server.1=a:1:1:voter", "server.1=a:1:1:participant:1",
		"server.1=::1:1:1", "server.1=[::1:1:1", "server.1=a:1:1;", "server.1=a:1:1;0", "server.1=a:1:1;a:b", "server.1=a:1:1;:1", "server.1=a:1:1|", "server.1=a b:1:1", "server.1=a:1:1;1;2",
	} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func TestParseList(t *testing.T) {
	ss, err := ParseList("server.10=a:1:1;5,\n# a comment\r\nserver.2=b:1:1:observer\n\nversion=1f")
	if err != nil || Format(ss) != "server.2=b:1:1:observer\nserver.10=a:1:1:participant;5" {
		t.Errorf("%q, %v", Format(ss), err)
	}
	for _, text := range []string{"server.1=a:1:1,server.1=b:1:1", "server.1=a:1:1,weight.1=2"} {
		if ss, err := ParseList(text); err == nil {
			t.Errorf("%q is %v", text, ss)
		}
	}
}

// Whatever is accepted is written as it was understood, and can stand in the configuration.
func FuzzParseList(f *testing.F) {
	for _, text := range []string{
		"server.1=a:1:2:participant;h:3\nserver.2=[::1]:1:2:observer\nversion=a", "server.0=a:1:2|b:3:4;5,server.1=x:1:1", "server.1=a:1", "=", ",,", "server.1=a:1:1;:::",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ss, err := ParseList(text)
		if err != nil {
			return
		}
		written := Format(ss) // sorts
		again, err := ParseList(written)
		if err != nil || !reflect.DeepEqual(again, ss) {
			t.Errorf("%q is %+v; written as %q it is %+v, %v", text, ss, written, again, err)
		}
	})
}

func TestElectionPort(t *testing.T) {
	for port, want := range map[string]string{"1": "2", "7400": "7401", "65534": "65535", "65535": "65534"} {
		if got := ElectionPort(port); got != want {
			t.Errorf("for %s it is %s, not %s", port, got, want)
		}
	}
}
