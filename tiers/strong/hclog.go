package strong

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// hcLog lets hashicorp's libraries log through slog.
type hcLog struct {
	l     *slog.Logger
	name  string
	args  []any
	heard *heard // shared by all that derive from one
}

func newHCLog(l *slog.Logger) hclog.Logger {
	return &hcLog{l: l, heard: &heard{last: make(map[string]time.Time)}}
}

// heard is what was said lately: raft says the same many times a second while a member is away.
type heard struct {
	mu   sync.Mutex
	last map[string]time.Time // guarded by mu; by message and member
}

// sayAgain is how long the same is not said again; what differs only in its error counts as the same.
const sayAgain = 10 * time.Second

func (h *heard) lately(msg string, args []any) bool {
	key := msg
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "peer", "target", "server-id", "from":
			key += fmt.Sprint(" ", args[i+1])
		}
	}
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if at, ok := h.last[key]; ok && now.Sub(at) < sayAgain {
		return true
	}
	for k, at := range h.last {
		if now.Sub(at) >= sayAgain {
			delete(h.last, k)
		}
	}
	h.last[key] = now
	return false
}

func slogLevel(l hclog.Level) slog.Level {
	switch l {
	case hclog.Trace, hclog.Debug:
		return slog.LevelDebug
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Error:
		return slog.LevelError
	}
	return slog.LevelInfo
}

// Log passes on what raft says, a level lower: what raft calls an error (a peer that does not answer, say) is a warning to a
// cluster that goes on, and what it calls information is detail. What it repeats is detail too.
func (h *hcLog) Log(level hclog.Level, msg string, args ...any) {
	at := slogLevel(level) - 4
	if at >= slog.LevelInfo && h.heard.lately(msg, args) {
		at = slog.LevelDebug
	}
	h.l.Log(context.Background(), at, h.prefix()+msg, args...)
}

func (h *hcLog) prefix() string {
	if h.name == "" {
		return ""
	}
	return h.name + ": "
}

func (h *hcLog) Trace(msg string, args ...any) { h.Log(hclog.Trace, msg, args...) }
func (h *hcLog) Debug(msg string, args ...any) { h.Log(hclog.Debug, msg, args...) }
func (h *hcLog) Info(msg string, args ...any)  { h.Log(hclog.Info, msg, args...) }
func (h *hcLog) Warn(msg string, args ...any)  { h.Log(hclog.Warn, msg, args...) }
func (h *hcLog) Error(msg string, args ...any) { h.Log(hclog.Error, msg, args...) }

func (h *hcLog) enabled(l slog.Level) bool { return h.l.Enabled(context.Background(), l) }
func (h *hcLog) IsTrace() bool             { return false }
func (h *hcLog) IsDebug() bool             { return h.enabled(slog.LevelDebug) }
func (h *hcLog) IsInfo() bool              { return h.enabled(slog.LevelDebug) }
func (h *hcLog) IsWarn() bool              { return h.enabled(slog.LevelWarn) }
func (h *hcLog) IsError() bool             { return h.enabled(slog.LevelError) }
func (h *hcLog) ImpliedArgs() []any        { return h.args }
func (h *hcLog) Name() string              { return h.name }
func (h *hcLog) SetLevel(hclog.Level)      {}
func (h *hcLog) GetLevel() hclog.Level     { return hclog.Debug }

func (h *hcLog) With(args ...any) hclog.Logger {
	return &hcLog{l: h.l.With(args...), name: h.name, heard: h.heard, args: append(h.args[:len(h.args):len(h.args)], args...)}
}

func (h *hcLog) Named(name string) hclog.Logger {
	if h.name != "" {
		name = h.name + "." + name
	}
	return h.ResetNamed(name)
}

func (h *hcLog) ResetNamed(name string) hclog.Logger {
	return &hcLog{l: h.l, name: name, args: h.args, heard: h.heard}
}

func (h *hcLog) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(h.l.Handler(), slog.LevelDebug)
}

func (h *hcLog) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return h.StandardLogger(o).Writer()
}
