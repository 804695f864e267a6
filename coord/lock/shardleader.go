package lock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/strata-coord/strata/coord/internal/steps"
	"github.com/strata-coord/strata/tiers"
)

// target is the data of a member of [Shards], as JSON: what it has said of itself, and the shards that it is to have.
type target struct {
	Weight int    `json:"weight"`
	Name   string `json:"name,omitempty"`
	Shards []int  `json:"shards,omitempty"`
}

func (t target) encode() []byte {
	data, _ := json.Marshal(t) // of such fields, it never fails
	return data
}

var errNoTarget = errors.New("the znode's data is not that of a member of shards")

func decodeTarget(data []byte) (target, error) {
	var t target
	if err := json.Unmarshal(data, &t); err != nil {
		return target{}, fmt.Errorf("%w: %w", errNoTarget, err)
	}
	if t.Weight < 0 || t.Weight > MaxWeight || len(t.Shards) > MaxShards ||
		slices.ContainsFunc(t.Shards, func(shard int) bool { return shard < 0 || shard >= MaxShards }) {
		return target{}, fmt.Errorf("%w: out of bounds", errNoTarget)
	}
	return t, nil
}

// lead assigns the shards whenever this member leads, until ctx ends.
func (s *Shards) lead(ctx context.Context) {
	e := NewElection(s.queue.node, s.queue.path+"/leader")
	var pause steps.Backoff
	for ctx.Err() == nil {
		if leading, err := e.Campaign(ctx, s.queue.identifier); err == nil {
			s.assignAll(ctx, leading.Held)
			_ = leading.Resign(context.WithoutCancel(ctx)) // not longer than the session lasts; else it is lost
		}
		_ = pause.Wait(ctx)
	}
}

// assignAll follows the members and assigns the shards anew whenever they change, while it leads and ctx lives. Nobody but the leader watches the members.
func (s *Shards) assignAll(ctx context.Context, leading *Held) {
	ctx, stop := joined(ctx, leading.Context())
	defer stop()
	wake := steps.NewSignal()
	defer leading.claim.tier.Unwatch(wake, "", tiers.ScopeAny)
	var pause steps.Backoff
	for ctx.Err() == nil {
		if err := s.assignOnce(ctx, leading.claim, wake); err != nil {
			// Members that come and go meanwhile, too, are looked at again.
			_ = pause.Wait(ctx)
			continue
		}
		pause.Reset()
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
}

// assignOnce has all members have their share. The txn holds only while this one leads and nobody has changed what was read: so no shard is ever assigned twice.
func (s *Shards) assignOnce(ctx context.Context, c *claim, wake steps.Signal) error {
	view, err := c.tier.Read(ctx, tiers.Query{
		Path: s.membersPath(), Want: tiers.WantChildren, Watch: &tiers.WatchSpec{Watcher: wake, Scope: tiers.ScopeChildren}})
	if err != nil {
		return err
	}
	var members []share
	var known []target
	var versions []int32
	for _, name := range view.Children {
		view, err := c.tier.Read(ctx, tiers.Query{Path: s.membersPath() + "/" + name, Want: tiers.WantData})
		if errors.Is(err, tiers.ErrNoNode) {
			continue
		} else if err != nil {
			return err
		}
		t, err := decodeTarget(view.Data)
		if err != nil {
			continue // no member of ours
		}
		members = append(members, share{id: name, weight: t.Weight, has: t.Shards})
		known = append(known, t)
		versions = append(versions, view.Stat.Version)
	}
	ops := []tiers.Op{{Kind: tiers.OpCheck, Path: c.path(), Version: tiers.AnyVersion}}
	for i, shards := range assign(s.count, members) {
		path := s.membersPath() + "/" + members[i].id
		if slices.Equal(shards, known[i].Shards) {
			ops = append(ops, tiers.Op{Kind: tiers.OpCheck, Path: path, Version: versions[i]})
			continue
		}
		known[i].Shards = shards
		ops = append(ops, tiers.Op{Kind: tiers.OpSetData, Path: path, Data: known[i].encode(), Version: versions[i]})
	}
	if !slices.ContainsFunc(ops, func(op tiers.Op) bool { return op.Kind == tiers.OpSetData }) {
		return nil
	}
	_, err = tiers.Do(ctx, c.tier, tiers.Txn{Session: c.session.ID(), Ops: ops})
	return err
}
