package strong

import (
	"context"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// hcLog lets hashicorp's libraries log through slog.
type hcLog struct {
	l    *slog.Logger
	name string
	args []any
}

func newHCLog(l *slog.Logger) hclog.Logger { return &hcLog{l: l} }

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
// cluster that goes on, and what it calls information is detail.
func (h *hcLog) Log(level hclog.Level, msg string, args ...any) {
	at := slogLevel(level) - 4
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
	return &hcLog{l: h.l.With(args...), name: h.name, args: append(h.args[:len(h.args):len(h.args)], args...)}
}

func (h *hcLog) Named(name string) hclog.Logger {
	if h.name != "" {
		name = h.name + "." + name
	}
	return h.ResetNamed(name)
}

func (h *hcLog) ResetNamed(name string) hclog.Logger {
	return &hcLog{l: h.l, name: name, args: h.args}
}

func (h *hcLog) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(h.l.Handler(), slog.LevelDebug)
}

func (h *hcLog) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return h.StandardLogger(o).Writer()
}
