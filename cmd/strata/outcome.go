package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/strata-coord/strata/admin"
	"github.com/strata-coord/strata/tiers"
)

// exitCode is an error that only says how the process ends: what there is to say was said.
type exitCode int

func (e exitCode) Error() string { return "exit code " + strconv.Itoa(int(e)) }

// The exit codes of strata outcome, but for applied.
var outcomeCodes = map[string]exitCode{"failed": 3, "never": 4, "forgotten": 5, "open": 6}

func newOutcome() *cobra.Command {
	c := &adminClient{}
	var session, output string
	var xid int32
	var within time.Duration
	look := false
	cmd := &cobra.Command{
		Use:   "outcome [ID]",
		Short: "Tell what became of a write whose answer was lost",
		Long: `Tell what became of a write to the replicated tree whose answer was lost. Any member can be asked, also after elections and restarts.

ID is in the error of the Go API: "outcome unknown: write 1-3-4711: ...". The write of a ZooKeeper client is named by its
session and its xid, the number that the client gave to the request.

  applied    it changed the tree                                exit code 0
  failed     it was decided and changed nothing: see the error            3
  never      it was not applied, and never will be                        4
  forgotten  it is older than what is remembered (65,536 writes)          5
  open       with --look only: it may still arrive                        6

The answer is final. For that, a write that has not been applied is sealed: wherever it still waits, it is refused when it arrives.`,
		Example: `  strata outcome 1-3-4711
  strata outcome --session 0x1000000a3ab0001 --xid 17 --within 10m`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			switch byXid := session != "" || xid != 0; {
			case len(args) == 1 && byXid || len(args) == 0 && !byXid:
				return errors.New("say which write is meant: its ID, or --session and --xid")
			case byXid:
				query.Set("session", session)
				query.Set("xid", strconv.Itoa(int(xid)))
			default:
				query.Set("write", args[0])
			}
			if within != 0 {
				query.Set("within", within.String())
			}
			method := http.MethodPost
			if look {
				method = http.MethodGet
			}
			body, err := c.do(cmd.Context(), method, "/v1/outcome", query, nil, nil)
			if err != nil {
				return err
			}
			defer body.Close()
			return printOutcome(cmd.OutOrStdout(), body, output)
		},
	}
	c.register(cmd.Flags())
	cmd.Flags().StringVar(&session, "session", "", "the session's id in hexadecimal, `0x...`")
	cmd.Flags().Int32Var(&xid, "xid", 0, "the `NUMBER` that the client gave to the request")
	cmd.Flags().DurationVar(&within, "within", 0, "the write was sent at most this `DURATION` ago: tells never from forgotten")
	cmd.Flags().BoolVar(&look, "look", false, "seal nothing: the answer may be open")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`FORMAT`: text or json")
	return cmd
}

func printOutcome(w io.Writer, body io.Reader, output string) error {
	raw, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("read the member's answer: %w", err)
	}
	var o admin.Outcome
	if err := json.Unmarshal(raw, &o); err != nil {
		return fmt.Errorf("the member's answer is none: %w", err)
	}
	switch output {
	case "json":
		_, err = w.Write(raw)
	case "text":
		_, err = fmt.Fprintln(w, outcomeText(&o))
	default:
		return fmt.Errorf("--output %q: want text or json", output)
	}
	if code := outcomeCodes[o.Fate]; err == nil && code != 0 {
		return code
	}
	return err
}

// outcomeText is one line for people.
func outcomeText(o *admin.Outcome) string {
	at := ""
	if o.Time != nil {
		at = " at " + o.Time.Format(time.RFC3339)
	}
	switch o.Fate {
	case "applied":
		text := fmt.Sprintf("applied as zxid 0x%x%s", o.Zxid, at)
		if o.Path != "" {
			text += ", created " + o.Path
		}
		return text
	case "failed":
		return fmt.Sprintf("failed%s, and changed nothing: op %d on %s: %s", at, o.Op, o.Path, o.Error)
	case "never":
		return "never: it was not applied, and never will be"
	case "forgotten":
		return "forgotten: it is older than what is remembered, or --within would tell that it is not"
	}
	return o.Fate + ": not applied up to now; ask without --look for an answer that is final"
}

// outcome is what admin answers.
func (v *server) outcome(ctx context.Context, q admin.OutcomeQuery) (admin.Outcome, error) {
	node, err := v.opened()
	if err != nil {
		return admin.Outcome{}, err
	}
	var o tiers.Outcome
	if q.Write == "" {
		var sent time.Time
		if q.Within > 0 {
			sent = time.Now().Add(-q.Within)
		}
		o, err = node.OutcomeOf(ctx, tiers.SessionID(q.Session), tiers.RequestID(q.Xid), sent, q.Settle)
	} else {
		var id tiers.WriteID
		if id, err = tiers.ParseWriteID(q.Write); err != nil {
			return admin.Outcome{}, fmt.Errorf("%w: %w", admin.ErrBadQuestion, err)
		}
		if q.Settle {
			o, err = node.Outcome(ctx, id)
		} else {
			o, err = node.LookOutcome(ctx, id)
		}
	}
	switch {
	case errors.Is(err, tiers.ErrBadArguments):
		return admin.Outcome{}, fmt.Errorf("%w: %w", admin.ErrBadQuestion, err)
	case err != nil:
		return admin.Outcome{}, err
	}
	return outcomeJSON(&o), nil
}

func outcomeJSON(o *tiers.Outcome) admin.Outcome {
	x := admin.Outcome{Fate: o.Fate.String(), Path: o.Path, Op: o.Op}
	if o.Write != (tiers.WriteID{}) {
		x.Write = o.Write.String()
	}
	if o.Session != 0 {
		x.Session = o.Session.String()
	}
	if o.Request <= 1<<31 {
		x.Xid = int64(o.Request)
	}
	if o.Fate == tiers.FateApplied {
		x.Zxid = int64(o.Zxid)
	}
	if !o.Time.IsZero() {
		at := o.Time.UTC()
		x.Time = &at
	}
	if o.Err != nil {
		x.Error = o.Err.Error()
	}
	return x
}
