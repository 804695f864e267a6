package digestmd5

import (
	"bytes"
	"crypto/md5"
	"errors"
	"strings"
	"testing"
)

const nonce = "OA6MG9tEQGm2hh"

func users(user string) (string, bool) {
	p, ok := map[string]string{"chris": "secret", "zoë": "schön", "漢": "字", `a"b\c`: `p"q`, "nothing": ""}[user]
	return p, ok
}

func exchange() *Exchange { return &Exchange{nonce: nonce, users: users} }

// Responses to a challenge with our nonce, of the clients of Java 17 and of pure-sasl 0.5 (which kazoo uses).
func TestResponsesOfOtherImplementations(t *testing.T) {
	for user, sent := range map[string][]string{
		"chris": {
			`charset=utf-8,username="chris",realm="zk-sasl-md5",nonce="OA6MG9tEQGm2hh",nc=00000001,cnonce="BdG1YF430TBzG1OPE+I83G+L56lioRZnn377Wqi3",digest-uri="zookeeper/zk-sasl-md5",maxbuf=65536,response=19e9aace26bc8a03eb7c5ce304da3e2a,qop=auth`,
			`qop=auth,realm="zk-sasl-md5",username="chris",nonce="OA6MG9tEQGm2hh",cnonce="21597180397069238",nc=00000001,digest-uri="zookeeper/zk-sasl-md5",response=a9a4a7dcb79527544d50e11253d07b27`,
		},
		"zoë": { // hashed in ISO 8859-1 and in UTF-8
			`charset=utf-8,username="zoë",realm="zk-sasl-md5",nonce="OA6MG9tEQGm2hh",nc=00000001,cnonce="jOfFIowDwxNXtlJ0oLfuwrtZcsuxcH/Vaspg2+9M",digest-uri="zookeeper/zk-sasl-md5",maxbuf=65536,response=ba35847fc22c52e50218caa6454ad23e,qop=auth`,
			`qop=auth,realm="zk-sasl-md5",username="zoë",nonce="OA6MG9tEQGm2hh",cnonce="21996249927765188",nc=00000001,digest-uri="zookeeper/zk-sasl-md5",response=d34d2c0e09ce95959dae5941dc42559c`,
		},
		"漢": {
			`charset=utf-8,username="漢",realm="zk-sasl-md5",nonce="OA6MG9tEQGm2hh",nc=00000001,cnonce="ac6aeD4WWWLxBc1V2IwUiG7UvJH3oufiPuVuIOmt",digest-uri="zookeeper/zk-sasl-md5",maxbuf=65536,response=447af6f4772d5784060672b4d50bcb57,qop=auth`,
		},
		`a"b\c`: {
			`charset=utf-8,username="a\"b\\c",realm="zk-sasl-md5",nonce="OA6MG9tEQGm2hh",nc=00000001,cnonce="3IkbbDAkbar6XSHXebdqJ8tJgjovb2I237GG+Aya",digest-uri="zookeeper/zk-sasl-md5",maxbuf=65536,response=db4339cf06c2a67fd31b30ba9d90a18a,qop=auth`,
		},
	} {
		for _, s := range sent {
			e := exchange()
			answer, who, err := e.Answer([]byte(s))
			if err != nil || who != user || !bytes.HasPrefix(answer, []byte("rspauth=")) || len(answer) != 40 {
				t.Errorf("%s: %q, %q, %v", s, answer, who, err)
			}
			if _, _, err := e.Answer([]byte(s)); !errors.Is(err, ErrRefused) {
				t.Errorf("the nonce counts twice: %v", err)
			}
			if _, _, err := Begin(users).Answer([]byte(s)); !errors.Is(err, ErrRefused) {
				t.Errorf("a nonce of somebody else counts: %v", err)
			}
		}
	}
}

// The example of RFC 2831, section 4: user, realm and host are its own.
func TestValuesOfTheRFC(t *testing.T) {
	r := &response{nonce: "OA6MG9tEQGm2hh", cnonce: "OA6MHXh6VqTrRk", nc: "00000001", uri: "imap/elwood.innosoft.com"}
	secret := md5.Sum([]byte("chris:elwood.innosoft.com:secret"))
	if v := r.value(secret, "AUTHENTICATE:"); v != "d388dad90d4bbd760a152321f2143af7" {
		t.Errorf("of the client: %s", v)
	}
	if v := r.value(secret, ":"); v != "ea40f60335c427b5527b84dbabcdfffd" {
		t.Errorf("of the server: %s", v)
	}
}

// reply is a client's response, with the right digest unless another is given; empty directives are left out.
func reply(user, password string, change map[string]string) []byte {
	r := &response{user: user, nonce: nonce, cnonce: "OA6MHXh6VqTrRk", nc: "00000001", uri: "zookeeper/zk-sasl-md5"}
	d := map[string]string{
		"charset": "utf-8", "username": quote(user), "realm": quote(Realm), "nonce": quote(nonce), "nc": r.nc, "cnonce": quote(r.cnonce),
		"digest-uri": quote(r.uri), "qop": "auth", "algorithm": "md5-sess",
	}
	realm := Realm
	for k, v := range change {
		d[k] = v
		plain := strings.Trim(v, `"`)
		switch k {
		case "realm":
			realm = plain
		case "digest-uri":
			r.uri = plain
		case "authzid":
			r.authzid = plain
		case "nc":
			r.nc = plain
		case "cnonce":
			r.cnonce = plain
		}
	}
	if _, ok := d["response"]; !ok {
		d["response"] = r.value(md5.Sum([]byte(user+":"+realm+":"+password)), "AUTHENTICATE:")
	}
	var parts []string
	for k, v := range d {
		if v != "" {
			parts = append(parts, k+"="+v)
		}
	}
	return []byte(strings.Join(parts, ", "))
}

func TestAnswer(t *testing.T) {
	type change = map[string]string
	for name, row := range map[string]struct {
		user, password string
		change         change
		ok             bool
	}{
		"right":                {"chris", "secret", nil, true},
		"no charset":           {"chris", "secret", change{"charset": ""}, true},
		"no qop":               {"chris", "secret", change{"qop": ""}, true},
		"no realm":             {"chris", "secret", change{"realm": ""}, true},
		"authzid of one's own": {"chris", "secret", change{"authzid": `"chris"`}, true},
		"other case":           {"chris", "secret", change{"digest-uri": `"ZooKeeper/ZK-sasl-md5"`}, true},
		"serv-name":            {"chris", "secret", change{"digest-uri": `"zookeeper/zk-sasl-md5"`, "cipher": "rc4"}, true},
		"no password":          {"nothing", "", nil, true},
		"wrong password":       {"chris", "secreT", nil, false},
		"unknown":              {"eve", "", nil, false},
		"nobody":               {"", "", nil, false},
		"authzid":              {"chris", "secret", change{"authzid": `"admin"`}, false},
		"another realm":        {"chris", "secret", change{"realm": `"other"`}, false},
		"another service":      {"chris", "secret", change{"digest-uri": `"imap/zk-sasl-md5"`}, false},
		"another host":         {"chris", "secret", change{"digest-uri": `"zookeeper/host"`}, false},
		"another nonce":        {"chris", "secret", change{"nonce": `"OA6MG9tEQGm2hg"`}, false},
		"second use":           {"chris", "secret", change{"nc": "00000002"}, false},
		"no cnonce":            {"chris", "secret", change{"cnonce": ""}, false},
		"integrity":            {"chris", "secret", change{"qop": "auth-int"}, false},
		"charset":              {"chris", "secret", change{"charset": "latin1"}, false},
		"no response":          {"chris", "secret", change{"response": ""}, false},
		"short response":       {"chris", "secret", change{"response": "19e9"}, false},
		"not a token":          {"chris", "secret", change{"qop": "a=b"}, false},
		"without end":          {"chris", "secret", change{"zz": `"`}, false},
		"twice":                {"chris", "secret", change{"Nonce": quote(nonce)}, false},
	} {
		_, user, err := exchange().Answer(reply(row.user, row.password, row.change))
		if row.ok && (err != nil || user != row.user) || !row.ok && (!errors.Is(err, ErrRefused) || user != "") {
			t.Errorf("%s: %q, %v", name, user, err)
		}
	}
	for _, garbage := range []string{"", "=", "a", ",,,", "\x00", strings.Repeat("x", maxResponse+1), `username="chris`} {
		if _, _, err := exchange().Answer([]byte(garbage)); !errors.Is(err, ErrRefused) {
			t.Errorf("%q: %v", garbage, err)
		}
	}
}

func TestChallenge(t *testing.T) {
	e := Begin(users)
	d, err := directives(e.Challenge())
	if err != nil || d["realm"] != Realm || d["qop"] != "auth" || d["algorithm"] != "md5-sess" || d["charset"] != "utf-8" || len(d["nonce"]) < 20 {
		t.Errorf("%q, %v", d, err)
	}
	if other, err := directives(Begin(users).Challenge()); err != nil || other["nonce"] == d["nonce"] {
		t.Errorf("two exchanges have the nonce %q, %v", d["nonce"], err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(reply("chris", "secret", nil))
	f.Add(reply("zoë", "schön", map[string]string{"authzid": `"x"`, "charset": ""}))
	f.Add([]byte(`username="a\"b\\c" , nc = 00000001,,`))
	f.Add([]byte(`a="\`))
	f.Add([]byte("\xff=\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		answer, user, err := exchange().Answer(b)
		if (err == nil) != (user != "") || (err == nil) != (len(answer) == 40) {
			t.Errorf("%q, %q, %v", answer, user, err)
		}
		if _, known := users(user); err == nil && !known {
			t.Errorf("%q is nobody", user)
		}
	})
}
