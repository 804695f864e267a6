package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// parse reads settings as serve does, without starting anything.
func parse(t *testing.T, file string, args ...string) (*settings, []route, error) {
	t.Helper()
	s := &settings{}
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	s.register(flags)
	if file != "" {
		path := filepath.Join(t.TempDir(), "strata.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	if err := flags.Parse(args); err != nil {
		return s, nil, err
	}
	if s.config != "" {
		var err error
		if s.ignored, err = readFile(s.config, flags); err != nil {
			return s, nil, err
		}
	}
	if err := s.complete(); err != nil {
		return s, nil, err
	}
	routes, err := parseRoutes(s.routes)
	return s, routes, err
}

func TestDefaults(t *testing.T) {
	s, routes, err := parse(t, "")
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if s.name != host || s.dataDir != "strata-data" || s.bind != "127.0.0.1:7400" || s.zkListen != "127.0.0.1:2181" ||
		s.adminListen != "127.0.0.1:8080" || s.bootstrapExpect != 1 || s.role != roleVoter || len(s.join) != 0 {
		t.Errorf("%+v", s)
	}
	if s.tick != 2*time.Second || s.minSession != 4*time.Second || s.maxSession != 40*time.Second {
		t.Errorf("tick %v, session timeouts %v..%v; want 2s, 4s..40s", s.tick, s.minSession, s.maxSession)
	}
	want := []route{{"/", tierStrong, 0}, {"/config", tierReadonly, 0}, {"/configs", tierReadonly, 0}, {"/locks", tierStrong, 0}, {"/services", tierEventual, 0}}
	if !slices.Equal(routes, want) {
		t.Errorf("routes %v, want %v", routes, want)
	}
}

const wholeFile = `# a member
name: two
data-dir: "/var/lib/strata"
bind: 10.0.0.2:7400
join: [10.0.0.1:7400, 10.0.0.2:7400]
bootstrap-expect: 2
role: voter
zk-listen: ""
admin-listen:
route:
  - /services=eventual
  - /config=readonly,max-staleness=30s
tick: 500ms
min-session-timeout: 2s
max-session-timeout: 1m
log-level: debug
`

func TestFileHasTheFlagsKeysAndFlagsWin(t *testing.T) {
	s, routes, err := parse(t, wholeFile, "--name", "three", "--route", "/x=strong", "--tick=1s")
	if err != nil {
		t.Fatal(err)
	}
	if s.name != "three" || s.tick != time.Second || !slices.Equal(routes, []route{{"/", tierStrong, 0}, {"/x", tierStrong, 0}}) {
		t.Errorf("flags don't win: %+v %v", s, routes)
	}
	if s.dataDir != "/var/lib/strata" || s.bind != "10.0.0.2:7400" || s.bootstrapExpect != 2 || s.zkListen != "" || s.adminListen != "" ||
		s.minSession != 2*time.Second || s.maxSession != time.Minute || !slices.Equal(s.join, []string{"10.0.0.1:7400", "10.0.0.2:7400"}) {
		t.Errorf("the file's values are not there: %+v", s)
	}
	s, routes, err = parse(t, strings.Replace(wholeFile, "[10.0.0.1:7400, 10.0.0.2:7400]", "10.0.0.1:7400,10.0.0.2:7400", 1))
	if err != nil {
		t.Fatal(err)
	}
	if s.name != "two" || len(s.join) != 2 || !slices.Contains(routes, route{"/config", tierReadonly, 30 * time.Second}) || len(routes) != 3 {
		t.Errorf("%+v %v", s, routes)
	}
	if _, _, err = parse(t, "# nothing but a comment\n"); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for _, c := range []struct {
		name string
		file string
		args []string
		want []string
	}{
		{"unknown key", "name: one\nbnid: 10.0.0.1:7400\n", nil, []string{"strata.yaml:2:", `"bnid"`, `"bind"`}},
		{"key of nothing", "name: one\n\nsomething-else-entirely: 1\n", nil, []string{"strata.yaml:3:", `"something-else-entirely"`, "zk-listen"}},
		{"config in the file", "config: other.yaml\n", nil, []string{"strata.yaml:1:", `"config"`}},
		{"bad value", "tick: soon\n", nil, []string{"strata.yaml:1:", "tick", `"soon"`}},
		{"list for a scalar", "name: [a, b]\n", nil, []string{"strata.yaml:1:", "name", "list"}},
		{"mapping for a scalar", "name:\n  first: a\n", nil, []string{"strata.yaml:1:", "name"}},
		{"not YAML", "name: [\n", nil, []string{"strata.yaml", "not YAML"}},
		{"a list", "- name\n", nil, []string{"strata.yaml", "KEY: VALUE"}},
		{"twice", "name: a\nname: b\n", nil, []string{"strata.yaml", "name"}},
		{"no file", "", []string{"--config", "does/not/exist.yaml"}, []string{"--config", "does/not/exist.yaml"}},
		{"unknown flag", "", []string{"--data", "x"}, []string{"unknown flag", "--data"}},
		{"role", "", []string{"--role", "agent"}, []string{"--role", "voter or a replica"}},
		{"lonely replica", "", []string{"--role", "replica"}, []string{"--join"}},
		{"lonely replica that joins itself", "", []string{"--role", "replica", "--join", "127.0.0.1:7400"}, []string{"--join"}},
		{"expect without join", "", []string{"--bootstrap-expect", "3"}, []string{"--join"}},
		{"expect nobody", "", []string{"--bootstrap-expect", "0"}, []string{"--bootstrap-expect"}},
		{"bind", "", []string{"--bind", "7400"}, []string{"--bind", "HOST:PORT"}},
		{"bind nowhere in particular", "", []string{"--bind", "0.0.0.0:7400", "--join", "10.0.0.1:7400"}, []string{"--bind", "reach"}},
		{"join", "", []string{"--join", "10.0.0.1"}, []string{"--join", "HOST:PORT"}},
		{"zk-listen", "", []string{"--zk-listen", "2181"}, []string{"--zk-listen", "HOST:PORT"}},
		{"name", "", []string{"--name", "a b"}, []string{"--name", "a b"}},
		{"tick", "", []string{"--tick", "0s"}, []string{"--tick"}},
		{"max-frame", "", []string{"--max-frame", "100"}, []string{"--max-frame", "1024"}},
		{"max-client-connections", "", []string{"--max-client-connections", "-1"}, []string{"--max-client-connections"}},
		{"session timeouts", "", []string{"--min-session-timeout", "1m"}, []string{"--min-session-timeout", "40s"}},
		{"route without tier", "", []string{"--route", "/a"}, []string{"--route", "PREFIX=TIER"}},
		{"route to no tier", "", []string{"--route", "/a=weak"}, []string{`"weak"`, "eventual"}},
		{"route of no path", "", []string{"--route", "a=strong"}, []string{"slash"}},
		{"route with an empty component", "", []string{"--route", "/a/=strong"}, []string{"empty component"}},
		{"route of the server's own", "", []string{"--route", "/zookeeper=eventual"}, []string{"/zookeeper"}},
		{"route twice", "", []string{"--route", "/a=strong", "--route", "/a=eventual"}, []string{"/a", "already"}},
		{"staleness of another tier", "", []string{"--route", "/a=strong,max-staleness=1s"}, []string{"max-staleness", "readonly"}},
		{"staleness without unit", "", []string{"--route", "/a=readonly,max-staleness=30"}, []string{"max-staleness=30", "duration"}},
		{"option of nothing", "", []string{"--route", "/a=readonly,fast"}, []string{`"fast"`}},
	} {
		_, _, err := parse(t, c.file, c.args...)
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not name %q", c.name, err, w)
			}
		}
	}
}

func TestTableOfRoutes(t *testing.T) {
	_, routes, err := parse(t, "", "--route", "/config=readonly,max-staleness=30s")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := printRoutes(&b, routes); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[1], "/ ") || !strings.HasPrefix(lines[2], "/config ") || !strings.HasSuffix(lines[2], "beyond 30s") {
		t.Errorf("%s", b.String())
	}
}

func TestHelpNamesEveryFlagAndTeaches(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"serve", "--help"}, &out, &errs); code != 0 || errs.Len() != 0 {
		t.Fatalf("exit %d, stderr %q", code, errs.String())
	}
	for _, w := range []string{
		"--name", "--data-dir", "--bind", "--join", "--bootstrap-expect", "--role", "--zk-listen", "--zk-advertise", "--admin-listen", "--route",
		"--tick", "--min-session-timeout", "--max-session-timeout", "--config", "127.0.0.1:2181", "/readyz", "--bootstrap-expect 3", "eventual",
	} {
		if !strings.Contains(out.String(), w) {
			t.Errorf("no %q in the help", w)
		}
	}
}

func TestWrongUseIsOneLineAndExitOne(t *testing.T) {
	for _, args := range [][]string{{"serve", "--bnid", "x"}, {"serve", "now"}, {"sreve"}, {"serve", "--role", "agent"}} {
		var out, errs bytes.Buffer
		code := run(args, &out, &errs)
		if code != 1 || strings.Count(errs.String(), "\n") != 1 || !strings.HasPrefix(errs.String(), "strata: ") || out.Len() != 0 {
			t.Errorf("%v: exit %d, stdout %q, stderr %q", args, code, out.String(), errs.String())
		}
	}
}

func TestVersion(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"version"}, &out, &errs); code != 0 || !strings.HasPrefix(out.String(), "strata ") {
		t.Errorf("exit %d, %q, %q", code, out.String(), errs.String())
	}
}

func TestMajorityOnly(t *testing.T) {
	for want, specs := range map[bool][]string{true: {"/=strong", "/locks=strong"}, false: defaultRoutes} {
		routes, err := parseRoutes(specs)
		if err != nil {
			t.Fatal(err)
		}
		if got := majorityOnly(routes); got != want {
			t.Errorf("%q: %v", specs, got)
		}
	}
}
