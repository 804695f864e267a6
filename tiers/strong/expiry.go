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

// expiryLimit bounds how many sessions one entry may end.
const expiryLimit = 1024

// expire ends, as the leader and through the log, the sessions that nobody has heard of for their timeout.
//
// A leader expires nobody on its own word: it asks the voters what they have heard of the candidates, and goes on only with
// the answers of a majority that is still in its term. So a new leader needs no grace for what it didn't hear, and a leader
// that is cut off, or slow, expires nobody.
func (t *Tier) expire(ctx context.Context) {
	tick := time.NewTicker(t.cfg.TouchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if t.leads() != 0 {
				t.expireOnce(ctx)
			}
		}
	}
}

func (t *Tier) expireOnce(ctx context.Context) {
	due := t.silent()
	if len(due) == 0 || t.cfg.flaw == flawNeverExpire {
		return
	}
	if err := t.askHeard(ctx, due); err != nil {
		t.log.Warn("sessions are silent, but none is expired: too few voters say what they have heard", "sessions", len(due), "err", err)
		return
	}
	var xs []tree.Expiry
	for _, info := range due { // nobody else: only of these a majority was asked
		if !t.touches.condemn(info.ID, info.Timeout, t.expiryClock()) {
			continue
		}
		xs = append(xs, tree.Expiry{Session: info.ID, Since: info.Since})
		t.log.Info("expires a session", "session", info.ID, "timeout", info.Timeout, "ephemerals", info.Ephemerals,
			"silent", time.Since(t.touches.lastHeard(info.ID)).Round(time.Millisecond))
	}
	if len(xs) == 0 {
		return
	}
	err := t.commit(&tree.Entry{Expire: xs})
	switch {
	case err == nil, errors.Is(err, raft.ErrEnqueueTimeout):
		t.touches.decided(xs, 0)
	default:
		t.touches.decided(xs, t.raft.CurrentTerm())
	}
	if err != nil {
		t.log.Debug("expiry was not committed", "err", err)
	}
}

// silent are the sessions unheard of for their timeout as far as this member knows.
func (t *Tier) silent() (due []tree.SessionInfo) {
	now := t.expiryClock()
	t.tree.EachSession(func(s tree.SessionInfo) bool {
		if now.Sub(t.touches.lastHeard(s.ID)) > s.Timeout {
			due = append(due, s)
		}
		return len(due) < expiryLimit
	})
	return due
}

func (t *Tier) expiryClock() time.Time {
	if t.cfg.flaw == flawWallClock {
		return t.cfg.Clock()
	}
	return time.Now()
}

// heardReply tells how long ago a voter heard of each asked session, and in which term it is.
type heardReply struct {
	_msgpack struct{} `msgpack:",as_array"`
	Term     uint64
	Ages     []int64 // milliseconds, rounded down: a session is never made older than it is
}

// askHeard adds to this member's knowledge that of a majority.
func (t *Tier) askHeard(ctx context.Context, of []tree.SessionInfo) error {
	term := t.leads()
	if term == 0 {
		return errNoLeader
	}
	if t.cfg.flaw == flawExpireAlone {
		return nil
	}
	var body []byte
	for _, s := range of {
		body = binary.BigEndian.AppendUint64(body, uint64(s.ID))
	}
	return t.majority(ctx, methodHeard, body, func(from string, b []byte) bool {
		var r heardReply
		if err := msgpack.Unmarshal(b, &r); err != nil || len(r.Ages) != len(of) {
			t.log.Error("malformed answer about sessions", "from", from, "err", err)
			return false
		}
		now := time.Now()
		for i, s := range of {
			t.touches.hear(s.ID, now.Add(-time.Duration(r.Ages[i])*time.Millisecond))
		}
		return r.Term == term
	})
}

// handleHeard answers another leader's askHeard.
func (t *Tier) handleHeard(body []byte) ([]byte, error) {
	if len(body)%8 != 0 {
		return nil, errors.New("malformed list of sessions")
	}
	r := heardReply{Term: t.raft.CurrentTerm()}
	now := time.Now()
	for ; len(body) > 0; body = body[8:] {
		at := t.touches.lastHeard(tiers.SessionID(binary.BigEndian.Uint64(body)))
		r.Ages = append(r.Ages, int64(now.Sub(at)/time.Millisecond))
	}
	b, err := msgpack.Marshal(&r)
	if err != nil {
		return nil, fmt.Errorf("strong: encode what was heard: %w", err)
	}
	return b, nil
}
