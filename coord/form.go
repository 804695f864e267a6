package coord

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strata-coord/strata/tiers/strong"
)

const formEvery = 200 * time.Millisecond

// form takes a fresh member into a cluster: it forms one alone, or with the voters that it was told to expect, or waits.
//
// A cluster must be formed by exactly one member. The first by name of the fresh voters asks the others to follow it. A promise
// is kept on disk, so no member ever follows two.
func (n *Node) form(ctx context.Context) {
	fresh, err := n.strong.Fresh()
	if err != nil {
		n.log.Error("could not tell whether this member belongs to a cluster", "err", err)
		return
	}
	if !fresh || n.cfg.Role != Voter {
		return
	}
	others := n.joinsOthers(ctx)
	switch {
	case n.cfg.BootstrapExpect <= 1 && !others:
		if err := n.strong.Bootstrap([]strong.Server{n.server()}); err != nil {
			n.log.Error("could not form a cluster", "err", err)
		} else {
			n.log.Info("formed a cluster of one")
		}
		return
	case n.cfg.BootstrapExpect <= 1:
		n.log.Info("waits to be taken into the cluster of the members to join; to form a new one with them, give all of them bootstrap-expect", "join", n.cfg.Join)
		return
	}
	tick := time.NewTicker(formEvery)
	defer tick.Stop()
	for {
		if len(n.strong.Servers()) > 0 {
			return
		}
		if done, err := n.tryForm(ctx); err != nil {
			n.log.Debug("the cluster is not formed yet", "err", err)
		} else if done {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// joinsOthers tells whether any address of Join may be another member's: this one may have been given by another name of its host.
func (n *Node) joinsOthers(ctx context.Context) bool {
	addrs := n.others()
	heard := n.greeter.askAll(ctx, addrs, n.me())
	return slices.ContainsFunc(addrs, func(a string) bool {
		x, answered := heard[a]
		return !answered || x.Identity != n.dir.identity()
	})
}

func (n *Node) server() strong.Server {
	return strong.Server{Name: n.cfg.Name, Address: n.cfg.Advertise, Voter: n.cfg.Role == Voter}
}

// tryForm forms the cluster if this member is the one to do it, and all follow.
func (n *Node) tryForm(ctx context.Context) (done bool, err error) {
	voters := []strong.Server{n.server()}
	var addrs []string
	for _, m := range n.members() {
		if m.Name != n.cfg.Name && m.State == stateAlive && m.wants == Voter {
			addrs = append(addrs, m.Address)
		}
	}
	for addr, x := range n.greeter.askAll(ctx, addrs, n.me()) {
		if !x.Fresh {
			return false, fmt.Errorf("member %s belongs to a cluster already: waiting to be taken in", x.Name)
		}
		voters = append(voters, strong.Server{Name: x.Name, Address: addr, Voter: true})
	}
	n.awaited.Store(int64(n.cfg.BootstrapExpect - len(voters)))
	if len(voters) < n.cfg.BootstrapExpect {
		return false, fmt.Errorf("%d of %d voters are there", len(voters), n.cfg.BootstrapExpect)
	}
	slices.SortFunc(voters, func(a, b strong.Server) int { return strings.Compare(a.Name, b.Name) })
	voters = voters[:n.cfg.BootstrapExpect]
	if voters[0].Name != n.cfg.Name {
		return false, fmt.Errorf("%s forms the cluster", voters[0].Name)
	}
	if err := n.promise(n.cfg.Name); err != nil {
		return false, err
	}
	for _, v := range voters[1:] {
		if _, err := n.greeter.ask(ctx, methodPromise, v.Address, n.me()); err != nil {
			return false, fmt.Errorf("%s does not follow: %w", v.Name, err)
		}
	}
	if err := n.strong.Bootstrap(voters); err != nil {
		return false, err
	}
	n.log.Info("formed a cluster", "voters", len(voters))
	return true, nil
}

// promise records whom this member follows into a new cluster; it never changes.
func (n *Node) promise(to string) error {
	n.promises.Lock()
	defer n.promises.Unlock()
	fresh, err := n.strong.Fresh()
	switch {
	case err != nil:
		return err
	case !fresh:
		return errors.New("this member belongs to a cluster")
	case n.dir.meta.Promised == to:
		return nil
	case n.dir.meta.Promised != "":
		return fmt.Errorf("this member has promised to follow %s", n.dir.meta.Promised)
	}
	n.dir.meta.Promised = to
	if err := n.dir.save(); err != nil {
		n.dir.meta.Promised = ""
		return err
	}
	n.strong.Admit() // all of them are as fresh as this one
	return nil
}
