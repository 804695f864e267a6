package main

import (
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "{NewCheckout:false Limit:600} (problem: <nil>)") {
		t.Errorf("it says\n%s", out.String())
	}
}
