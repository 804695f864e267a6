package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/strata-coord/strata/admin"
	"github.com/strata-coord/strata/coord"
)

// restoreSettings are what restore is told by flags.
type restoreSettings struct {
	yes     bool
	dataDir string
	name    string
	bind    string
}

func newRestore() *cobra.Command {
	c := &adminClient{}
	s := &restoreSettings{}
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of the replicated tree",
		Long: `Put a backup in the place of the replicated tree: of a running cluster, or, with --data-dir, of a new one. - is stdin.

Of a running cluster: any member is asked. All of it changes at once, on all members, or nothing does. What was written
since the backup is gone; who holds a lock loses it; all sessions that own something in the strong tier end. Clients stay
connected and go on with new sessions; watches fire for what differs. It must be confirmed with --yes.

With --data-dir an empty directory is filled, for the first member of a new cluster; nothing needs to run. Start it with
"strata serve" under the same --name; others join it with empty directories. Never with those of the old cluster.

Either way, no fencing token, zxid, session id or sequence number is ever given a second time: they go on above what the
backup has and, as far as time can tell, above all that was given after it.`,
		Example: `  strata restore monday.strata --yes
  strata restore monday.strata --data-dir /var/lib/strata --name one --bind 10.0.0.1:7400`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if s.dataDir != "" {
				return s.offline(cmd, args[0])
			}
			return s.online(cmd, c, args[0])
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	c.register(f)
	f.BoolVar(&s.yes, "yes", false, "replace the tree of the running cluster")
	f.StringVar(&s.dataDir, "data-dir", "", "an empty `DIR` to fill, for the first member of a new cluster")
	f.StringVar(&s.name, "name", "", "with --data-dir: the `NAME` of that member (default: host name)")
	f.StringVar(&s.bind, "bind", "127.0.0.1:7400", "with --data-dir: the --bind of that member, `HOST:PORT`")
	return cmd
}

func (s *restoreSettings) online(cmd *cobra.Command, c *adminClient, file string) error {
	if file != "-" { // so that the mistake is told before anything is sent
		in, err := openInput(file, nil)
		if err != nil {
			return err
		}
		info, err := coord.ReadBackup(in)
		if err := errors.Join(err, in.Close()); err != nil {
			return backupError(file, err)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "restore: %s: taken %s, %s\n", file, info.Time.Format(time.RFC3339), summary(&info))
	}
	if !s.yes {
		return fmt.Errorf("this replaces the tree of the whole cluster of %s, and ends its sessions: say --yes to do it", c.base)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	in, err := openInput(file, cmd.InOrStdin())
	if err != nil {
		return err
	}
	defer in.Close()
	p := &progress{w: cmd.ErrOrStderr(), what: "restore", next: time.Now().Add(progressEvery)}
	body, err := c.do(ctx, http.MethodPost, "/v1/restore", nil, http.Header{"Strata-Confirm": {"restore"}}, io.TeeReader(in, p))
	if err != nil {
		return err
	}
	defer body.Close()
	var done admin.Restored
	if err := json.NewDecoder(body).Decode(&done); err != nil {
		return fmt.Errorf("the tree was restored, but the answer is not understood: %w", err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "restored %d znodes as of zxid %s; the tree goes on from zxid %s; %d sessions ended\n", done.Znodes, done.BackupZxid, done.Zxid, done.EndedSessions)
	return err
}

func (s *restoreSettings) offline(cmd *cobra.Command, file string) error {
	if s.name == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("the host has no name (%w): give the member one with --name", err)
		}
		s.name = host
	}
	in, err := openInput(file, cmd.InOrStdin())
	if err != nil {
		return err
	}
	defer in.Close()
	done, err := coord.RestoreDir(cmd.Context(), in, coord.Config{Name: s.name, Dir: s.dataDir, Bind: s.bind})
	switch {
	case errors.Is(err, coord.ErrBackup):
		return backupError(file, err)
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "restored %d znodes as of zxid %v into %s; the tree goes on from zxid %v\nstart it: strata serve --name %s --data-dir %s --bind %s\n",
		done.Backup.Tree.Znodes, done.Backup.Zxid, s.dataDir, done.Zxid, s.name, s.dataDir, s.bind)
	return err
}
