package strata_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/strata-coord/strata"

// TestArchitecture holds what ARCHITECTURE.md says about the rooms: who may import whom, and what library code never does.
func TestArchitecture(t *testing.T) {
	files, err := sources(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	var rooms []string
	for _, f := range files {
		if !slices.Contains(rooms, f.dir) {
			rooms = append(rooms, f.dir)
		}
		for _, violation := range check(f) {
			t.Error(violation)
		}
	}
	// A walk that finds nothing would hold everything.
	if !slices.Contains(rooms, "tiers") || !slices.Contains(rooms, "tiers/readonly") {
		t.Errorf("rooms found: %v", rooms)
	}
}

// source is one Go file of the module.
type source struct {
	name    string // from the module's root, with slashes
	dir     string // of name; "." for the root
	test    bool
	pkg     string
	imports []string
	syntax  *ast.File
	fset    *token.FileSet
}

func parse(name string, text []byte) (*source, error) {
	f := &source{name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), fset: token.NewFileSet()}
	var err error
	if f.syntax, err = parser.ParseFile(f.fset, name, text, parser.SkipObjectResolution); err != nil {
		return nil, fmt.Errorf("parse %s: %w", name, err)
	}
	f.pkg = f.syntax.Name.Name
	for _, i := range f.syntax.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("parse %s: import %s: %w", name, i.Path.Value, err)
		}
		f.imports = append(f.imports, p)
	}
	return f, nil
}

// sources parses the Go files below root, as the go command sees them: no vendor, testdata, or hidden folders.
func sources(root fs.FS) ([]*source, error) {
	var files []*source
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := filepath.Base(name)
		if d.IsDir() {
			if name != "." && (base == "vendor" || base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		f, err := parse(name, text)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// in tells whether dir is one of the folders or below one.
func in(dir string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return dir == f || strings.HasPrefix(dir, f+"/") })
}

// room says what the files at and below a folder may import.
type room struct {
	folder string
	tests  bool // the rule counts for test files too
	// own are the folders of this module that may be imported, with what is below unless a ! says that folder alone.
	own []string
	// foreign are the modules, or parts of them, that may be imported; nil: any.
	foreign []string
}

var (
	programs = []string{"cmd", "examples", "e2e", "bench"}
	allTiers = []string{"tiers/strong", "tiers/readonly", "tiers/eventual"}

	// rooms is the table of ARCHITECTURE.md. The first one that has a file's folder counts; folders that are not there yet harm nothing.
	rooms = []room{
		{folder: "tiers/internal/watch", own: []string{"tiers!"}, foreign: []string{}},
		{
			folder: "tiers/internal", own: []string{"tiers!", "tiers/internal"},
			foreign: []string{"github.com/vmihailenco/msgpack/v5", "github.com/RoaringBitmap/roaring/v2", "github.com/google/btree"},
		},
		{
			folder: "tiers/strong", own: []string{"tiers!", "tiers/internal", "tiers/strong", "internal/peernet"},
			foreign: []string{
				"github.com/hashicorp/raft", "github.com/hashicorp/raft-wal", "github.com/hashicorp/raft-boltdb/v2", "go.etcd.io/bbolt",
				"github.com/hashicorp/go-hclog", "github.com/vmihailenco/msgpack/v5", "golang.org/x/sync",
			},
		},
		{folder: "tiers/readonly", own: []string{"tiers!", "tiers/internal", "tiers/readonly"}, foreign: []string{}},
		{folder: "tiers/eventual/crdt", tests: true, own: []string{"tiers!", "tiers/eventual/crdt"}, foreign: []string{}},
		{
			folder: "tiers/eventual", own: []string{"tiers!", "tiers/internal", "tiers/eventual", "internal/peernet"},
			foreign: []string{"github.com/hashicorp/memberlist", "github.com/vmihailenco/msgpack/v5", "golang.org/x/sync"},
		},
		{folder: "tiers/tiertest", own: []string{"tiers!", "tiers/internal", "tiers/tiertest"}, foreign: []string{}},
		{folder: "tiers", own: []string{}, foreign: []string{}},
		{folder: "zkcompat/jute", tests: true, own: []string{"zkcompat/jute"}, foreign: []string{}},
		{folder: "zkcompat", own: []string{"tiers!", "zkcompat"}, foreign: []string{}},
		{folder: "admin", own: []string{"admin"}, foreign: []string{"github.com/prometheus"}},
		{folder: "internal/session", own: []string{"tiers!", "internal"}},
		{folder: "internal/history", own: []string{"tiers!"}, foreign: []string{"github.com/anishathalye/porcupine"}},
		{folder: "internal", own: []string{"internal"}},
		{
			folder: "coord/lock/fence/fencegrpc", own: []string{"coord/lock/fence!"},
			foreign: []string{"google.golang.org/grpc", "google.golang.org/genproto/googleapis/rpc"},
		},
		{folder: "coord/lock/fence", own: []string{}, foreign: []string{}},
		{folder: "coord/lock", own: []string{"coord", "tiers!"}, foreign: []string{}},
		{folder: "coord/discovery", own: []string{"coord", "tiers!"}, foreign: []string{}},
		{folder: "coord/config", own: []string{"coord", "tiers!"}},
		{folder: "coord/ensemble", own: []string{}, foreign: []string{}},
		{folder: "coord", own: []string{"coord", "tiers!", "tiers/strong", "tiers/readonly", "tiers/eventual", "internal"}},
		{folder: "cmd", own: []string{"cmd", "coord", "tiers!", "zkcompat", "admin"}},
		{folder: "examples", tests: true, own: []string{"examples", "coord", "tiers!", "zkcompat", "admin"}},
		{folder: "e2e", tests: true, own: []string{"e2e", "coord", "tiers!", "zkcompat", "admin", "internal/history", "internal/peernet!"}},
		{folder: "bench", own: []string{"bench", "coord", "tiers!", "zkcompat", "admin"}},
	}
)

// allows tells whether the room may import the folder of this module.
func (r *room) allows(dir string) bool {
	return slices.ContainsFunc(r.own, func(o string) bool {
		if alone, ok := strings.CutSuffix(o, "!"); ok {
			return dir == alone
		}
		return in(dir, o)
	})
}

// check tells what is wrong with f.
func check(f *source) (violations []string) {
	bad := func(format string, args ...any) {
		violations = append(violations, f.name+": "+fmt.Sprintf(format, args...))
	}
	if name := strings.TrimSuffix(f.pkg, "_test"); name == "types" || name == "common" || name == "util" || name == "utils" {
		bad("a package named %s says nothing about what is in it", f.pkg)
	}
	switch i := slices.IndexFunc(rooms, func(r room) bool { return in(f.dir, r.folder) }); {
	case i >= 0:
		for _, p := range f.imports {
			if why := rooms[i].refuses(f, p); why != "" {
				bad("imports %s: %s", p, why)
			}
		}
	case f.dir != ".":
		bad("belongs to no room: say here and in ARCHITECTURE.md what it may import")
	}
	// What tests import is free, but for the walls that hold for everybody.
	for _, p := range f.imports {
		dir, own := strings.CutPrefix(p, module+"/")
		switch {
		case !own:
		case in(f.dir, allTiers...) && in(dir, allTiers...) && !in(dir, tierOf(f.dir)):
			bad("imports %s: tiers never import each other", p)
		case in(f.dir, "internal", "tiers") && in(dir, "coord", "zkcompat", "admin"):
			bad("imports %s: it is the other way round", p)
		case in(dir, programs...) && !in(f.dir, programs...):
			bad("imports %s: nothing imports programs", p)
		}
	}
	if in(f.dir, "tiers/eventual/crdt") && !f.test {
		for _, p := range f.imports {
			if in(p, "net", "os", "io", "context", "syscall", "math/rand", "crypto/rand", "log") {
				bad("imports %s: the mergeable map has no clock, no I/O and no chance", p)
			}
		}
		f.calls(func(at token.Position, call string) {
			switch call {
			case "time.Now", "time.Since", "time.Until", "time.After", "time.AfterFunc", "time.NewTimer", "time.NewTicker", "time.Tick", "time.Sleep":
				bad("line %d: calls %s: the mergeable map has no clock", at.Line, call)
			}
		})
	}
	if !f.test && !in(f.dir, programs...) {
		f.calls(func(at token.Position, call string) {
			switch call {
			case "panic", "os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln", "log.Panic", "log.Panicf", "log.Panicln":
				bad("line %d: calls %s: library code returns an error", at.Line, call)
			}
		})
	}
	return violations
}

// tierOf is the tier that the folder belongs to.
func tierOf(dir string) string {
	return allTiers[slices.IndexFunc(allTiers, func(t string) bool { return in(dir, t) })]
}

// refuses says why the room of f may not import p; empty: it may.
func (r *room) refuses(f *source, p string) string {
	if f.test && !r.tests {
		return ""
	}
	if dir, own := strings.CutPrefix(p, module+"/"); own {
		if r.allows(dir) {
			return ""
		}
		return fmt.Sprintf("%s may import %s of this module", r.folder, orNothing(r.own))
	}
	if first, _, _ := strings.Cut(p, "/"); !strings.Contains(first, ".") || r.foreign == nil || in(p, r.foreign...) {
		return ""
	}
	return fmt.Sprintf("%s may import %s besides the standard library", r.folder, orNothing(r.foreign))
}

func orNothing(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.ReplaceAll(strings.Join(names, ", "), "!", "")
}

// calls tells the calls of plain functions and of functions of packages, as written without renaming: "panic", "os.Exit".
func (f *source) calls(found func(at token.Position, call string)) {
	// A renamed import is called by its own name.
	names := make(map[string]string)
	for i, spec := range f.syntax.Imports {
		name := path.Base(f.imports[i])
		if spec.Name != nil {
			names[spec.Name.Name] = name
		} else {
			names[name] = name
		}
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch fun := call.Fun.(type) {
		case *ast.Ident:
			found(f.fset.Position(call.Pos()), fun.Name)
		case *ast.SelectorExpr:
			if x, ok := fun.X.(*ast.Ident); ok && names[x.Name] != "" {
				found(f.fset.Position(call.Pos()), names[x.Name]+"."+fun.Sel.Name)
			}
		}
		return true
	})
}

// TestArchitectureIsHeld shows the checker what it must refuse, and what it must not.
func TestArchitectureIsHeld(t *testing.T) {
	file := func(name, pkg string, imports ...string) (string, string) {
		text := "package " + pkg + "\n"
		for _, i := range imports {
			text += "import _ \"" + strings.Replace(i, "strata/", module+"/", 1) + "\"\n"
		}
		return name, text
	}
	type sample struct {
		name, text string
		want       string // a part of the one violation; empty: none
	}
	importing := func(want, name string, imports ...string) sample {
		name, text := file(name, "p", imports...)
		return sample{name, text, want}
	}
	calling := func(want, name, body string) sample {
		return sample{name, "package p\nimport (\"os\"; \"log\"; \"time\"; quit \"os\")\nvar _, _, _, _ = os.Args, log.Println, time.Second, quit.Args\nfunc f() { " + body + " }\n", want}
	}
	samples := []sample{
		importing("", "tiers/x.go", "context", "math/bits"),
		importing("besides the standard library", "tiers/x.go", "golang.org/x/sync/errgroup"),
		importing("of this module", "tiers/x.go", "strata/tiers/internal/watch"),
		importing("", "tiers/x_test.go", "strata/tiers/tiertest/memtier", "go.uber.org/goleak"),

		importing("", "tiers/internal/tree/x.go", "strata/tiers", "strata/tiers/internal/watch", "github.com/vmihailenco/msgpack/v5"),
		importing("of this module", "tiers/internal/watch/x.go", "strata/tiers/internal/tree"),
		importing("of this module", "tiers/internal/tree/x.go", "strata/internal/peernet"),

		importing("", "tiers/strong/x.go", "strata/tiers", "strata/tiers/internal/tree", "strata/internal/peernet", "github.com/hashicorp/raft"),
		importing("", "tiers/strong/x_test.go", "strata/tiers/tiertest", "strata/internal/simnet"),
		importing("of this module", "tiers/strong/x.go", "strata/internal/simnet"),
		importing("of this module", "tiers/strong/x.go", "strata/tiers/tiertest"),
		importing("besides the standard library", "tiers/strong/x.go", "github.com/hashicorp/memberlist"),
		importing("besides the standard library", "tiers/eventual/x.go", "github.com/hashicorp/raft"),
		importing("tiers never import each other", "tiers/readonly/x_test.go", "strata/tiers/strong"),
		importing("tiers never import each other", "tiers/eventual/x_test.go", "strata/tiers/strong/wal"),
		importing("", "tiers/eventual/x.go", "strata/tiers/eventual/crdt", "github.com/hashicorp/memberlist"),

		importing("", "tiers/eventual/crdt/x.go", "maps", "time"),
		importing("no clock, no I/O", "tiers/eventual/crdt/x.go", "net/netip"),
		importing("of this module", "tiers/eventual/crdt/x.go", "strata/tiers/internal/tree"),
		calling("calls time.Now", "tiers/eventual/crdt/x.go", "time.Now()"),

		importing("", "zkcompat/x.go", "strata/tiers", "strata/zkcompat/jute", "log/slog"),
		importing("of this module", "zkcompat/x.go", "strata/tiers/strong"),
		importing("of this module", "zkcompat/x.go", "strata/coord"),
		importing("of this module", "zkcompat/jute/x.go", "strata/zkcompat"),
		importing("", "zkcompat/x_test.go", "strata/tiers/tiertest/memtier", "github.com/go-zookeeper/zk"),

		importing("", "coord/x.go", "strata/tiers/strong", "strata/tiers/eventual", "strata/internal/session"),
		importing("", "coord/lock/x.go", "strata/coord", "strata/tiers"),
		importing("of this module", "coord/x.go", "strata/zkcompat"),
		importing("of this module", "coord/x.go", "strata/tiers/internal/tree"),
		importing("the other way round", "internal/session/x_test.go", "strata/coord"),
		importing("of this module", "internal/session/x.go", "strata/tiers/strong"),
		importing("of this module", "coord/lock/x.go", "strata/tiers/strong"),
		importing("of this module", "coord/lock/fence/x.go", "strata/coord/lock"),
		importing("besides the standard library", "coord/lock/fence/x.go", "google.golang.org/grpc"),
		importing("", "coord/lock/fence/fencegrpc/x.go", "strata/coord/lock/fence", "google.golang.org/grpc/codes"),
		importing("of this module", "cmd/strata/x.go", "strata/tiers/strong"),
		importing("of this module", "e2e/x_test.go", "strata/internal/simnet"),
		importing("of this module", "admin/x.go", "strata/tiers"),

		importing("", "cmd/strata/x.go", "strata/coord", "strata/zkcompat", "strata/admin", "github.com/spf13/cobra"),
		importing("of this module", "cmd/strata/x.go", "strata/internal/peernet"),
		importing("of this module", "examples/quickstart/x.go", "strata/internal/session"),
		importing("nothing imports programs", "zkcompat/x_test.go", "strata/cmd/strata"),

		calling("calls panic", "tiers/x.go", `panic("no")`),
		calling("calls os.Exit", "coord/x.go", "os.Exit(1)"),
		calling("calls os.Exit", "coord/x.go", "quit.Exit(1)"),
		calling("calls log.Fatalf", "internal/peernet/x.go", `log.Fatalf("no")`),
		calling("", "coord/x_test.go", "os.Exit(1)"),
		calling("", "cmd/strata/x.go", "os.Exit(1)"),
		importing("belongs to no room", "extra/x.go"),
		importing("", "root_test.go", "strata/tiers"),
		{"coord/common/x.go", "package common", "says nothing"},
		{"coord/x/x.go", "package util", "says nothing"},
		{"coord/x/x_test.go", "package types_test", "says nothing"},
	}
	for _, s := range samples {
		f, err := parse(s.name, []byte(s.text))
		if err != nil {
			t.Fatal(err)
		}
		got := check(f)
		switch {
		case s.want == "" && len(got) > 0:
			t.Errorf("%s is refused: %v\n%s", s.name, got, s.text)
		case s.want != "" && !slices.ContainsFunc(got, func(v string) bool { return strings.Contains(v, s.want) }):
			t.Errorf("%s is not refused as %q but %v\n%s", s.name, s.want, got, s.text)
		}
	}
}
