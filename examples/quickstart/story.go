package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// story prints what happens, with the time since the beginning.
type story struct {
	out   io.Writer
	begin time.Time
}

func (s *story) chapter(title string) { fmt.Fprintf(s.out, "\n%s\n", title) }

func (s *story) say(format string, args ...any) {
	fmt.Fprintf(s.out, "%6.2fs  %s\n", time.Since(s.begin).Seconds(), fmt.Sprintf(format, args...))
}

// took is a duration for people.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Microsecond:
		return d.String()
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// until waits for a condition that changes when changed receives.
func until(ctx context.Context, what string, changed <-chan struct{}, holds func() bool) error {
	for !holds() {
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		}
	}
	return nil
}
