package strong

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

// Outcome tells what became of a write, by a linearizable read of what the tree remembers. Without settle the answer may be FateOpen. With it,
// a write that has not been applied is sealed: from then on it never will be, wherever it still waits.
//
// Errors: ErrBadArguments (no such write was ever given out), ErrUnavailable, ErrClosed, ctx's.
func (t *Tier) Outcome(ctx context.Context, id tiers.WriteID, settle bool) (tiers.Outcome, error) {
	return t.settle(ctx, tree.Sealing{Write: id}, settle, func() tiers.Outcome { return t.tree.Outcome(id) })
}

// OutcomeOf is Outcome for who knows the session and the request. sent is a time before which the write was not submitted, if the caller knows one: it
// helps to tell FateNever from FateForgotten.
func (t *Tier) OutcomeOf(ctx context.Context, session tiers.SessionID, request tiers.RequestID, sent time.Time, settle bool) (tiers.Outcome, error) {
	if session == 0 || request == 0 {
		return tiers.Outcome{}, &tiers.OpError{Op: "outcome", Err: fmt.Errorf("%w: a session and a request are needed", tiers.ErrBadArguments)}
	}
	return t.settle(ctx, tree.Sealing{Session: session, Request: request}, settle, func() tiers.Outcome { return t.tree.OutcomeOf(session, request, sent) })
}

var errNotSealed = errors.New("it could not be sealed: too many are sealed already")

func (t *Tier) settle(ctx context.Context, s tree.Sealing, settle bool, look func() tiers.Outcome) (tiers.Outcome, error) {
	wrong := func(err error) (tiers.Outcome, error) {
		return tiers.Outcome{}, &tiers.OpError{Op: "outcome", Err: err}
	}
	if err := tiers.Sync(ctx, t, "/"); err != nil {
		return wrong(err)
	}
	o := look()
	if o.Fate != tiers.FateOpen || !settle {
		return o, nil
	}
	if s.Write != (tiers.WriteID{}) {
		if err := t.wasGiven(ctx, s.Write); err != nil {
			return wrong(err)
		}
	}
	if err := t.seal(ctx, s); err != nil {
		return wrong(err)
	}
	if err := tiers.Sync(ctx, t, "/"); err != nil {
		return wrong(err)
	}
	if o = look(); o.Fate == tiers.FateOpen {
		return wrong(errNotSealed)
	}
	return o, nil
}

// wasGiven refuses ids that were invented, as far as the member that gives them can be asked: a seal would hit a later write.
func (t *Tier) wasGiven(ctx context.Context, id tiers.WriteID) error {
	incarnation, last := t.stores.Incarnation, t.outbox.given()
	if id.Member != t.number.Load() {
		name, known := t.MemberName(id.Member)
		if !known {
			return fmt.Errorf("%w: no member has number %d", tiers.ErrBadArguments, id.Member)
		}
		callCtx, cancel := context.WithTimeout(ctx, 5*t.cfg.Heartbeat)
		defer cancel()
		b, err := t.peers.get(name).Call(callCtx, methodGiven, nil)
		if err != nil || len(b) != 12 {
			return nil
		}
		incarnation, last = binary.BigEndian.Uint32(b), binary.BigEndian.Uint64(b[4:])
	}
	if id.Incarnation > incarnation || id.Incarnation == incarnation && id.Number > last {
		return fmt.Errorf("%w: write %v was never given out", tiers.ErrBadArguments, id)
	}
	return nil
}

// sealing is a tree.Sealing on its way to the leader.
type sealing struct {
	_msgpack            struct{} `msgpack:",as_array"`
	Member, Incarnation uint32
	Number              uint64
	Session             int64
	Request             uint64
}

// seal has the leader commit the seal. It tries again, while ctx lives and for Patience, when there is no leader.
func (t *Tier) seal(ctx context.Context, s tree.Sealing) error {
	body, err := msgpack.Marshal(&sealing{Member: s.Write.Member, Incarnation: s.Write.Incarnation, Number: s.Write.Number, Session: int64(s.Session), Request: uint64(s.Request)})
	if err != nil {
		return fmt.Errorf("encode a seal: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Patience)
	defer cancel()
	for {
		moved := t.lead.changed()
		switch leader := t.epoch().leader; {
		case t.leads() != 0:
			err = t.commit(&tree.Entry{Seal: []tree.Sealing{s}})
		case leader == "" || leader == t.cfg.Name:
			err = errNoLeader
		default:
			_, err = t.peers.get(leader).Call(ctx, methodSeal, body)
		}
		if err == nil {
			return nil
		}
		select {
		case <-moved:
		case <-time.After(t.cfg.Heartbeat):
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", t.unavailable(), err)
		}
	}
}

func (t *Tier) handleSeal(body []byte) error {
	var s sealing
	if err := msgpack.Unmarshal(body, &s); err != nil {
		return fmt.Errorf("malformed seal: %w", err)
	}
	if t.raft.State() != raft.Leader {
		return errNoLeader
	}
	return t.commit(&tree.Entry{Seal: []tree.Sealing{{
		Write:   tiers.WriteID{Member: s.Member, Incarnation: s.Incarnation, Number: s.Number},
		Session: tiers.SessionID(s.Session), Request: tiers.RequestID(s.Request),
	}}})
}
