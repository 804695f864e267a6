package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

const zooCfg = `# The number of milliseconds of each tick
tickTime=500
initLimit=10
syncLimit=5
dataDir=DIR
clientPort=2191
maxClientCnxns=60
maxSessionTimeout=60000
autopurge.purgeInterval = 1
admin.serverPort=8090
jute.maxbuffer=0x3fffff
znode.container.checkIntervalMs=250
enforceQuota=true
reconfigEnabled=true
server.1=10.0.0.1:2888:3888
server.2=[fd00::2]:2888:3888:participant;2181
server.3=zk3.example.com:2888:3888
server.4=10.0.0.4:2888:3888:observer;0.0.0.0:2181
`

// zooDir is a data directory of a ZooKeeper server.
func zooDir(t *testing.T, myid string) string {
	t.Helper()
	dir := t.TempDir()
	if myid != "" {
		if err := os.WriteFile(filepath.Join(dir, "myid"), []byte(myid+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestZooCfg(t *testing.T) {
	dir := zooDir(t, "2")
	s, routes, err := parse(t, strings.Replace(zooCfg, "DIR", dir, 1), "--log-level", "warn")
	if err != nil {
		t.Fatal(err)
	}
	if s.name != "server.2" || s.dataDir != filepath.Join(dir, "strata") || s.bind != "[fd00::2]:2888" || s.bootstrapExpect != 3 || s.role != roleVoter ||
		!slices.Equal(s.join, []string{"10.0.0.1:2888", "[fd00::2]:2888", "zk3.example.com:2888", "10.0.0.4:2888"}) {
		t.Errorf("the member: %+v", s)
	}
	if s.zkListen != ":2191" || s.adminListen != ":8090" || s.tick != 500*time.Millisecond || s.minSession != time.Second || s.maxSession != time.Minute ||
		s.maxFrame != 0x3fffff || s.maxPerAddress != 60 || s.containerCheck != 250*time.Millisecond || !s.enforceQuota || !s.reconfigEnabled {
		t.Errorf("the rest: %+v", s)
	}
	if !slices.Equal(routes, []route{{"/", tierStrong, 0}}) {
		t.Errorf("routes %v", routes)
	}
	if !slices.Equal(s.ignored, []string{"initLimit", "syncLimit", "autopurge.purgeInterval"}) {
		t.Errorf("ignored %q", s.ignored)
	}

	s, routes, err = parse(t, strings.Replace(zooCfg, "DIR", zooDir(t, "4"), 1), "--name", "four", "--route", "/s=eventual", "--tick", "1s")
	if err != nil {
		t.Fatal(err)
	}
	if s.name != "four" || s.role != roleReplica || s.tick != time.Second || len(routes) != 2 {
		t.Errorf("an observer with flags: %+v, %v", s, routes)
	}
}

func TestZooCfgOfOne(t *testing.T) {
	s, _, err := parse(t, "clientPort=2181\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\ndataDir=/var/lib/zookeeper\n")
	if err != nil {
		t.Fatal(err)
	}
	if s.bootstrapExpect != 1 || len(s.join) != 0 || s.zkListen != "127.0.0.1:2181" || s.adminListen != "" || s.dataDir != "/var/lib/zookeeper/strata" || len(s.ignored) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestZooCfgWithADynamicFile(t *testing.T) {
	dir := zooDir(t, "1")
	dynamic := filepath.Join(dir, "zoo.cfg.dynamic")
	if err := os.WriteFile(dynamic, []byte("server.1=127.0.0.1:2888:3888:participant;0.0.0.0:2182\nversion=100000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _, err := parse(t, "dataDir="+dir+"\ndynamicConfigFile="+dynamic+"\n")
	if err != nil {
		t.Fatal(err)
	}
	if s.name != "server.1" || s.zkListen != "0.0.0.0:2182" || s.bootstrapExpect != 1 || len(s.ignored) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestMistakesInAZooCfgAreNamed(t *testing.T) {
	for _, c := range []struct {
		name, file string
		want       []string
	}{
		{"number", "tickTime=two\n", []string{"strata.yaml", "tickTime", `"two"`}},
		{"flag's range", "tickTime=2000\nmaxClientCnxns=-3\n", []string{"--max-client-connections"}},
		{"server", "dataDir=DIR\nserver.1=here\n", []string{"server.1=here", "HOST:PORT:PORT"}},
		{"server's id", "dataDir=DIR\nserver.one=10.0.0.1:1:2\n", []string{`"one"`}},
		{"role", "dataDir=DIR\nserver.1=10.0.0.1:1:2:leader\n", []string{`"leader"`}},
		{"client's port", "dataDir=DIR\nserver.1=10.0.0.1:1:2;clients\n", []string{`"clients"`, "port"}},
		{"not one of them", "dataDir=DIR\nserver.1=10.0.0.1:1:2\n", []string{"myid", "7", "server.7"}},
		{"no myid", "dataDir=/does/not/exist\nserver.1=10.0.0.1:1:2\n", []string{"myid"}},
		{"no dynamic file", "dynamicConfigFile=/does/not/exist\n", []string{"dynamicConfigFile", "/does/not/exist"}},
		{"store", "ssl.keyStore.location=/etc/keys.jks\n", []string{"ssl.keyStore.location", "keys.jks", "PEM"}},
	} {
		_, _, err := parse(t, strings.Replace(c.file, "DIR", zooDir(t, "7"), 1))
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", c.name, err, w)
			}
		}
	}
}

func TestZooKeysHaveFlags(t *testing.T) {
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	new(settings).register(flags)
	for key, k := range zooKeys {
		if flags.Lookup(k.flag) == nil {
			t.Errorf("%s: there is no flag --%s", key, k.flag)
		}
	}
	for _, name := range []string{"zk-tls-listen", "tls-cert", "tls-key"} {
		if flags.Lookup(name) == nil {
			t.Errorf("there is no flag --%s", name)
		}
	}
}

func TestWhatIsAZooCfg(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "# a=b\n": false, "name: one\n": false, "route: [\"/a=strong\"]\n": false, "tickTime=2000\n": true,
		"\n! comment\n dataDir = /x:y\n": true, "server.1=a:1:2\n": true, "just words\n": false, "=x": false,
	} {
		if isZooCfg([]byte(text)) != want {
			t.Errorf("%q: want %t", text, want)
		}
	}
}

func FuzzZooCfg(f *testing.F) {
	f.Add(zooCfg)
	f.Add("server.1=[::1]:1:2:observer;[::1]:3\ndataDir=x\n")
	f.Add("dynamicConfigFile=\nssl.keyStore.location=a.pem\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, zooDynamicFile) || !isZooCfg([]byte(text)) {
			return
		}
		flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		new(settings).register(flags)
		ignored, err := readZooCfg("zoo.cfg", []byte(text), flags)
		if err != nil && len(ignored) > 0 {
			t.Errorf("%q are ignored, and there is an error: %v", ignored, err)
		}
	})
}

func TestZooCfgKeepsOutWhomItKeptOut(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil, "enforce.auth.schemes=sasl\n": nil, "sessionRequireClientSASLAuth=false\n": nil,
		"sessionRequireClientSASLAuth=true\n":                             {"sasl"},
		"enforce.auth.enabled=true\nenforce.auth.schemes=digest,sasl\n":   {"digest", "sasl"},
		"sessionRequireClientSASLAuth=true\nenforce.auth.enabled=false\n": {"sasl"},
	} {
		s, _, err := parse(t, "tickTime=2000\n"+text, "--sasl-users", "users.yaml")
		if err != nil || !slices.Equal(s.guard.enforce, want) {
			t.Errorf("%q: %q, %v", text, s.guard.enforce, err)
		}
	}
	for text, want := range map[string]string{
		"enforce.auth.enabled=true\n":         "names no scheme",
		"sessionRequireClientSASLAuth=true\n": "--sasl-users",
	} {
		if _, _, err := parse(t, "tickTime=2000\n"+text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
