package discovery

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Check is how a registration learns whether its instance is well. The instance is registered only while it is: it appears
// after the first probe that succeeds and disappears after Failures probes in a row that fail. The zero Check is none:
// registered until closed.
type Check struct {
	// Probe returns nil when the instance is well. Its context ends after Timeout.
	Probe func(ctx context.Context) error
	// Every is the time from the end of a probe to the next. Default 5s. Shorter finds out sooner and asks more of the instance.
	Every time.Duration
	// Timeout bounds a probe. Default Every, at least 1s.
	Timeout time.Duration
	// Failures in a row make the instance ill. Default 1.
	Failures int
}

func (c *Check) setDefaults() {
	if c.Every <= 0 {
		c.Every = 5 * time.Second
	}
	if c.Timeout <= 0 {
		c.Timeout = max(c.Every, time.Second)
	}
	c.Failures = max(c.Failures, 1)
}

// run probes once.
func (c *Check) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return c.Probe(ctx)
}

// HTTP checks that a GET of url is answered with a 2xx status. Redirects are not followed: they are answers other than 2xx.
func HTTP(url string, every time.Duration) Check {
	return Check{Every: every, Probe: func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("check: %w", err)
		}
		// A connection per probe: what is checked includes that the instance takes new ones, and nothing stays open between probes.
		transport := &http.Transport{DisableKeepAlives: true}
		response, err := transport.RoundTrip(request)
		if err != nil {
			return fmt.Errorf("check %s: %w", url, err)
		}
		defer response.Body.Close()
		if _, err := io.CopyN(io.Discard, response.Body, 64<<10); err != nil && err != io.EOF {
			return fmt.Errorf("check %s: %w", url, err)
		}
		if response.StatusCode/100 != 2 {
			return fmt.Errorf("check %s: answered %s", url, response.Status)
		}
		return nil
	}}
}

// TCP checks that addr takes connections.
func TCP(addr string, every time.Duration) Check {
	return Check{Every: every, Probe: func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return fmt.Errorf("check: %w", err)
		}
		return conn.Close()
	}}
}
