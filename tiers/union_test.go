package tiers_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// What is about several trees is asked of all of them; what a mount hides is not told.
func TestOverviewsOverTrees(t *testing.T) {
	r, strong, services := three(t)
	id, _ := tiers.NewSessionID(1, 1, 1)
	for _, tier := range []tiers.Tier{strong, services} {
		open := tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Minute}
		if _, err := tiers.Do(t.Context(), tier, tiers.Txn{Session: id, Ops: []tiers.Op{open}}); err != nil {
			t.Fatal(err)
		}
	}
	ephemeral := func(tier tiers.Tier, path string) {
		t.Helper()
		op := create(path, "")
		op.Mode = tiers.Ephemeral
		if _, err := tiers.Do(t.Context(), tier, tiers.Txn{Session: id, Ops: []tiers.Op{op}}); err != nil {
			t.Fatal(err)
		}
	}
	do(t, r, create("/zoo", ""), create("/zoo/1", ""), create("/a", ""), create("/a/b", ""), create("/config", ""))
	do(t, r, create("/services/api", ""), create("/a/b/remote/x", ""), create("/a/b/remote/x/y", ""))
	ephemeral(r, "/e")
	ephemeral(r, "/config/e")
	ephemeral(r, "/services/e")
	ephemeral(r, "/servicesx")
	ephemeral(r, "/a/b/remote/e")
	// Below what the routes show: another tree's znodes in the same places.
	do(t, strong, create("/services", ""), create("/services/hidden", ""))
	ephemeral(strong, "/services/hidden/e")
	do(t, r, create("/services/own", ""))
	ephemeral(r, "/services/own/e")

	ways := map[string]func(tiers.Query) (tiers.View, error){
		"Read": func(q tiers.Query) (tiers.View, error) { return r.Read(t.Context(), q) },
		"Follow": func(q tiers.Query) (tiers.View, error) {
			after := services.Hold()
			p := r.Submit(t.Context(), tiers.Txn{Session: id, Ops: []tiers.Op{set("/services/api", "1")}})
			f := r.Follow(t.Context(), q, p)
			if _, _, done := f.Result(); done {
				t.Errorf("%+v did not wait for its place", q)
			}
			after()
			rec, err := f.Wait(t.Context())
			return rec.View, err
		},
	}
	for name, read := range ways {
		for path, want := range map[string]int32{
			"/zoo": 1, "/services": 4, "/services/own": 1, "/a": 5, "/a/b": 4, "/a/b/remote": 3, "/config": 1,
			// zookeeper and its two, zoo and 1, a and b, config and its e, e, servicesx; the mount and three; the mount, api, e, own and its e
			"/": 3 + 2 + 2 + 2 + 2 + 4 + 5, "": 20,
		} {
			if v, err := read(tiers.Query{Path: path, Want: tiers.WantDescendants}); err != nil || v.Count != want {
				t.Errorf("%s: %d znodes below %q, %v; want %d", name, v.Count, path, err, want)
			}
		}
		for prefix, want := range map[string][]string{
			"":            {"/a/b/remote/e", "/config/e", "/e", "/services/e", "/services/own/e", "/servicesx"},
			"/":           {"/a/b/remote/e", "/config/e", "/e", "/services/e", "/services/own/e", "/servicesx"},
			"/services":   {"/services/e", "/services/own/e", "/servicesx"},
			"/services/":  {"/services/e", "/services/own/e"},
			"/services/e": {"/services/e"},
			"/s":          {"/services/e", "/services/own/e", "/servicesx"},
			"/config":     {"/config/e"},
			"/config/":    {"/config/e"},
			"/a/b/r":      {"/a/b/remote/e"},
			"x":           nil,
		} {
			v, err := read(tiers.Query{Path: prefix, Want: tiers.WantEphemerals, Session: id})
			if err != nil || !slices.Equal(v.Children, want) {
				t.Errorf("%s: ephemerals that begin with %q: %q, %v; want %q", name, prefix, v.Children, err, want)
			}
		}
		if _, err := read(tiers.Query{Path: "/none", Want: tiers.WantDescendants}); !errors.Is(err, tiers.ErrNoNode) {
			t.Errorf("%s: %v", name, err)
		}
		services.SetUnavailable(tiers.ErrUnavailable)
		if name == "Read" {
			for _, want := range []tiers.Want{tiers.WantDescendants, tiers.WantEphemerals} {
				if v, err := read(tiers.Query{Path: "/", Want: want, Session: id}); !errors.Is(err, tiers.ErrUnavailable) {
					t.Errorf("a part is missing, and it tells %+v, %v", v, err)
				}
			}
		}
		services.SetUnavailable(nil)
	}
}
