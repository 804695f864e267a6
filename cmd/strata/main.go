// Command strata runs a member of a Strata cluster: locks on Raft, discovery on gossip, configuration on follower reads, for
// unmodified ZooKeeper clients.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main without the process: it returns the exit code. Every failure is one line on stderr.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	var code exitCode
	if err := root.ExecuteContext(context.Background()); errors.As(err, &code) {
		return int(code)
	} else if err != nil {
		fmt.Fprintf(stderr, "strata: %s\n", oneLine(err))
		return 1
	}
	return 0
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "strata",
		Short: "Coordination where each path prefix has its own consistency tier",
		Long: `Strata is a coordination server for unmodified ZooKeeper clients in which each path prefix has its own consistency tier:

  strong    locks, elections: linearizable, decided by a Raft majority
  eventual  service discovery: any member accepts writes, also in a partition
  readonly  configuration: writes by the majority, reads from local memory with their staleness

Start one member with "strata serve" and point any ZooKeeper client at 127.0.0.1:2181.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w: see %q", err, c.CommandPath()+" --help")
	})
	root.AddCommand(newServe(), newStatus(), newMembers(), newBackup(), newRestore(), newRecover(), newOutcome(), newVersion())
	return root
}
