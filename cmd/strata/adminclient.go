package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
)

const defaultAdmin = "http://127.0.0.1:8080"

// adminClient asks the admin listener of a member.
type adminClient struct{ base string }

func (c *adminClient) register(f *pflag.FlagSet) {
	f.StringVar(&c.base, "admin", defaultAdmin, "the admin listener of a member, any one, `URL`")
}

// do asks and returns the body of an answer of 200; the caller closes it. Any other answer is an error, in the member's words.
func (c *adminClient) do(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader) (io.ReadCloser, error) {
	base := c.base
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("--admin %q: want a URL like %s", c.base, defaultAdmin)
	}
	u = u.JoinPath(path)
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("--admin %q: %w", c.base, err)
	}
	for k, vs := range header {
		r.Header[k] = vs
	}
	a, err := http.DefaultClient.Do(r)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("no member listens at %s: start it, or say with --admin where the admin listener of another one is", u.Host)
	case err != nil:
		return nil, fmt.Errorf("ask the member at %s: %w", u.Host, err)
	case a.StatusCode == http.StatusOK:
		return a.Body, nil
	}
	defer a.Body.Close()
	text, err := io.ReadAll(io.LimitReader(a.Body, 1<<16))
	if err != nil {
		return nil, fmt.Errorf("ask the member at %s: %s: %w", u.Host, a.Status, err)
	}
	if a.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("the member at %s does not know %s: is it an older version, or no admin listener?", u.Host, path)
	}
	return nil, fmt.Errorf("the member at %s: %s", u.Host, strings.TrimSpace(string(text)))
}
