package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/spf13/pflag"
)

// readFile sets the flags that the command line left alone from a YAML file whose keys are the flags' names. A value is a
// scalar, or a list where the flag may be repeated. Errors name the file, the line and the key.
//
// The file may be a zoo.cfg too: then ignored are the keys that mean nothing here.
func readFile(path string, flags *pflag.FlagSet) (ignored []string, err error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	if isZooCfg(src) {
		return readZooCfg(path, src, flags)
	}
	return nil, readYAML(path, src, flags)
}

func readYAML(path string, src []byte, flags *pflag.FlagSet) error {
	file, err := parser.ParseBytes(src, 0)
	if err != nil {
		return fmt.Errorf("%s is not YAML: %s", path, strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	for i, doc := range file.Docs {
		if i > 0 {
			return fmt.Errorf("%s has several YAML documents: keep one", path)
		}
		entries, err := mapping(doc.Body)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, e := range entries {
			if err := setFromFile(e, flags); err != nil {
				return fmt.Errorf("%s:%d: %w", path, e.Key.GetToken().Position.Line, err)
			}
		}
	}
	return nil
}

func mapping(body ast.Node) ([]*ast.MappingValueNode, error) {
	switch n := body.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return nil, nil
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	}
	return nil, fmt.Errorf("want lines of KEY: VALUE, found a %s", strings.ToLower(body.Type().String()))
}

func setFromFile(e *ast.MappingValueNode, flags *pflag.FlagSet) error {
	key := e.Key.GetToken().Value
	flag := flags.Lookup(key)
	if flag == nil || key == "config" || key == "help" {
		return unknownKey(key, flags)
	}
	values, list, err := scalars(e.Value)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	if flag.Changed {
		return nil
	}
	if repeatable, ok := flag.Value.(pflag.SliceValue); ok {
		if !list && flag.Value.Type() == "stringSlice" {
			values = strings.FieldsFunc(values[0], func(r rune) bool { return r == ',' })
		}
		return repeatable.Replace(values)
	}
	if list {
		return fmt.Errorf("%s: want one value, found a list", key)
	}
	if err := flag.Value.Set(values[0]); err != nil {
		return fmt.Errorf("%s: %q: %w", key, values[0], err)
	}
	return nil
}

// scalars returns a scalar's text as one value, or the texts of a list of scalars.
func scalars(n ast.Node) (values []string, list bool, err error) {
	switch n := n.(type) {
	case *ast.SequenceNode:
		for _, v := range n.Values {
			s, nested, err := scalars(v)
			if err != nil || nested {
				return nil, true, fmt.Errorf("line %d: want a plain value in the list", v.GetToken().Position.Line)
			}
			values = append(values, s...)
		}
		return values, true, nil
	case *ast.NullNode:
		return []string{""}, false, nil
	case *ast.StringNode:
		return []string{n.Value}, false, nil
	case *ast.LiteralNode:
		return []string{strings.TrimSpace(n.Value.Value)}, false, nil
	case ast.ScalarNode:
		return []string{n.GetToken().Value}, false, nil
	}
	return nil, false, fmt.Errorf("want a plain value or a list of them, found a %s", strings.ToLower(n.Type().String()))
}

func unknownKey(key string, flags *pflag.FlagSet) error {
	var known []string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "config" && f.Name != "help" {
			known = append(known, f.Name)
		}
	})
	slices.SortStableFunc(known, func(a, b string) int { return distance(key, a) - distance(key, b) })
	if best := known[0]; distance(key, best) <= 3 {
		return fmt.Errorf("unknown key %q: did you mean %q? The keys are the flags of strata serve", key, best)
	}
	slices.Sort(known)
	return fmt.Errorf("unknown key %q: the keys are the flags of strata serve: %s", key, strings.Join(known, ", "))
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
