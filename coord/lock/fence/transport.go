package fence

import (
	"context"
	"io"
	"net/http"
	"strconv"
)

// Source is a lock that is held, as a *lock.Held: what it gives is sent along.
type Source interface {
	Token() int64
	// Context ends when it is not held any more.
	Context() context.Context
}

// Transport is a [http.RoundTripper] that sends the token of a lock with every request. When the lock is lost, requests under way are
// given up and no more are sent; the error is the cause of the lock's context.
type Transport struct {
	Held Source
	Base http.RoundTripper // nil: http.DefaultTransport
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	if t.Held.Context().Err() != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as a RoundTripper must
		}
		return nil, context.Cause(t.Held.Context())
	}
	ctx, stop := Joined(r.Context(), t.Held)
	r = r.Clone(ctx)
	r.Header.Set(Header, strconv.FormatInt(t.Held.Token(), 10))
	resp, err := base.RoundTrip(r)
	if err != nil {
		stop()
		if why := context.Cause(t.Held.Context()); why != nil {
			return nil, why
		}
		return nil, err
	}
	resp.Body = &body{ReadCloser: resp.Body, stop: stop}
	return resp, nil
}

// body is of a response whose request's context is let go with it.
type body struct {
	io.ReadCloser
	stop func()
}

func (b *body) Close() error {
	defer b.stop()
	return b.ReadCloser.Close()
}

// Joined is ctx that ends, with its cause, also when the lock is lost. Call stop when it is not needed any more.
func Joined(ctx context.Context, held Source) (joined context.Context, stop func()) {
	joined, cancel := context.WithCancelCause(ctx)
	if held.Context().Err() != nil {
		cancel(context.Cause(held.Context()))
	}
	forget := context.AfterFunc(held.Context(), func() { cancel(context.Cause(held.Context())) })
	return joined, func() {
		forget()
		cancel(nil)
	}
}
