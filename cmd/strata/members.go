package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/strata-coord/strata/admin"
)

func newMembers() *cobra.Command {
	c := &adminClient{}
	output := ""
	cmd := &cobra.Command{
		Use:   "members",
		Short: "List the members, or change one",
		Long: `List the members of the cluster: role, leader, what gossip knows of each, and how many log entries each is behind.

A new member is taken in by itself: start it with --join. One that lost its disk is replaced by itself: start it again
with --join and an empty directory. What is left to be said is who shall go, and who shall have a vote.`,
		Example: `  strata members
  strata members remove three      # it is gone for good
  strata members demote two`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			list, err := c.members(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), list)
			}
			return printMembers(cmd.OutOrStdout(), list)
		},
	}
	c.register(cmd.PersistentFlags())
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`FORMAT`: text or json")
	for _, x := range []struct{ change, done, short, long string }{
		{"remove", "removed", "Take a member out, for good", "Take a member out of the cluster, for good: it counts towards the majority no more, and does not come back with that directory.\n\nA live member is refused (stop it first), and so is a voter without whom no majority of the others answers. --force does\neither all the same, as long as the majority there is now agrees."},
		{"promote", "has a vote", "Give a member a vote, once it has caught up", "Give a member a vote. It gets it when it has caught up, so that the cluster never waits for it."},
		{"demote", "has no vote any more", "Take a member's vote", "Take a member's vote; it stays as a replica. A voter without whom no majority of the others answers keeps it, without --force."},
	} {
		force := false
		sub := &cobra.Command{
			Use: x.change + " NAME", Short: x.short, Long: x.long, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				query := url.Values{"change": {x.change}}
				if force {
					query.Set("force", "true")
				}
				body, err := c.do(cmd.Context(), http.MethodPost, "/v1/members/"+url.PathEscape(args[0]), query, http.Header{"Strata-Confirm": {"members"}}, nil)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", args[0], x.done)
				return errors.Join(err, body.Close())
			},
		}
		if x.change != "promote" {
			sub.Flags().BoolVar(&force, "force", false, "also if that is not safe")
		}
		cmd.AddCommand(sub)
	}
	return cmd
}

func newStatus() *cobra.Command {
	c := &adminClient{}
	output := ""
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell how a member and its cluster are",
		Long:  `Tell how a member and its cluster are: whether clients are served, who leads, who lags, what the disk says, sessions and znodes.`,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			var s struct {
				Status  admin.Status         `json:"status"`
				Members []admin.MemberStatus `json:"members"`
			}
			if err := c.get(cmd.Context(), "/v1/status", &s.Status); err != nil {
				return err
			}
			var err error
			if s.Members, err = c.members(cmd.Context()); err != nil && s.Status.Ready {
				return err
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), s)
			}
			return errors.Join(printStatus(cmd.OutOrStdout(), &s.Status), printMembers(cmd.OutOrStdout(), s.Members))
		},
	}
	c.register(cmd.Flags())
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`FORMAT`: text or json")
	return cmd
}

func checkOutput(format string) error {
	if format != "text" && format != "json" {
		return fmt.Errorf("--output %q: want text or json", format)
	}
	return nil
}

// get reads a JSON answer.
func (c *adminClient) get(ctx context.Context, path string, into any) error {
	body, err := c.do(ctx, http.MethodGet, path, nil, nil, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(json.NewDecoder(body).Decode(into), body.Close()); err != nil {
		return fmt.Errorf("the answer of %s is not understood: %w", path, err)
	}
	return nil
}

func (c *adminClient) members(ctx context.Context) (list []admin.MemberStatus, err error) {
	return list, c.get(ctx, "/v1/members", &list)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printStatus(w io.Writer, s *admin.Status) error {
	ready, disk, leader := "clients are served", "well", s.Leader
	if !s.Ready {
		ready = "not ready: " + s.Reason
	}
	if s.Disk != "" {
		disk = s.Disk
	}
	if leader == "" {
		leader = "none"
	}
	_, err := fmt.Fprintf(w, "member    %s, %s\nversion   %s\nservice   %s\nleader    %s, term %d\nzxid      %s\ndisk      %s\nhere      %d connections, %d sessions, %d watches\ntree      %d znodes, of them %d ephemeral; %s of data\n\n",
		s.Member, s.Role, s.Version, ready, leader, s.Term, s.Zxid, disk, s.Connections, s.Sessions, s.Watches, s.Znodes, s.Ephemerals, size(s.DataBytes))
	return err
}

func printMembers(w io.Writer, list []admin.MemberStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tROLE\tSTATE\tBEHIND\tADDRESS")
	for _, m := range list {
		role, state, behind := m.Role, m.State, "?"
		if role == "" {
			role = "none"
		}
		if m.Leader {
			role += " (leader)"
		}
		if state == "" {
			state = "unknown"
		}
		if m.Behind != nil {
			behind = fmt.Sprint(*m.Behind)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", m.Name, role, state, behind, m.Address)
	}
	return t.Flush()
}
