package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"slices"
)

// aliases are the names of the commands of ZooKeeper's AdminServer: each stands for a canonical one.
var aliases = map[string]string{
	"ruok": "ruok", "server_stats": "server_stats", "srvr": "server_stats", "stats": "stats", "stat": "stats", "monitor": "monitor", "mntr": "monitor",
	"configuration": "configuration", "conf": "configuration", "config": "configuration", "connections": "connections", "cons": "connections",
	"dirs": "dirs", "dump": "dump", "environment": "environment", "env": "environment", "envi": "environment", "hash": "hash",
	"get_trace_mask": "get_trace_mask", "gtmk": "get_trace_mask", "set_trace_mask": "set_trace_mask", "stmk": "set_trace_mask",
	"initial_configuration": "initial_configuration", "icfg": "initial_configuration", "is_read_only": "is_read_only", "isro": "is_read_only",
	"last_snapshot": "last_snapshot", "lsnp": "last_snapshot", "leader": "leader", "lead": "leader", "observers": "observers", "obsr": "observers",
	"observer_connection_stat_reset": "observer_connection_stat_reset", "orst": "observer_connection_stat_reset",
	"connection_stat_reset": "connection_stat_reset", "crst": "connection_stat_reset", "stat_reset": "stat_reset", "srst": "stat_reset",
	"system_properties": "system_properties", "sysp": "system_properties", "voting_view": "voting_view", "watches": "watches", "wchc": "watches",
	"watches_by_path": "watches_by_path", "wchp": "watches_by_path", "watch_summary": "watch_summary", "wchs": "watch_summary", "zabstate": "zabstate",
	"snapshot": "snapshot", "snap": "snapshot", "restore": "restore", "rest": "restore",
}

// commandNames are the canonical names, sorted.
func commandNames() []string {
	var names []string
	for _, name := range aliases {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (h handler) commandList(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	for _, name := range commandNames() {
		name = html.EscapeString(name)
		fmt.Fprintf(&b, "<a href=\"/commands/%s\">%s</a>\n<br/>\n", name, name)
	}
	h.write(w, "text/html; charset=utf-8", b.Bytes())
}

// command answers one command, in ZooKeeper's shape: always with 200, what went wrong stands in the field error.
func (h handler) command(w http.ResponseWriter, r *http.Request) {
	asked := r.PathValue("name")
	name, known := aliases[asked]
	var err error
	var fields json.Marshaler
	switch {
	case !known:
		name, err = asked, fmt.Errorf("Unknown command: %s", asked) //nolint:staticcheck // the text is ZooKeeper's
	case h.cfg.Command == nil:
		err = fmt.Errorf("this member serves no ZooKeeper clients")
	default:
		fields, err = h.cfg.Command(name, r.URL.Query().Get)
	}
	body, encodeErr := commandBody(name, fields, err)
	if encodeErr != nil {
		h.cfg.Logger.Error("a command could not be answered", "command", name, "err", encodeErr)
		http.Error(w, encodeErr.Error(), http.StatusInternalServerError)
		return
	}
	h.write(w, "application/json", body)
}

// commandBody is the fields with the command's name and its error behind them.
func commandBody(name string, fields json.Marshaler, failed error) ([]byte, error) {
	object := []byte("{}")
	if fields != nil && failed == nil {
		b, err := fields.MarshalJSON()
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(b, []byte("null")) {
			object = b
		}
	}
	var text *string
	if failed != nil {
		t := failed.Error()
		text = &t
	}
	end, err := json.Marshal(struct {
		Command string  `json:"command"`
		Error   *string `json:"error"`
	}{name, text})
	if err != nil {
		return nil, fmt.Errorf("admin: encode the command %q: %w", name, err)
	}
	whole := object[:len(object)-1]
	if len(object) > 2 {
		whole = append(whole, ',')
	}
	return prettify(append(whole, end[1:]...))
}

// member is the beginning of a line of an object.
var member = regexp.MustCompile(`(?m)^(\s*"(?:[^"\\]|\\.)*"):`)

// prettify lays JSON out as ZooKeeper does: two blanks, and one before each colon.
func prettify(b []byte) ([]byte, error) {
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, fmt.Errorf("admin: lay out an answer: %w", err)
	}
	return member.ReplaceAll(out.Bytes(), []byte("$1 :")), nil
}

func (h handler) write(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	if _, err := w.Write(body); err != nil {
		h.cfg.Logger.Debug("an admin answer was not written", "error", err)
	}
}
