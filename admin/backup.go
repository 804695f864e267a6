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
