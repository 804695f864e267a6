package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

type raw string

func (r raw) MarshalJSON() ([]byte, error) { return []byte(r), nil }

func TestCommands(t *testing.T) {
	cfg := Config{
		Status: func() Status { return Status{} },
		Command: func(name string, arg func(string) string) (json.Marshaler, error) {
			switch name {
			case "set_trace_mask":
				return raw(`{"tracemask":` + arg("traceMask") + `}`), nil
			case "leader":
				return nil, errors.New("server is not initialized")
			case "dump":
				return raw(`{"b":{"5":[1,2]},"a\" : x":"q: \": z"}`), nil
			}
			return raw("null"), nil
		},
	}
	h, err := Handler(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{"ruok", "{\n  \"command\" : \"ruok\",\n  \"error\" : null\n}"},
		{"stmk?traceMask=7", "{\n  \"tracemask\" : 7,\n  \"command\" : \"set_trace_mask\",\n  \"error\" : null\n}"},
		{"lead", "{\n  \"command\" : \"leader\",\n  \"error\" : \"server is not initialized\"\n}"},
		{"dump", "{\n  \"b\" : {\n    \"5\" : [\n      1,\n      2\n    ]\n  },\n  \"a\\\" : x\" : \"q: \\\": z\",\n  \"command\" : \"dump\",\n  \"error\" : null\n}"},
		{"nosuch", "{\n  \"command\" : \"nosuch\",\n  \"error\" : \"Unknown command: nosuch\"\n}"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/commands/"+c.path, nil))
		body, err := io.ReadAll(w.Result().Body)
		if err != nil {
			t.Fatal(err)
		}
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || string(body) != c.want {
			t.Errorf("%s: %d %s\n%s\nwant\n%s", c.path, w.Code, w.Header(), body, c.want)
		}
		if !json.Valid(body) {
			t.Errorf("%s: not JSON", c.path)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/commands", nil))
	list := w.Body.String()
	for _, name := range aliases {
		if !strings.Contains(list, `<a href="/commands/`+name+`">`+name+"</a>\n<br/>\n") {
			t.Errorf("the list lacks %s: %s", name, list)
		}
	}
}

func TestCommandsWithoutClients(t *testing.T) {
	h, err := Handler(Config{Status: func() Status { return Status{} }})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/commands/mntr", nil))
	if !strings.Contains(w.Body.String(), `"error" : "this member serves no ZooKeeper clients"`) {
		t.Error(w.Body.String())
	}
}
