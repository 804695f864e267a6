package strong

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/internal/tree"
)

var (
	// ErrRestoring: another restore is under way, at this member.
	ErrRestoring = errors.New("another restore is under way at this member")
	// ErrNotRestored: the restore ended before its last step was taken: the tree was not changed.
	ErrNotRestored = errors.New("nothing was changed")
)

// Restored is what a restore has done.
type Restored struct {
	Backup BackupInfo
	Zxid   tiers.Zxid // of the tree since then
	Ended  int        // sessions of the tree that it has ended
}

// RestoreBackup puts the tree of a backup in the place of the cluster's, at one place of the commit order of all members: see tree.Stage. It may be asked of
// any member; without a majority nothing is changed. r is read twice: first all of it is checked. All sessions that the tree knows end, and all that
// is counted (zxids, versions, sequence numbers) goes on above what either tree had. Errors: ErrBackup, ErrRestoring, ErrNotRestored, r's; an
// UnknownOutcomeError when the leader was lost at the last step.
func (t *Tier) RestoreBackup(ctx context.Context, r io.ReadSeeker) (Restored, error) {
	steps, err := t.restores.begin()
	if err != nil {
		return Restored{}, err
	}
	defer t.restores.end()
	info, err := ReadBackup(r)
	if err == nil {
		_, err = r.Seek(0, io.SeekStart)
	}
	if err == nil {
		_, err = readBackupHeader(r)
	}
	if err != nil {
		return Restored{}, err
	}
	t.log.Warn("restores a backup", "zxid", info.Zxid, "taken", info.Time, "by", info.Member, "bytes", info.Bytes)
	s := tree.Stage{ID: steps.id}
	for piece, err := range tree.Pieces(r) {
		s.Data = piece
		if err == nil {
			_, err = t.step(ctx, steps, &s)
		}
		if err != nil {
			return Restored{}, errors.Join(fmt.Errorf("strong: restore a backup: %w", err), t.giveUpRestore(steps))
		}
		s.Step++
	}
	s.Data, s.Last = nil, true
	done, err := t.step(ctx, steps, &s)
	if err != nil {
		return Restored{}, fmt.Errorf("strong: restore a backup: %w", err)
	}
	return Restored{Backup: info, Zxid: done.zxid, Ended: done.ended}, nil
}

// step commits a step and waits until this member has applied it: what it says then holds at all. An error of the way to the leader is none if the
// step was taken.
func (t *Tier) step(ctx context.Context, steps *restoreSteps, s *tree.Stage) (stepDone, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*t.cfg.Patience)
	defer cancel()
	failed := make(chan error, 1)
	x := *s
	x.Data = bytes.Clone(s.Data) // raft may hold on to it for longer than this call
	t.work.Go(func() {
		if err := t.sendStep(ctx, &x); err != nil {
			failed <- err
		}
	})
	var why error
	for {
		select {
		case d := <-steps.done:
			switch {
			case d.lost:
				return d, fmt.Errorf("the leader was lost meanwhile: %w: try again", ErrNotRestored)
			case d.step != s.Step:
				continue
			}
			if d.err != nil {
				return d, fmt.Errorf("%w: %w", d.err, ErrNotRestored)
			}
			return d, nil
		case why = <-failed:
			if errors.Is(why, errNoLeader) {
				return stepDone{}, fmt.Errorf("%w: %w", t.unavailable(), ErrNotRestored)
			}
		case <-ctx.Done():
			why = errors.Join(context.Cause(ctx), why)
			if s.Last {
				return stepDone{}, &tiers.UnknownOutcomeError{Cause: why}
			}
			return stepDone{}, fmt.Errorf("%w: %w", why, ErrNotRestored)
		}
	}
}

// sendStep brings a step to the leader's log. errNoLeader: nobody has it.
func (t *Tier) sendStep(ctx context.Context, s *tree.Stage) error {
	e := &tree.Entry{Stage: s}
	leader := t.epoch().leader
	switch {
	case t.leads() != 0:
		return t.commit(e)
	case leader == "" || leader == t.cfg.Name:
		return errNoLeader
	}
	_, err := t.peers.get(leader).Call(ctx, methodStage, tree.AppendEntry(nil, e))
	return err
}

// handleStage commits a step for another member. Leaders only.
func (t *Tier) handleStage(body []byte) error {
	e, err := tree.DecodeEntry(body)
	switch {
	case err != nil:
		return err
	case e.Stage == nil:
		return errors.New("malformed step of a restore")
	case t.raft.State() != raft.Leader:
		return errNoLeader
	}
	return t.commit(&tree.Entry{Stage: e.Stage})
}

// giveUpRestore has the members let go of what was staged, if there is a leader.
func (t *Tier) giveUpRestore(steps *restoreSteps) error {
	// What was staged last may not be applied yet, so only a beginning is sure to be taken: in its place.
	drop := &tree.Stage{ID: steps.id, Drop: true}
	ctx, cancel := context.WithTimeout(context.Background(), t.cfg.Patience)
	defer cancel()
	if err := t.sendStep(ctx, drop); err != nil && !errors.Is(err, errNoLeader) {
		return fmt.Errorf("what was sent of it is dropped at the next election: %w", err)
	}
	return nil
}

// restores is the restore that this member brings, if any.
type restores struct {
	mu  sync.Mutex
	now *restoreSteps // guarded by mu
}

// restoreSteps hears of what this member has applied of one restore.
type restoreSteps struct {
	id   [16]byte
	done chan stepDone
}

// stepDone is how a step ended.
type stepDone struct {
	step  uint64
	err   error
	lost  bool // what was staged was dropped, at the start of a term
	zxid  tiers.Zxid
	ended int
}

func (r *restores) begin() (*restoreSteps, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now != nil {
		return nil, ErrRestoring
	}
	r.now = &restoreSteps{done: make(chan stepDone, 16)}
	rand.Read(r.now.id[:])
	return r.now, nil
}

func (r *restores) end() {
	r.mu.Lock()
	r.now = nil
	r.mu.Unlock()
}

// tell passes on what was applied. It does not block: there are few steps under way at once.
func (r *restores) tell(id *[16]byte, d stepDone) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil || id != nil && *id != r.now.id {
		return
	}
	select {
	case r.now.done <- d:
	default:
	}
}

// applyStage takes a step of a restore. Called by the goroutine that applies.
func (t *Tier) applyStage(at int64, s *tree.Stage) {
	live := t.tree.Stats().Sessions
	err := t.tree.Stage(at, s)
	d := stepDone{step: s.Step, err: err, zxid: t.tree.Zxid()}
	if err == nil && s.Last {
		d.ended = live
		t.log.Warn("the tree is that of a backup now: all sessions that owned anything in it have ended", "zxid", d.zxid, "sessions", live)
	}
	t.restores.tell(&s.ID, d)
}
