package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// route is one PREFIX=TIER of the command line.
type route struct {
	prefix       string
	tier         string
	maxStaleness time.Duration // readonly only; 0: no bound
}

const (
	tierStrong   = "strong"
	tierEventual = "eventual"
	tierReadonly = "readonly"
)

// promises is what the table of routes says of each tier.
var promises = map[string]string{
	tierStrong:   "linearizable; refuses without a majority",
	tierEventual: "any member accepts writes, also in a partition; members converge",
	tierReadonly: "writes by the majority; reads from this member's memory, with their staleness",
}

// parseRoutes reads the routes and adds "/" as strong if no route names it. The result is sorted by prefix.
func parseRoutes(specs []string) ([]route, error) {
	var routes []route
	for _, spec := range specs {
		r, err := parseRoute(spec)
		if err != nil {
			return nil, fmt.Errorf("--route %q: %w", spec, err)
		}
		if slices.ContainsFunc(routes, func(o route) bool { return o.prefix == r.prefix }) {
			return nil, fmt.Errorf("--route %q: %s has a route already: keep one", spec, r.prefix)
		}
		routes = append(routes, r)
	}
	if !slices.ContainsFunc(routes, func(o route) bool { return o.prefix == "/" }) {
		routes = append(routes, route{prefix: "/", tier: tierStrong})
	}
	slices.SortFunc(routes, func(a, b route) int { return strings.Compare(a.prefix, b.prefix) })
	return routes, nil
}

// majorityOnly tells that no route answers without a majority.
func majorityOnly(routes []route) bool {
	return !slices.ContainsFunc(routes, func(r route) bool { return r.tier != tierStrong })
}

func parseRoute(spec string) (route, error) {
	prefix, rest, ok := strings.Cut(spec, "=")
	if !ok {
		return route{}, fmt.Errorf("want PREFIX=TIER, like /services=eventual")
	}
	if err := checkPrefix(prefix); err != nil {
		return route{}, err
	}
	tier, options, _ := strings.Cut(rest, ",")
	if promises[tier] == "" {
		return route{}, fmt.Errorf("no tier is called %q: there are strong, eventual and readonly", tier)
	}
	r := route{prefix: prefix, tier: tier}
	for option := range strings.SplitSeq(options, ",") {
		if option == "" {
			continue
		}
		key, value, _ := strings.Cut(option, "=")
		if key != "max-staleness" || tier != tierReadonly {
			return route{}, fmt.Errorf("no option %q for the tier %s: there is only max-staleness=DURATION, for readonly", key, tier)
		}
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return route{}, fmt.Errorf("max-staleness=%s: want a positive duration like 30s", value)
		}
		r.maxStaleness = d
	}
	return r, nil
}

func checkPrefix(p string) error {
	switch {
	case !strings.HasPrefix(p, "/"):
		return fmt.Errorf("the prefix %q does not begin with a slash", p)
	case p == "/":
		return nil
	case strings.HasSuffix(p, "/") || strings.Contains(p, "//"):
		return fmt.Errorf("the prefix %q has an empty component", p)
	case p == "/zookeeper" || strings.HasPrefix(p, "/zookeeper/"):
		return fmt.Errorf("%s is the server's own", p)
	}
	return nil
}

func printRoutes(w io.Writer, routes []route) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "PREFIX\tTIER\tPROMISE")
	for _, r := range routes {
		promise := promises[r.tier]
		if r.maxStaleness > 0 {
			promise += fmt.Sprintf("; refuses beyond %v", r.maxStaleness)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", r.prefix, r.tier, promise)
	}
	return t.Flush()
}
