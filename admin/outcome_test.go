package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestOutcome(t *testing.T) {
	t.Parallel()
	var asked OutcomeQuery
	answer, fails := Outcome{Fate: "applied", Zxid: 7}, error(nil)
	h, err := Handler(Config{Status: func() Status { return Status{} }, Outcome: func(_ context.Context, q OutcomeQuery) (Outcome, error) {
		asked = q
		return answer, fails
	}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, query string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/v1/outcome?"+query, nil))
		return w.Code, w.Body.String()
	}
	if code, body := ask(http.MethodGet, "write=1-2-3&within=10m"); code != 200 || !strings.Contains(body, `"zxid": 7`) || asked != (OutcomeQuery{Write: "1-2-3", Within: 10 * time.Minute}) {
		t.Errorf("%d %s %+v", code, body, asked)
	}
	if code, _ := ask(http.MethodPost, "session=0x1000000a3ab0001&xid=9"); code != 200 || asked != (OutcomeQuery{Session: 0x1000000a3ab0001, Xid: 9, Settle: true}) {
		t.Errorf("%d %+v", code, asked)
	}
	for _, bad := range []string{"", "session=1", "xid=1", "session=x&xid=1", "session=1&xid=-1", "write=1-2-3&session=1", "write=1-2-3&within=-1s"} {
		if code, body := ask(http.MethodGet, bad); code != 400 {
			t.Errorf("%q: %d %s", bad, code, body)
		}
	}
	for want, err := range map[int]error{400: fmt.Errorf("%w: none", ErrBadQuestion), 503: errors.New("no majority")} {
		fails = err
		if code, body := ask(http.MethodGet, "write=1-2-3"); code != want || !strings.Contains(body, err.Error()) {
			t.Errorf("%d %s, want %d", code, body, want)
		}
	}
}
