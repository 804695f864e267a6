package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGuardFlags(t *testing.T) {
	const super = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs="
	tls := []string{"--zk-tls-listen", "127.0.0.1:0", "--tls-cert", "c", "--tls-key", "k"}
	for _, c := range []struct {
		args []string
		auth string // what clients are asked for
		want string // a part of the error; empty: accepted
	}{
		{nil, "none", ""},
		{tls, "none", ""},
		{append(tls, "--tls-ca", "a"), "need", ""},
		{append(tls, "--tls-ca", "a", "--tls-client-auth", "want"), "want", ""},
		{append(tls, "--tls-ca", "a", "--tls-client-auth", "none"), "none", ""},
		{append(tls, "--tls-ca", "a", "--x509-super-user", "CN=a"), "need", ""},
		{append(tls, "--zk-listen", ""), "none", ""},
		{append(tls[2:], "--zk-port-unification", "--super-digest", super), "none", ""},
		{tls[:2], "", "need --tls-cert and --tls-key"},
		{tls[:4], "", "need --tls-cert and --tls-key"},
		{tls[2:], "", "--zk-tls-listen or --zk-port-unification"},
		{append(tls[2:], "--zk-port-unification", "--zk-listen", ""), "", "needs --zk-listen"},
		{append(tls, "--tls-client-auth", "need"), "", "needs --tls-ca"},
		{append(tls, "--tls-client-auth", "maybe"), "", `"maybe"`},
		{append(tls, "--x509-super-user", "CN=a"), "", "--tls-ca"},
		{append(tls[2:], "--zk-tls-listen", "2281"), "", "HOST:PORT"},
		{[]string{"--sasl-users", "u", "--sasl-super-user", "a", "--enforce-auth-schemes", "sasl,digest"}, "none", ""},
		{append(tls, "--tls-ca", "a", "--enforce-auth-schemes", "x509"), "need", ""},
		{[]string{"--sasl-super-user", "a"}, "", "--sasl-users"},
		{[]string{"--enforce-auth-schemes", "sasl"}, "", "--sasl-users"},
		{[]string{"--enforce-auth-schemes", "x509"}, "", "--tls-ca"},
		{[]string{"--enforce-auth-schemes", "ip"}, "", `"ip"`},
		{[]string{"--super-digest", "super:secret"}, "", "--super-digest"},
		{[]string{"--super-digest", strings.TrimPrefix(super, "super:")}, "", "openssl sha1"},
	} {
		s, _, err := parse(t, "", c.args...)
		switch {
		case c.want == "" && (err != nil || s.guard.tlsClientAuth != c.auth):
			t.Errorf("%q: %v, clients are asked %q", c.args, err, s.guard.tlsClientAuth)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestCertificatesThatAreNotThere(t *testing.T) {
	var out, errs strings.Builder
	code := run([]string{
		"serve", "--data-dir", t.TempDir() + "/d", "--zk-listen", "127.0.0.1:0", "--zk-tls-listen", "127.0.0.1:0", "--bind", "127.0.0.1:0", "--admin-listen", "",
		"--tls-cert", "no.pem", "--tls-key", "no.key",
	}, &out, &errs)
	if code != 1 || !strings.Contains(errs.String(), "--tls-cert") || !strings.Contains(errs.String(), "no.pem") || strings.Count(errs.String(), "\n") != 1 {
		t.Errorf("exit %d, %s", code, errs.String())
	}
}

func TestReadUsers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.yaml")
	read := func(text string) (map[string]string, error) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return readUsers(file)
	}
	got, err := read("# users\nbob: hunter2\n\"zoë k\": 'sch: ön'\nnumber: 1234\n")
	if want := map[string]string{"bob": "hunter2", "zoë k": "sch: ön", "number": "1234"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	for text, want := range map[string]string{
		"": "no users", "# none\n": "no users", "- bob: hunter2\n": "USER: PASSWORD", "bob hunter2\n": "USER: PASSWORD", "bob:\n": "no password",
		"bob: hunter2\nbob: hunter2\n": "", "bob: [hunter2]\n": "one password", "bob/x: hunter2\n": "bob/x", "bob@R: hunter2\n": "at sign", "bob: \"hunter2": "",
		"bob: hunter2\n  x: y\n": "",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %q and no password", text, err, want)
		}
	}
	if _, err := readUsers(file + ".not"); err == nil {
		t.Error("a file that is not there is read")
	}
}
