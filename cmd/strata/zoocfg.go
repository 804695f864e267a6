package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/magiconair/properties"
	"github.com/spf13/pflag"

	"github.com/strata-coord/strata/coord/ensemble"
)

// isZooCfg tells a file of Java properties, such as ZooKeeper's zoo.cfg, from YAML by its first line that says something.
func isZooCfg(src []byte) bool {
	for line := range bytes.Lines(src) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' || line[0] == '!' {
			continue
		}
		i := bytes.IndexAny(line, "=: ")
		return i > 0 && line[i] != ':' && bytes.HasPrefix(bytes.TrimSpace(line[i:]), []byte("="))
	}
	return false
}

// zooKeys are the keys of a zoo.cfg that mean what a flag means. Their values are turned into the flag's.
var zooKeys = map[string]struct {
	flag  string
	value func(string) (string, error)
}{
	"tickTime":                                 {"tick", milliseconds},
	"minSessionTimeout":                        {"min-session-timeout", milliseconds},
	"maxSessionTimeout":                        {"max-session-timeout", milliseconds},
	"maxClientCnxns":                           {"max-client-connections", same},
	"jute.maxbuffer":                           {"max-frame", integer},
	"4lw.commands.whitelist":                   {"four-letter-words", same},
	"znode.container.checkIntervalMs":          {"container-check-interval", milliseconds},
	"enforceQuota":                             {"enforce-quota", same},
	"reconfigEnabled":                          {"reconfig-enabled", same},
	"DigestAuthenticationProvider.superDigest": {"super-digest", same},
	"X509AuthenticationProvider.superUser":     {"x509-super-user", same},
	"client.portUnification":                   {"zk-port-unification", same},
	"ssl.clientAuth":                           {"tls-client-auth", lower},
	"ssl.trustStore.location":                  {"tls-ca", pem},
}

// What takes more than one flag, or more than one key.
const (
	zooDataDir       = "dataDir"
	zooClientPort    = "clientPort"
	zooClientAddress = "clientPortAddress"
	zooSecurePort    = "secureClientPort"
	zooSecureAddress = "secureClientPortAddress"
	zooAdminPort     = "admin.serverPort"
	zooAdminAddress  = "admin.serverAddress"
	zooAdminEnabled  = "admin.enableServer"
	zooKeyStore      = "ssl.keyStore.location"
	zooDynamicFile   = "dynamicConfigFile"
	zooNeedSASL      = "sessionRequireClientSASLAuth"
	zooEnforced      = "enforce.auth.enabled"
	zooSchemes       = "enforce.auth.schemes"
)

// zooFile is a zoo.cfg on its way into flags.
type zooFile struct {
	path    string
	flags   *pflag.FlagSet
	p       *properties.Properties
	used    map[string]bool // the keys that meant something
	servers []ensemble.Server
}

// readZooCfg sets the flags that the command line left alone from a zoo.cfg, as far as its keys mean something here. It returns the
// keys that don't. Errors name the file and the key.
func readZooCfg(path string, src []byte, flags *pflag.FlagSet) (ignored []string, err error) {
	z := &zooFile{path: path, flags: flags, used: make(map[string]bool)}
	load := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	if z.p, err = load.LoadBytes(src); err != nil {
		return nil, fmt.Errorf("%s is not a zoo.cfg: %w", path, err)
	}
	if err := z.dynamic(&load); err != nil {
		return nil, err
	}
	for _, key := range z.p.Keys() {
		k, ok := zooKeys[strings.TrimPrefix(key, "zookeeper.")]
		if !ok {
			continue
		}
		text, err := k.value(z.get(key))
		if err == nil {
			err = z.set(k.flag, text)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, key, err)
		}
	}
	for _, f := range []func() error{z.setData, z.setClients, z.setSecure, z.setEnforced, z.setAdmin, z.setMembers} {
		if err := f(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	// Who comes from ZooKeeper expects ZooKeeper's one contract; other routes are asked for by name.
	if f := flags.Lookup("route"); !f.Changed {
		if err := f.Value.(pflag.SliceValue).Replace([]string{"/=strong"}); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	for _, key := range z.p.Keys() {
		if !z.used[key] {
			ignored = append(ignored, key)
		}
	}
	return ignored, nil
}

// get is a key's value; asking for it makes it one that means something.
func (z *zooFile) get(key string) string {
	if _, ok := z.p.Get(key); ok {
		z.used[key] = true
	}
	return strings.TrimSpace(z.p.GetString(key, ""))
}

// set gives a flag a value unless the command line has.
func (z *zooFile) set(flag, value string) error {
	f := z.flags.Lookup(flag)
	if f.Changed {
		return nil
	}
	if err := f.Value.Set(value); err != nil {
		return fmt.Errorf("%q: %w", value, err)
	}
	return nil
}

// dynamic adds the lines of the file that ZooKeeper keeps its servers in.
func (z *zooFile) dynamic(load *properties.Loader) error {
	path := z.get(zooDynamicFile)
	if path == "" {
		return nil
	}
	p, err := load.LoadFile(path)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", z.path, zooDynamicFile, err)
	}
	p.Delete("version")
	z.p.Merge(p)
	return nil
}

// setData keeps Strata's files in a directory of their own: dataDir has ZooKeeper's, which stay as they are.
func (z *zooFile) setData() error {
	if dir := z.get(zooDataDir); dir != "" {
		return z.set("data-dir", filepath.Join(dir, "strata"))
	}
	return nil
}

func (z *zooFile) setClients() error {
	port := z.get(zooClientPort)
	if port == "" {
		return nil
	}
	return z.set("zk-listen", net.JoinHostPort(z.get(zooClientAddress), port))
}

func (z *zooFile) setSecure() error {
	if port := z.get(zooSecurePort); port != "" {
		if err := z.set("zk-tls-listen", net.JoinHostPort(z.get(zooSecureAddress), port)); err != nil {
			return err
		}
	}
	store := z.get(zooKeyStore)
	if store == "" {
		return nil
	}
	store, err := pem(store)
	if err != nil {
		return fmt.Errorf("%s: %w", zooKeyStore, err)
	}
	return errors.Join(z.set("tls-cert", store), z.set("tls-key", store))
}

// setEnforced keeps out whom ZooKeeper has kept out: a warning alone would let them in.
func (z *zooFile) setEnforced() error {
	var schemes []string
	if z.get(zooNeedSASL) == "true" {
		schemes = append(schemes, "sasl")
	}
	if list := z.get(zooSchemes); z.get(zooEnforced) == "true" {
		if list == "" {
			return fmt.Errorf("%s is true, and %s names no scheme", zooEnforced, zooSchemes)
		}
		schemes = append(schemes, list)
	}
	if len(schemes) == 0 {
		return nil
	}
	return z.set("enforce-auth-schemes", strings.Join(schemes, ","))
}

func (z *zooFile) setAdmin() error {
	if z.get(zooAdminEnabled) == "false" {
		return z.set("admin-listen", "")
	}
	host, port := z.get(zooAdminAddress), z.get(zooAdminPort)
	if host == "" && port == "" {
		return nil
	}
	if port == "" {
		port = "8080"
	}
	return z.set("admin-listen", net.JoinHostPort(host, port))
}

// setMembers makes the servers the members, and this one that of the file myid.
func (z *zooFile) setMembers() error {
	for _, key := range z.p.Keys() {
		if strings.HasPrefix(key, "server.") {
			s, err := ensemble.Parse(key + "=" + z.get(key))
			if err != nil {
				return err
			}
			z.servers = append(z.servers, s)
		}
	}
	if len(z.servers) == 0 {
		return nil
	}
	me, err := z.myself()
	if err != nil {
		return err
	}
	var join []string
	voters := 0
	for _, s := range z.servers {
		join = append(join, s.Peers[0].Addr())
		if !s.Observer {
			voters++
		}
	}
	role, expect := roleVoter, voters
	if me.Observer {
		role, expect = roleReplica, 1
	}
	for _, f := range [][2]string{
		{"name", "server." + strconv.FormatInt(me.ID, 10)}, {"bind", me.Peers[0].Addr()}, {"join", strings.Join(join, ",")}, {"bootstrap-expect", strconv.Itoa(expect)}, {"role", role},
	} {
		if err := z.set(f[0], f[1]); err != nil {
			return err
		}
	}
	if me.Client != "" && z.get(zooClientPort) == "" {
		return z.set("zk-listen", me.Client)
	}
	return nil
}

// myself is the server that dataDir/myid names.
func (z *zooFile) myself() (ensemble.Server, error) {
	path := filepath.Join(z.get(zooDataDir), "myid")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ensemble.Server{}, fmt.Errorf("it has lines server.ID, so there must be a file %s with the ID of this one", path)
	}
	if err != nil {
		return ensemble.Server{}, fmt.Errorf("which server is this? %w", err)
	}
	id, err := ensemble.ParseID(string(b))
	if err != nil {
		return ensemble.Server{}, fmt.Errorf("%s: %w", path, err)
	}
	i := slices.IndexFunc(z.servers, func(s ensemble.Server) bool { return s.ID == id })
	if i < 0 {
		return ensemble.Server{}, fmt.Errorf("%s says %d, and there is no line server.%d", path, id, id)
	}
	return z.servers[i], nil
}

func same(text string) (string, error) { return text, nil }

func lower(text string) (string, error) { return strings.ToLower(text), nil }

func milliseconds(text string) (string, error) {
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		if n == -1 { // ZooKeeper's word for its default
			n = 0
		}
		return strconv.FormatInt(n, 10) + "ms", nil
	}
	return "", fmt.Errorf("%q is not a number of milliseconds", text)
}

// integer also takes Java's hexadecimal.
func integer(text string) (string, error) {
	n, err := strconv.ParseInt(text, 0, 32)
	if err != nil {
		return "", fmt.Errorf("%q is not a number", text)
	}
	return strconv.FormatInt(n, 10), nil
}

// pem takes the stores that need no Java to be read.
func pem(path string) (string, error) {
	if !strings.EqualFold(filepath.Ext(path), ".pem") {
		return "", fmt.Errorf("%s: Strata reads PEM files: convert the store (keytool -exportcert -rfc, openssl pkcs12)", path)
	}
	return path, nil
}
