package admin

import (
	"context"
	"net/http"
)

// MemberStatus is a member in the answer to GET /v1/members. Fields may be added.
type MemberStatus struct {
	Member
	Leader bool `json:"leader"`
	// Behind is how many log entries its tree lacks of those that the asked member, or it, has applied; null: it did not answer.
	Behind *uint64 `json:"behind"`
}

// ChangeMember removes, promotes or demotes a member.
type ChangeMember func(ctx context.Context, name, change string, force bool) error

// members answers GET /v1/members.
func (h handler) members(w http.ResponseWriter, r *http.Request) {
	if h.cfg.Members == nil {
		h.text(w, http.StatusNotImplemented, "this member tells nothing of the others")
		return
	}
	list, err := h.cfg.Members(r.Context())
	if err != nil {
		h.text(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	h.json(w, list)
}

// changeMember answers POST /v1/members/NAME?change=remove|promote|demote&force=true with the header Strata-Confirm: members.
func (h handler) changeMember(w http.ResponseWriter, r *http.Request) {
	switch {
	case h.cfg.ChangeMember == nil:
		h.text(w, http.StatusNotImplemented, "this member changes no others")
		return
	case r.Header.Get(confirmHeader) != "members":
		h.text(w, http.StatusBadRequest, "this changes the cluster: confirm it with the header "+confirmHeader+": members")
		return
	}
	q := r.URL.Query()
	if err := h.cfg.ChangeMember(r.Context(), r.PathValue("name"), q.Get("change"), q.Get("force") == "true"); err != nil {
		h.text(w, http.StatusConflict, err.Error())
		return
	}
	h.text(w, http.StatusOK, "done")
}
