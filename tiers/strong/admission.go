package strong

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/vmihailenco/msgpack/v5"
)

// errNotAdmitted is what a member answers that takes no part yet.
var errNotAdmitted = errors.New("this member has no log, and no leader has said yet that it is the one of its name")

// admission keeps a member with an empty directory out of raft until it is sure to be no stand-in for another: raft knows members by name alone, so one that has
// lost its disk would be taken for the voter that it was, although it has forgotten what it had acknowledged and for whom it had voted. It takes part as soon
// as it forms a new cluster (Bootstrap, Admit), or a leader knows it by its identity.
type admission struct {
	open atomic.Bool
	// knocked has who sent something last; capacity 1.
	knocked chan string
}

func newAdmission(open bool) *admission {
	a := &admission{knocked: make(chan string, 1)}
	a.open.Store(open)
	return a
}

// admits tells whether raft shall get a message.
func (a *admission) admits(rpc raft.RPC) bool {
	if a.open.Load() {
		return true
	}
	if c, ok := rpc.Command.(raft.WithRPCHeader); ok {
		select {
		case a.knocked <- string(c.GetRPCHeader().ID):
		default:
		}
	}
	return false
}

// Admit says that this member takes part in the forming of a new cluster, so it can't be taken for another.
func (t *Tier) Admit() { t.admission.open.Store(true) }

// seekAdmission asks who has sent something whether this member is meant.
func (t *Tier) seekAdmission(ctx context.Context) {
	body, err := msgpack.Marshal(&registration{Name: t.cfg.Name, Identity: t.cfg.Identity})
	if err != nil {
		t.log.Error("could not encode who this member is", "err", err)
		return
	}
	for !t.admission.open.Load() {
		var who string
		select {
		case <-ctx.Done():
			return
		case who = <-t.admission.knocked:
		}
		callCtx, cancel := context.WithTimeout(ctx, t.cfg.Patience)
		_, err := t.peers.get(who).Call(callCtx, methodVouch, body)
		cancel()
		if err == nil {
			t.Admit()
			return
		}
		t.log.Info("takes no part in the cluster yet", "asked", who, "answer", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(t.cfg.Heartbeat / 2):
		}
	}
}

// handleVouch answers whether a member is the one of its name. Leaders only: they have applied all registrations.
func (t *Tier) handleVouch(body []byte) error {
	var r registration
	if err := msgpack.Unmarshal(body, &r); err != nil {
		return fmt.Errorf("malformed question about a member: %w", err)
	}
	if t.leads() == 0 {
		return errNoLeader
	}
	known := false
	for _, m := range t.Registered() {
		switch {
		case m.Name != r.Name || m.Rank == RankRemoved:
		case m.Identity != r.Identity:
			return fmt.Errorf("member %q has another data directory, number %d: it must be taken out first", r.Name, m.Number)
		default:
			known = true
		}
	}
	if !known {
		return fmt.Errorf("member %q is not known with that data directory yet", r.Name)
	}
	return nil
}
