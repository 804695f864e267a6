package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestQuickstart tells the story as a newcomer sees it: run checks each step.
func TestQuickstart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if n := strings.Count(out.String(), "KILLED"); n != 2 {
		t.Errorf("%d members were killed:\n%s", n, out.String())
	}
}
