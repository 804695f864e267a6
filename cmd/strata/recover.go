package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/strata-coord/strata/coord"
)

func newRecover() *cobra.Command {
	dir, dry, yes := "", false, false
	cmd := &cobra.Command{
		Use:   "recover --data-dir DIR",
		Short: "Go on from one survivor when the majority is lost for ever",
		Long: `Go on from one survivor when the majority of the voters is lost for ever, with their disks.

Look first, with --dry-run, at each survivor while it is stopped. Recover the one whose last entry has the highest term,
and of those the highest index: it has the most. It becomes a cluster of one, with what it knew; start it as before.
All others, also the other survivors, join it with empty directories. The lost members must never run again with
their old directories: what they had decided without this one can't be merged.

What the lost members had acknowledged without this one is lost. All sessions end. Fencing tokens, zxids and sequence
numbers go on as far ahead as the cluster can have come since the last change here, so that none is given twice.

While a majority can still be brought back, do that instead: nothing is lost then.`,
		Example: `  strata recover --data-dir /var/lib/strata --dry-run
  strata recover --data-dir /var/lib/strata --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return errors.New("--data-dir is missing: say where the survivor keeps its data")
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError}))
			r, _, err := coord.Recover(dir, true, log)
			if err != nil {
				return err
			}
			if err := printRemains(cmd.OutOrStdout(), &r); err != nil {
				return fmt.Errorf("write to stdout: %w", err)
			}
			switch {
			case dry:
				return nil
			case !yes:
				return errors.New("this gives up what the lost members had decided: if no majority can ever be brought back, say --yes to do it")
			}
			_, zxid, err := coord.Recover(dir, false, log)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "recovered: %s is a cluster of its own now; its tree goes on from zxid %v\nstart it as before; all others join it with empty directories\n", r.Member, zxid)
			return err
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&dir, "data-dir", "", "the `DIR` of the survivor, which must not run")
	f.BoolVar(&dry, "dry-run", false, "only tell what is there, and what would be lost")
	f.BoolVar(&yes, "yes", false, "do it")
	return cmd
}

func printRemains(w io.Writer, r *coord.Remains) error {
	var others []string
	var b strings.Builder
	fmt.Fprintf(&b, "member     %s\n", r.Member)
	for _, m := range r.Members {
		fmt.Fprintf(&b, "           %s %s at %s\n", m.Role, m.Name, m.Address)
		if m.Name != r.Member {
			others = append(others, m.Name)
		}
	}
	changed := "never"
	if !r.Changed.IsZero() {
		changed = r.Changed.Format(time.RFC3339)
	}
	fmt.Fprintf(&b, "last entry term %d, index %d (compare survivors by these, in this order)\n", r.LogTerm, r.Index)
	fmt.Fprintf(&b, "term       %d\nzxid       %v\nchanged    %s\nholds      %d znodes, of them %d ephemeral; %d sessions\n", r.Term, r.Zxid, changed, r.Tree.Znodes, r.Tree.Ephemerals, r.Tree.Sessions)
	if r.Unread > 0 {
		fmt.Fprintf(&b, "unread     %d entries that this version does not know: use the version that ran here\n", r.Unread)
	}
	dropped := "nobody"
	if len(others) > 0 {
		dropped = strings.Join(others, ", ")
	}
	fmt.Fprintf(&b, "recovery   drops %s; ends %d sessions and deletes their %d ephemerals\n", dropped, r.Tree.Sessions, r.Tree.Ephemerals)
	fmt.Fprintf(&b, "lost       whatever the others had decided after index %d, which this member never heard of; it can't tell how much\n", r.Index)
	_, err := io.WriteString(w, b.String())
	return err
}
