package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrBadQuestion: what was asked makes no sense, as errors.Is tells of what OutcomeFunc returns.
var ErrBadQuestion = errors.New("bad question")

// OutcomeQuery names a write: by Write, or by Session and Xid.
type OutcomeQuery struct {
	Write   string // as in the error that told that the outcome is unknown
	Session int64
	Xid     int32
	// Within is how long ago the write was sent at most; 0: not known.
	Within time.Duration
	// Settle seals a write that has not been applied, so that it never will be.
	Settle bool
}

// Outcome is what became of a write.
type Outcome struct {
	Fate    string     `json:"fate"`              // applied, failed, never, forgotten, open
	Write   string     `json:"write,omitempty"`   // its id
	Session string     `json:"session,omitempty"` // in hexadecimal
	Xid     int64      `json:"xid,omitempty"`
	Zxid    int64      `json:"zxid,omitempty"` // of applied
	Time    *time.Time `json:"time,omitempty"` // when it was decided, by the leader's clock
	Path    string     `json:"path,omitempty"` // of applied: the first znode created; of failed: of the op that failed
	Op      int        `json:"op,omitempty"`   // of failed: its index in a multi
	Error   string     `json:"error,omitempty"`
}

// OutcomeFunc tells what became of a write.
type OutcomeFunc func(ctx context.Context, q OutcomeQuery) (Outcome, error)

// outcomeTime bounds an answer.
const outcomeTime = 15 * time.Second

// outcome answers /v1/outcome: GET looks, POST also seals what has not been applied. Parameters: write, or session and xid, and within.
func (h handler) outcome(w http.ResponseWriter, r *http.Request) {
	if h.cfg.Outcome == nil {
		h.text(w, http.StatusNotImplemented, "this member tells no outcomes")
		return
	}
	q, err := outcomeQuery(r)
	if err != nil {
		h.text(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), outcomeTime)
	defer cancel()
	o, err := h.cfg.Outcome(ctx, q)
	switch {
	case errors.Is(err, ErrBadQuestion):
		h.text(w, http.StatusBadRequest, err.Error())
		return
	case err != nil:
		h.text(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(o); err != nil {
		h.cfg.Logger.Debug("an admin answer was not written", "error", err)
	}
}

func outcomeQuery(r *http.Request) (q OutcomeQuery, err error) {
	v := r.URL.Query()
	q = OutcomeQuery{Write: v.Get("write"), Settle: r.Method == http.MethodPost}
	if s := v.Get("within"); s != "" {
		if q.Within, err = time.ParseDuration(s); err != nil || q.Within <= 0 {
			return q, errors.New("within: want a positive duration, like 10m")
		}
	}
	session, xid := v.Get("session"), v.Get("xid")
	if (q.Write == "") == (session == "" && xid == "") {
		return q, errors.New("say which write is meant: write=ID, or session=0x... and xid=N")
	}
	if q.Write != "" {
		return q, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(session, "0x"), 16, 64)
	if err != nil || n == 0 {
		return q, errors.New("session: want its id in hexadecimal, like 0x1000000a3ab0001")
	}
	x, err := strconv.ParseInt(xid, 10, 32)
	if err != nil || x <= 0 {
		return q, errors.New("xid: want the number that the client gave to the request")
	}
	q.Session, q.Xid = int64(n), int32(x)
	return q, nil
}
