package main

import (
	"context"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func newServe() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run one member",
		Long: `Run one member of a cluster, until SIGTERM or SIGINT.

On stdout it prints the table of routes and, once clients are served, one line that begins with "ready" and names the
addresses. Logs go to stderr. At SIGTERM it hands leadership over, closes the connections of its clients (their sessions
live on at the other members) and exits with 0; any failure is one line on stderr and exit code 1.

Everything can be kept in a YAML file given with --config, under the flags' names, or in the zoo.cfg of a ZooKeeper
server: what has no meaning here is named in a warning. In YAML:

  name: one
  bind: 10.0.0.1:7400
  join: [10.0.0.1:7400, 10.0.0.2:7400, 10.0.0.3:7400]
  bootstrap-expect: 3
  route: ["/services=eventual", "/config=readonly,max-staleness=30s"]`,
		Example: `  # one member, for a look
  strata serve

  # three members on one machine: run each line in a shell of its own
  M=127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403
  strata serve --name one   --data-dir one   --bind 127.0.0.1:7401 --join $M --bootstrap-expect 3 --zk-listen 127.0.0.1:2181 --admin-listen 127.0.0.1:8081
  strata serve --name two   --data-dir two   --bind 127.0.0.1:7402 --join $M --bootstrap-expect 3 --zk-listen 127.0.0.1:2182 --admin-listen 127.0.0.1:8082
  strata serve --name three --data-dir three --bind 127.0.0.1:7403 --join $M --bootstrap-expect 3 --zk-listen 127.0.0.1:2183 --admin-listen 127.0.0.1:8083

  # everything strong, as in ZooKeeper
  strata serve --route /=strong

  # in the place of a ZooKeeper server, with its configuration
  strata serve --config /etc/zookeeper/conf/zoo.cfg

  # is it ready? if not, why?
  curl -f http://127.0.0.1:8080/readyz`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.config != "" {
				var err error
				if s.ignored, err = readFile(s.config, cmd.Flags()); err != nil {
					return err
				}
			}
			if err := s.complete(); err != nil {
				return err
			}
			routes, err := parseRoutes(s.routes)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			// A second signal ends the process at once.
			context.AfterFunc(ctx, stop)
			return serve(ctx, s, routes, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	s.register(cmd.Flags())
	return cmd
}
