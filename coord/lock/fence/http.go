package fence

import (
	"context"
	"errors"
	"net/http"
	"strconv"
)

const (
	// Header carries the token of a request: a decimal number.
	Header = "Strata-Fencing-Token"
	// HighestHeader is in the answer to a stale one: the largest token that the resource has seen.
	HighestHeader = "Strata-Fencing-Highest"
	// ResourceHeader is there too: the name of the resource.
	ResourceHeader = "Strata-Fencing-Resource"
)

// Middleware lets requests pass to next under c.Do, with the token in their Header. resource names what the request is about:
// something whose writes one lock protects. Requests with the methods GET, HEAD, OPTIONS and TRACE are not checked.
//
// The request's context ends when a larger token comes; that request waits until next has returned. Refusals: 428 without a token, 400 for
// one that is no positive number, 412 for a stale one, 503 when the store fails.
func Middleware(c *Checker, resource func(*http.Request) string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
			next.ServeHTTP(w, r)
			return
		}
		values := r.Header.Values(Header)
		if len(values) == 0 {
			http.Error(w, "the header "+Header+" is missing", http.StatusPreconditionRequired)
			return
		}
		token, err := ParseToken(values[0])
		if err != nil || len(values) > 1 {
			http.Error(w, "the header "+Header+" is not one positive number", http.StatusBadRequest)
			return
		}
		served := false
		err = c.Do(r.Context(), resource(r), token, func(ctx context.Context) error {
			served = true
			next.ServeHTTP(w, r.WithContext(ctx))
			return nil
		})
		if served || err == nil {
			return
		}
		refuse(w, err)
	})
}

// refuse answers a request that was not served.
func refuse(w http.ResponseWriter, err error) {
	var stale *StaleTokenError
	if !errors.As(err, &stale) {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set(HighestHeader, strconv.FormatInt(stale.Highest, 10))
	w.Header().Set(ResourceHeader, strconv.QuoteToASCII(stale.Resource))
	http.Error(w, stale.Error(), http.StatusPreconditionFailed)
}

// ParseToken reads a token as headers carry it. Errors: ErrNoToken.
func ParseToken(s string) (int64, error) {
	token, err := strconv.ParseInt(s, 10, 64)
	if err != nil || token <= 0 || s != strconv.FormatInt(token, 10) {
		return 0, ErrNoToken
	}
	return token, nil
}

// FromResponse is the *StaleTokenError of a response that [Middleware] has refused for its token; nil for others.
func FromResponse(r *http.Response) error {
	highest, err := ParseToken(r.Header.Get(HighestHeader))
	if r.StatusCode != http.StatusPreconditionFailed || err != nil {
		return nil
	}
	stale := &StaleTokenError{Highest: highest}
	if name, err := strconv.Unquote(r.Header.Get(ResourceHeader)); err == nil {
		stale.Resource = name
	}
	if r.Request != nil {
		if token, err := ParseToken(r.Request.Header.Get(Header)); err == nil {
			stale.Token = token
		}
	}
	return stale
}
