package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config feeds the handler. Its functions are called at each request, concurrently; they must not block for long.
type Config struct {
	// Status tells the member's state. Required.
	Status func() Status
	// Traffic tells what the client listener has done. Nil: the member serves no clients.
	Traffic func() Traffic
	// Command answers a command of ZooKeeper's AdminServer by its canonical name, with an object; arg gives arguments, empty for none. Nil: the member serves no
	// ZooKeeper clients.
	Command func(name string, arg func(string) string) (json.Marshaler, error)
	// Ready is nil when clients are served, else the reason why not. Nil func: ask Status.
	Ready func() error
	// Backup answers /v1/backup. Nil: it is not offered.
	Backup Backup
	// Outcome answers /v1/outcome. Nil: it is not offered.
	Outcome OutcomeFunc
	// Members and ChangeMember answer /v1/members. Nil: it is not offered.
	Members      func(context.Context) ([]MemberStatus, error)
	ChangeMember ChangeMember
	// Restore answers /v1/restore. Nil: it is not offered.
	Restore Restore
	// Logger hears of answers that could not be written. Nil: nobody.
	Logger *slog.Logger
}

// Handler serves the listener's paths.
func Handler(cfg Config) (http.Handler, error) {
	if cfg.Status == nil {
		return nil, errors.New("admin: Config.Status is missing")
	}
	if cfg.Ready == nil {
		cfg.Ready = func() error {
			if s := cfg.Status(); !s.Ready {
				return errors.New(s.Reason)
			}
			return nil
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	registry, err := newRegistry(cfg)
	if err != nil {
		return nil, err
	}
	h := handler{cfg}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.index)
	mux.HandleFunc("GET /healthz", h.healthz)
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.HandleFunc("GET /v1/status", h.status)
	mux.HandleFunc("GET /v1/backup", h.backup)
	mux.HandleFunc("GET /v1/outcome", h.outcome)
	mux.HandleFunc("POST /v1/outcome", h.outcome)
	mux.HandleFunc("POST /v1/restore", h.restore)
	mux.HandleFunc("GET /v1/members", h.members)
	mux.HandleFunc("POST /v1/members/{name}", h.changeMember)
	mux.HandleFunc("GET /commands", h.commandList)
	mux.HandleFunc("GET /commands/{$}", h.commandList)
	mux.HandleFunc("/commands/{name}", h.command)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
	}))
	return mux, nil
}

type handler struct{ cfg Config }

func (h handler) text(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	if _, err := fmt.Fprintln(w, body); err != nil {
		h.cfg.Logger.Debug("an admin answer was not written", "error", err)
	}
}

func (h handler) index(w http.ResponseWriter, _ *http.Request) {
	h.text(w, http.StatusOK, "strata\n\n/healthz    the process runs\n/readyz     clients are served, or why not\n/metrics    Prometheus\n/v1/status  the member's state as JSON\n/v1/backup  a backup of the replicated tree\n/v1/members the members, and how far each has come\n/v1/restore POST one, to put it in the tree's place\n/v1/outcome what became of a write\n/commands   what ZooKeeper's AdminServer tells")
}

func (h handler) healthz(w http.ResponseWriter, _ *http.Request) { h.text(w, http.StatusOK, "ok") }

func (h handler) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := h.cfg.Ready(); err != nil {
		h.text(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
		return
	}
	h.text(w, http.StatusOK, "ready")
}

func (h handler) status(w http.ResponseWriter, _ *http.Request) {
	s := h.cfg.Status()
	if s.Members == nil {
		s.Members = []Member{}
	}
	if s.Routes == nil {
		s.Routes = []Route{}
	}
	h.json(w, s)
}

func (h handler) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		h.cfg.Logger.Debug("an admin answer was not written", "error", err)
	}
}
