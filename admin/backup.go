package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// stalled is for how long who fetches a backup may take nothing of it: meanwhile the member can't take a snapshot of its own.
const stalled = 30 * time.Second

// backup answers GET /v1/backup with the stream of a backup; ?stale=true: of what the member has, without asking the majority. What goes wrong
// before the first byte is told with 503; after it, the connection is cut.
func (h handler) backup(w http.ResponseWriter, r *http.Request) {
	if h.cfg.Backup == nil {
		h.text(w, http.StatusNotImplemented, "this member offers no backup")
		return
	}
	out := &backupStream{w: w, control: http.NewResponseController(w)}
	err := h.cfg.Backup(r.Context(), out, r.URL.Query().Get("stale") == "true")
	switch {
	case err == nil:
	case !out.begun:
		h.text(w, http.StatusServiceUnavailable, err.Error())
	default:
		h.cfg.Logger.Warn("a backup was not sent whole", "to", r.RemoteAddr, "err", err)
		// The end of the answer can't be written any more, so who reads it sees that it is cut.
		if err := out.control.SetWriteDeadline(time.Unix(1, 0)); err != nil {
			h.cfg.Logger.Debug("a connection was not cut", "err", err)
		}
	}
}

// backupStream gives each piece of a backup its time.
type backupStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (s *backupStream) Write(b []byte) (int, error) {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "application/octet-stream")
		s.w.Header().Set("Cache-Control", "no-store")
	}
	if err := s.control.SetWriteDeadline(time.Now().Add(stalled)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return s.w.Write(b)
}

// Backup writes a backup to w; stale: of what the member has, without asking the majority.
type Backup func(ctx context.Context, w io.Writer, stale bool) error

// confirmHeader must say what the request does, so that neither a slip nor a web page replaces the tree.
const confirmHeader = "Strata-Confirm"

// maxPause is for how long who sends a backup may pause.
const maxPause = 30 * time.Second

// Restored is the body of an answer to POST /v1/restore. Fields may be added.
type Restored struct {
	Zxid          string `json:"zxid"`           // of the tree since then, hexadecimal
	BackupZxid    string `json:"backup_zxid"`    // that of the backup
	Znodes        int    `json:"znodes"`         // in the backup
	EndedSessions int    `json:"ended_sessions"` // that the tree knew
}

// Restore replaces the cluster's tree by a backup.
type Restore func(ctx context.Context, backup io.Reader) (Restored, error)

// restore answers POST /v1/restore with the header Strata-Confirm: restore; the body is the backup, of any size. What goes wrong is told in words, with 400 if
// nobody was asked to do anything, else with 503.
func (h handler) restore(w http.ResponseWriter, r *http.Request) {
	switch {
	case h.cfg.Restore == nil:
		h.text(w, http.StatusNotImplemented, "this member offers no restore")
		return
	case r.Header.Get(confirmHeader) != "restore":
		h.text(w, http.StatusBadRequest, "a restore replaces the tree of the whole cluster: confirm it with the header "+confirmHeader+": restore")
		return
	}
	done, err := h.cfg.Restore(r.Context(), &patient{r.Body, http.NewResponseController(w)})
	if err != nil {
		h.text(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	h.json(w, done)
}

// patient gives each piece of a request's body its time.
type patient struct {
	body    io.Reader
	control *http.ResponseController
}

func (p *patient) Read(b []byte) (int, error) {
	if err := p.control.SetReadDeadline(time.Now().Add(maxPause)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := p.body.Read(b)
	if err != nil { // what follows is not about the body
		if err := p.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return n, err
		}
	}
	return n, err
}
