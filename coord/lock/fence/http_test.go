package fence_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/strata-coord/strata/coord/lock/fence"
)

// holder is a fence.Source.
type holder struct {
	token int64
	ctx   context.Context
	lose  context.CancelCauseFunc
}

func newHolder(token int64) *holder {
	h := &holder{token: token}
	h.ctx, h.lose = context.WithCancelCause(context.Background())
	return h
}

func (h *holder) Token() int64             { return h.token }
func (h *holder) Context() context.Context { return h.ctx }

func byPath(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, "/") }

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, _ = w.Write(body)
}

func serve(t *testing.T, h http.HandlerFunc) (url string) {
	t.Helper()
	s := httptest.NewServer(fence.Middleware(fence.NewChecker(nil), byPath, h))
	t.Cleanup(s.Close)
	return s.URL
}

func TestMiddleware(t *testing.T) {
	t.Parallel()
	url := serve(t, echo)
	for _, x := range []struct {
		method string
		tokens []string
		want   int
	}{
		{"POST", []string{"5"}, 200}, {"POST", []string{"5"}, 200}, {"PUT", []string{"7"}, 200}, {"DELETE", []string{"6"}, 412}, {"POST", nil, 428},
		{"POST", []string{"0"}, 400}, {"POST", []string{"-7"}, 400}, {"POST", []string{"+8"}, 400}, {"POST", []string{"8", "8"}, 400}, {"POST", []string{""}, 400},
		{"POST", []string{"99999999999999999999"}, 400}, {"GET", []string{"1"}, 200}, {"GET", nil, 200}, {"POST", []string{"7"}, 200},
	} {
		r, err := http.NewRequest(x.method, url+"/db", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header[fence.Header] = x.tokens
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != x.want {
			t.Errorf("%s with %q: %d, want %d", x.method, x.tokens, resp.StatusCode, x.want)
		}
		if x.want == 412 {
			wantStale(t, fence.FromResponse(resp), 6, 7)
		} else if err := fence.FromResponse(resp); err != nil {
			t.Errorf("%s with %q: %v", x.method, x.tokens, err)
		}
	}
}

func TestTransport(t *testing.T) {
	t.Parallel()
	url := serve(t, echo)
	post := func(h *holder) (string, error) {
		resp, err := (&http.Client{Transport: &fence.Transport{Held: h}}).Post(url+"/db", "text/plain", strings.NewReader("hello"))
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		if err := fence.FromResponse(resp); err != nil {
			return "", err
		}
		text, err := io.ReadAll(resp.Body)
		return string(text), err
	}
	old, next := newHolder(5), newHolder(6)
	for _, h := range []*holder{old, next} {
		if text, err := post(h); err != nil || text != "hello" {
			t.Errorf("%q, %v", text, err)
		}
	}
	_, err := post(old) // it has not noticed
	wantStale(t, err, 5, 6)
	why := errors.New("its session has ended")
	old.lose(why)
	if _, err := post(old); !errors.Is(err, why) {
		t.Errorf("after the loss: %v", err)
	}
}

// TestTheNextRequestEndsTheOneBefore: also through the server.
func TestTheNextRequestEndsTheOneBefore(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan error, 1)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(fence.Header) == "5" {
			close(began)
			<-r.Context().Done()
			ended <- context.Cause(r.Context())
			return
		}
		select {
		case err := <-ended:
			ended <- err
		default:
			t.Error("the one before has not ended")
		}
	})
	post := func(token int64) {
		resp, err := (&http.Client{Transport: &fence.Transport{Held: newHolder(token)}}).Post(url+"/db", "text/plain", nil)
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		post(5)
	}()
	<-began
	post(6)
	<-done
	wantStale(t, <-ended, 5, 6)
}

// TestTransportGivesUpWithTheLock loses the lock under a request.
func TestTransportGivesUpWithTheLock(t *testing.T) {
	t.Parallel()
	h, why := newHolder(5), errors.New("its session has ended")
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		h.lose(why)
		<-r.Context().Done()
	})
	_, err := (&http.Client{Transport: &fence.Transport{Held: h}}).Post(url+"/db", "text/plain", nil)
	if !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}

func TestMiddlewareWithoutItsStore(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(fence.Middleware(fence.NewChecker(broken{}), byPath, http.HandlerFunc(echo)))
	t.Cleanup(s.Close)
	resp, err := (&http.Client{Transport: &fence.Transport{Held: newHolder(5)}}).Post(s.URL, "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func FuzzParseToken(f *testing.F) {
	for _, s := range []string{"", "0", "1", "-1", "+1", "01", "9223372036854775807", "9223372036854775808", "1 ", "٣"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		token, err := fence.ParseToken(s)
		if (err == nil) != (token > 0) || err == nil && fmt.Sprint(token) != s {
			t.Errorf("ParseToken(%q) = %d, %v", s, token, err)
		}
	})
}

func ExampleMiddleware() {
	store, err := fence.OpenFile("fencing-tokens.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	shard := func(r *http.Request) string { return r.PathValue("shard") }
	mux := http.NewServeMux()
	mux.Handle("/shards/{shard}", fence.Middleware(fence.NewChecker(store), shard, http.HandlerFunc(echo)))
	fmt.Println(http.ListenAndServe("127.0.0.1:8081", mux))
}

func ExampleTransport() {
	var held fence.Source // a *lock.Held
	client := &http.Client{Transport: &fence.Transport{Held: held}}
	resp, err := client.Post("http://127.0.0.1:8081/shards/00", "text/plain", strings.NewReader("row"))
	if err != nil { // the lock was lost, perhaps: context.Cause(held.Context())
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	if err := fence.FromResponse(resp); err != nil { // it was lost, and only the shard knew
		fmt.Println(err)
	}
}
