package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/strata-coord/strata/coord"
)

func newBackup() *cobra.Command {
	c := &adminClient{}
	stale := false
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a backup of the replicated tree",
		Long: `Write a backup of the replicated tree, as it is at one moment, to FILE; - is stdout. The cluster goes on meanwhile.

It has everything that was acknowledged before the command began, whichever member is asked; for that a majority is
needed. FILE is whole or not there: it gets its name when all of it is checked and on disk.

What is in the eventual tier (/services) is not in it: whoever registered there does so again by itself.
A backup holds the cluster's secret and the digests of all passwords in ACLs. Keep it private.`,
		Example: `  strata backup monday.strata
  strata backup monday.strata --admin http://10.0.0.2:8080
  strata backup - | ssh vault 'cat > monday.strata'
  strata backup verify monday.strata`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			query := url.Values{}
			if stale {
				query.Set("stale", "true")
			}
			body, err := c.do(ctx, http.MethodGet, "/v1/backup", query, nil, nil)
			if err != nil {
				return err
			}
			defer body.Close()
			p := &progress{w: cmd.ErrOrStderr(), what: "backup", next: time.Now().Add(progressEvery)}
			info, err := saveBackup(io.TeeReader(body, p), args[0], cmd.OutOrStdout())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "backup: %s: %s\n", args[0], summary(&info))
			return nil
		},
	}
	c.register(cmd.Flags())
	cmd.Flags().BoolVar(&stale, "stale", false, "take what the member has, without asking a majority: for when there is none")
	cmd.AddCommand(newBackupVerify())
	return cmd
}

func newBackupVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE",
		Short: "Check all of a backup, and tell what is in it",
		Long:  `Check all of a backup, and tell what is in it. - is stdin. It takes as much memory as the tree in the backup.`,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := openInput(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			defer in.Close()
			info, err := coord.ReadBackup(in)
			if err != nil {
				return backupError(args[0], err)
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), details(&info))
			return err
		},
	}
}

// openInput opens a file to read; - is stdin.
func openInput(path string, stdin io.Reader) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(stdin), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the backup: %w", err)
	}
	return f, nil
}

func backupError(path string, err error) error {
	if errors.Is(err, coord.ErrBackup) {
		return fmt.Errorf("%s: %w: take another backup", path, err)
	}
	return fmt.Errorf("read the backup %s: %w", path, err)
}

// saveBackup checks a backup on its way to a file, or to stdout.
func saveBackup(r io.Reader, path string, stdout io.Writer) (coord.BackupInfo, error) {
	if path == "-" {
		info, err := coord.ReadBackup(io.TeeReader(r, stdout))
		if err != nil {
			return info, fmt.Errorf("the backup is not whole, do not use it: %w", err)
		}
		return info, nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.partial") // readable for its owner only
	if err != nil {
		return coord.BackupInfo{}, fmt.Errorf("write the backup: %w", err)
	}
	info, err := coord.ReadBackup(io.TeeReader(r, f))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return info, errors.Join(fmt.Errorf("the backup was not written: %w", err), os.Remove(f.Name()))
	}
	return info, nil
}

func summary(i *coord.BackupInfo) string {
	return fmt.Sprintf("%s, zxid %v, %d znodes, %d sessions", size(i.Bytes), i.Zxid, i.Tree.Znodes, i.Tree.Sessions)
}

// details are what is in a backup, a line for each.
func details(i *coord.BackupInfo) string {
	last := "none"
	if !i.LastEntry.IsZero() {
		last = i.LastEntry.Format(time.RFC3339)
	}
	return fmt.Sprintf("whole      yes, %s\ncluster    %s\ntaken      %s by member %s\nzxid       %v\nlast write %s\nznodes     %d, of them %d ephemeral\ndata       %s\nsessions   %d\n",
		size(i.Bytes), i.Cluster, i.Time.Format(time.RFC3339), i.Member, i.Zxid, last, i.Tree.Znodes, i.Tree.Ephemerals, size(i.Tree.DataBytes), i.Tree.Sessions)
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

const progressEvery = 2 * time.Second

// progress tells once in a while how many bytes went by.
type progress struct {
	w    io.Writer
	what string
	n    int64
	next time.Time
}

func (p *progress) Write(b []byte) (int, error) {
	p.n += int64(len(b))
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(progressEvery)
		if _, err := fmt.Fprintf(p.w, "%s: %s so far\n", p.what, size(p.n)); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}
